/**
 * The first benchmark: what the service costs beside the device that signs. Every figure is a ratio to the bare device
 * loop with the same verification, measured in turn in the same run; medians of several rounds.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { keyAssociatedData } from '../src/credentials/credential.js'
import { freePort } from '../src/db/cluster.js'
import type { Mechanism } from '../src/hsm/hsm.js'
import { postmasterOf, type RealProcesses, startProcesses } from '../test/helpers/real-processes.js'
import { startTestServer } from '../test/helpers/temp-database.js'
import { TestService, type TestSigner } from '../test/helpers/test-service.js'
import type { LoadResult, LoadSettings } from './load.js'
import { cpuOf, familyOf, run } from './processes.js'
import type { RawSettings } from './raw-loop.js'

const WORKERS = Number(process.env['BENCH_WORKERS'] ?? 2)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 6)
const CONNECTIONS = 64

interface Case {
  readonly name: string
  readonly key: 'rsa-2048' | 'p-256'
  readonly mechanism: Mechanism
  readonly signAlgo: string
  readonly batch: number
  readonly connections: number
}

const RSA: Pick<Case, 'key' | 'mechanism' | 'signAlgo'> = {
  key: 'rsa-2048',
  mechanism: { scheme: 'rsa-pkcs1', hash: 'sha-256' },
  signAlgo: '1.2.840.113549.1.1.11',
}
const P256: typeof RSA = {
  key: 'p-256',
  mechanism: { scheme: 'ecdsa', hash: 'sha-256' },
  signAlgo: '1.2.840.10045.4.3.2',
}
const CASES: readonly Case[] = [
  { name: 'RSA-2048, one hash a request', ...RSA, batch: 1, connections: CONNECTIONS },
  { name: 'RSA-2048, 100 hashes a request', ...RSA, batch: 100, connections: 16 },
  { name: 'P-256, one hash a request', ...P256, batch: 1, connections: CONNECTIONS },
  { name: 'P-256, 100 hashes a request', ...P256, batch: 100, connections: 16 },
]

/** Each connection is a signer of its own: signers do not wait for one another's authorizations. */
interface Signer extends TestSigner {
  readonly credentials: Record<Case['key'], string>
}

