/**
 * How long after a signature its receipt can be had: signings come at a fixed rate, each asks for its receipt as soon as it is
 * answered and waits for it (`Prefer: wait`), and what is told is the time between the two answers.
 */
import { cpus, loadavg } from 'node:os'
import { freePort } from '../src/db/cluster.js'
import { startProcesses } from '../test/helpers/real-processes.js'
import { startTestServer } from '../test/helpers/temp-database.js'
import { TestService } from '../test/helpers/test-service.js'

const RATES = (process.env['BENCH_RATES'] ?? '20,100,300').split(',').map(Number)
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 10)
const SIGNERS = 32

interface Caller {
  readonly bearer: string
  readonly body: string
}

async function newCaller(service: TestService, index: number): Promise<Caller> {
  const signer = await service.newSigner(`signer${index}@example.test`, `Signer ${index}`)
  const credentialID = await service.newCredential(signer, 'p-256', { scal: '1', multisign: 1_000_000 })
  const bearer = await service.login(signer)
  const authData = [{ id: 'OTP', value: service.code(signer) }]
  const { status, body } = await service.post(
    '/csc/v2/credentials/authorize',
    { credentialID, numSignatures: 1_000_000, authData },
    { bearer },
  )
  if (status !== 200) throw new Error(`authorize answered ${status} ${JSON.stringify(body)}`)
  const hashes = [Buffer.alloc(32, 7).toString('base64')]
  return { bearer, body: JSON.stringify({ credentialID, SAD: body.SAD, hashes, signAlgo: '1.2.840.10045.4.3.2' }) }
}

/** Milliseconds from the signature to its receipt; undefined where either was refused. */
async function receiptTime(url: string, { bearer, body }: Caller): Promise<number | undefined> {
  const authorization = `Bearer ${bearer}`
  const signed = await fetch(`${url}/csc/v2/signatures/signHash`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body,
  })
  await signed.arrayBuffer()
  const op = /;op=([0-9a-f-]{36});/.exec(signed.headers.get('audit-receipt') ?? '')?.[1]
  if (op === undefined) return undefined
  const begin = performance.now()
  const receipt = await fetch(`${url}/audit/v1/receipts/${op}`, { headers: { authorization, prefer: 'wait=10' } })
  await receipt.arrayBuffer()
  return receipt.status === 200 ? performance.now() - begin : undefined
}

/** Requests begin when it is their time, whether those before have ended or not. */
async function atRate(rate: number, callers: readonly Caller[], url: string): Promise<(number | undefined)[]> {
  const begin = performance.now()
  const under: Promise<number | undefined>[] = []
  for (let i = 0; i < rate * SECONDS; i++) {
    const early = begin + (i * 1000) / rate - performance.now()
    if (early > 1) await new Promise((resolve) => setTimeout(resolve, early))
    under.push(receiptTime(url, callers[i % callers.length] as Caller))
  }
  return Promise.all(under)
}

const server = await startTestServer({ shared_buffers: '128MB' })
process.env['PARAPH_TEST_PG'] = server.url
const service = await TestService.start({ workers: 0, fronts: 0 })
const processes = await startProcesses(service, { workers: 1, port: await freePort() })
try {
  await service.populate([])
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`
  process.stdout.write(`${machine}; everything on the same cores, load ${loadavg()[0]?.toFixed(1)}\n`)
  const callers: Caller[] = []
  for (let i = 0; i < SIGNERS; i++) callers.push(await newCaller(service, i))
  const url = service.urls[0] as string
  await atRate(20, callers, url)
  for (const rate of RATES) {
    const all = await atRate(rate, callers, url)
    const times = all.filter((time) => time !== undefined).sort((a, b) => a - b)
    const at = (share: number) => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0)
    process.stdout.write(
      `${rate} signatures a second: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms, ${all.length - times.length} refused\n`,
    )
  }
} finally {
  await processes.stop()
  await service.close()
  await server.stop()
}