interface Row {
  readonly rate: number
  readonly raw: number
  readonly rawCpu: number
  readonly ratio: number
  readonly p50: number
  readonly p99: number
  readonly front: number
  readonly workers: number
  readonly postgres: number
  readonly load: number
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN

async function newSigner(service: TestService, index: number): Promise<Signer> {
  const signer = await service.newSigner(`signer${index}@example.test`, `Signer ${index}`)
  const credential = (key: Case['key']) => service.newCredential(signer, key, { scal: '1', multisign: 1_000_000 })
  return { ...signer, credentials: { 'rsa-2048': await credential('rsa-2048'), 'p-256': await credential('p-256') } }
}

/** Everybody logs in anew and authorizes as many signatures as there may be, with the code of the next 30 seconds. */
async function authorized(
  service: TestService,
  wanted: Case,
  signers: readonly Signer[],
): Promise<LoadSettings['callers']> {
  await service.moveClock(30_000)
  const hashes = Array(wanted.batch).fill(Buffer.alloc(32, 7).toString('base64'))
  return Promise.all(
    signers.map(async (signer) => {
      const credentialID = signer.credentials[wanted.key]
      const bearer = await service.login(signer)
      const authData = [{ id: 'OTP', value: service.code(signer) }]
      const { status, body } = await service.post(
        '/csc/v2/credentials/authorize',
        { credentialID, numSignatures: 1_000_000, authData },
        { bearer },
      )
      if (status !== 200) throw new Error(`authorize answered ${status} ${JSON.stringify(body)}`)
      return { bearer, body: JSON.stringify({ credentialID, SAD: body.SAD, hashes, signAlgo: wanted.signAlgo }) }
    }),
  )
}

async function round(
  service: TestService,
  processes: RealProcesses,
  postmaster: number,
  wanted: Case,
  signers: readonly Signer[],
): Promise<Row> {
  const owner = await service.owner()
  const { rows } = await owner.query(
    'select id, signer_id, generation, blob, public_key from paraph.credential where id = $1',
    [signers[0]?.credentials[wanted.key]],
  )
  const raws = await Promise.all(
    Array.from({ length: WORKERS }, () =>
      run<{ rate: number; cpu: number }>('raw-loop', {
        hsmUri: service.workerSettings[0]?.hsmUri as string,
        seconds: SECONDS,
        spec: wanted.key,
        mechanism: wanted.mechanism,
        blob: rows[0].blob.toString('base64'),
        associatedData: Buffer.from(keyAssociatedData(rows[0])).toString('base64'),
        publicKey: rows[0].public_key.toString('base64'),
      } satisfies RawSettings),
    ),
  )
  const raw = raws.reduce((sum, { rate }) => sum + rate, 0)

  const load: LoadSettings = {
    port: processes.port,
    seconds: SECONDS,
    path: '/csc/v2/signatures/signHash',
    callers: await authorized(service, wanted, signers.slice(0, wanted.connections)),
  }
  await run<LoadResult>('load', { ...load, seconds: 1 })
  const groups = { front: processes.frontPids(), workers: processes.workerPids(), postgres: familyOf(postmaster) }
  const used = () => Object.values(groups).map((pids) => pids.reduce((sum, pid) => sum + cpuOf(pid), 0))
  const before = used()
  const result = await run<LoadResult>('load', load)
  const after = used()
  if (result.failed > 0) throw new Error(`${result.failed} requests failed`)
  const signatures = result.answered * wanted.batch
  const [front = 0, workers = 0, postgres = 0] = after.map((value, i) => (value - (before[i] ?? 0)) / signatures)
  const rate = signatures / SECONDS
  return {
    rate,
    raw,
    rawCpu: median(raws.map(({ cpu }) => cpu)),
    ratio: rate / raw,
    p50: result.p50,
    p99: result.p99,
    front,
    workers,
    postgres,
    load: result.cpu / signatures,
  }
}

const server = await startTestServer({ shared_buffers: '128MB' })
process.env['PARAPH_TEST_PG'] = server.url
const service = await TestService.start({ workers: 0, fronts: 0 })
const processes = await startProcesses(service, { workers: WORKERS, port: await freePort(), movedClock: true })
try {
  await service.populate([])
  const signers: Signer[] = []
  for (let i = 0; i < CONNECTIONS; i++) signers.push(await newSigner(service, i))
  const results: Record<string, Row[]> = {}
  for (let i = 0; i < ROUNDS; i++) {
    for (const wanted of CASES) {
      const row = await round(service, processes, postmasterOf(server.cluster.data), wanted, signers)
      results[wanted.name] = [...(results[wanted.name] ?? []), row]
      process.stderr.write(`round ${i + 1}: ${wanted.name}: ${row.ratio.toFixed(2)}\n`)
    }
  }
  report(results)
} finally {
  await processes.stop()
  await service.close()
  await server.stop()
}

function report(results: Record<string, Row[]>): void {
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}, ${WORKERS} workers, ${ROUNDS} rounds of ${SECONDS} s`
  const lines = [`${machine}; PostgreSQL and load generator on the same cores`, '']
  const header = [
    '',
    'ratio',
    'sig/s',
    'raw/s',
    'p50 ms',
    'p99 ms',
    '| us a signature: raw',
    'workers',
    'front',
    'postgres',
    'load',
  ]
  const table = [header]
  for (const [name, rows] of Object.entries(results)) {
    const of = (field: keyof Row, digits = 0) => median(rows.map((row) => row[field])).toFixed(digits)
    table.push([
      name,
      of('ratio', 2),
      of('rate'),
      of('raw'),
      of('p50', 1),
      of('p99', 1),
      of('rawCpu'),
      of('workers'),
      of('front'),
      of('postgres'),
      of('load'),
    ])
  }
  const widths = header.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  for (const row of table)
    lines.push(row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '))
  process.stdout.write(`${lines.join('\n')}\n`)
  mkdirSync('bench/results', { recursive: true })
  writeFileSync(join('bench/results', 'latest.json'), `${JSON.stringify({ machine, results }, null, 2)}\n`)
}
