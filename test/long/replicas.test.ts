/** Several of everything, as the processes they are: workers that spend the same, and keepers of which one leads. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { ECDSA_WITH, until } from '../helpers/csc.js'
import { type RealProcesses, startProcesses } from '../helpers/real-processes.js'
import { TestService } from '../helpers/test-service.js'

let service: TestService
let processes: RealProcesses
let named = 0

before(async () => {
  service = await TestService.start({ workers: 0, fronts: 0 })
  processes = await startProcesses(service, { workers: 4, keepers: 2 })
})
after(async () => {
  await processes?.stop()
  await service?.close()
})

/** Agreements of new signers, whose codes nobody has used, for so many digests each. */
function agreements(signers: number, digests: number) {
  return Promise.all(
    Array.from({ length: signers }, async () => {
      const signer = await service.newSigner(`signer${named++}@example.test`, 'Test Signer')
      const credential = await service.newCredential(signer, 'p-256')
      const bearer = await service.login(signer)
      const hashes = service.digests(...Array.from({ length: digests }, () => `of replicas ${named++}`))
      const sad = await service.authorize(bearer, credential, hashes, { signer, code: service.code(signer) })
      const sign = (wanted: string[]) =>
        service
          .signHash(bearer, credential, sad, wanted, { signAlgo: ECDSA_WITH['sha-256'] })
          .catch(() => ({ status: 0, body: undefined }))
      return { hashes, sign }
    }),
  )
}

const newest = async () => {
  const { rows } = await (await service.owner()).query(
    'select (select max(size) from audit.checkpoint) as signed, (select size from audit.head) as head',
  )
  return rows[0] as { signed: number; head: number }
}

/** Process at the server of the connection by which the leading keeper holds its lock. */
async function leadingBackend(): Promise<number | undefined> {
  const { rows } = await (await service.owner()).query(
    `select l.pid from pg_locks l join pg_stat_activity a using (pid)
      where l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_database where datname = current_database())
        and a.application_name = 'paraph log keeper'`,
  )
  return rows[0]?.pid
}

/** The keeper at the other end of a connection. */
async function keeperOf(backend: number | undefined): Promise<number | undefined> {
  if (backend === undefined) return undefined
  const { rows } = await (await service.owner()).query(
    'select client_port as port from pg_stat_activity where pid = $1',
    [backend],
  )
  const local = `:${Number(rows[0]?.port ?? 0)
    .toString(16)
    .toUpperCase()
    .padStart(4, '0')}`
  const inode = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find((fields) => fields[1]?.endsWith(local))?.[9]
  return processes.keeperPids().find((pid) => openSockets(pid).includes(`socket:[${inode}]`))
}

function openSockets(pid: number): string[] {
  const folder = `/proc/${pid}/fd`
  try {
    return readdirSync(folder).map((fd) => readlinkSync(`${folder}/${fd}`))
  } catch {
    return []
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

test('F15: four workers that are sent the same requests in different orders sign each digest once, and none waits for another for good', async () => {
  const agreed = await agreements(4, 40)
  const pieces = agreed.flatMap(({ hashes, sign }) => hashes.map((hash) => () => sign([hash])))
  const answers = (
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        const mine = []
        const order = shuffled(pieces)
        for (let i = 0; i < order.length; i += 16) {
          mine.push(...(await Promise.all(order.slice(i, i + 16).map((send) => send()))))
        }
        return mine
      }),
    )
  ).flat()
  const count = (status: number) => answers.filter((answer) => answer.status === status).length
  assert.deepEqual([count(200), count(400)], [pieces.length, 5 * pieces.length])
  const { rows } = await (await service.owner()).query(
    'select deadlocks from pg_stat_database where datname = current_database()',
  )
  assert.equal(rows[0].deadlocks, 0)
  await service.checkWorld()
})

test('F16: a leading keeper that was paused wakes up beside another, and no older checkpoint is shown after a newer one', async () => {
  const [mine] = await agreements(1, 12)
  let shown = 0
  let looking = true
  const look = async () => {
    while (looking) {
      const { signed } = await newest()
      assert.ok(signed >= shown, `${signed} was shown after ${shown}`)
      shown = signed
    }
  }
  const looker = look()
  for (let round = 0; round < 2; round++) {
    const [paused, other] = processes.keeperPids() as [number, number]
    // While the other sleeps, whoever has to lead anew is the first.
    process.kill(other, 'SIGSTOP')
    await endLeading()
    await until('the first keeper leads', async () => (await leadingBackend()) !== undefined)
    process.kill(other, 'SIGCONT')
    process.kill(paused, 'SIGSTOP')
    await endLeading()
    await until('the other keeper leads', async () => (await leadingBackend()) !== undefined)
    assert.equal((await mine?.sign(mine.hashes.splice(0, 1)))?.status, 200)
    process.kill(paused, 'SIGCONT')
    assert.equal((await mine?.sign(mine.hashes.splice(0, 1)))?.status, 200)
    await covered()
    assert.deepEqual(processes.keeperPids(), [paused, other])
  }
  looking = false
  await looker
  await service.checkWorld()
})

test('F32: while keepers are killed as soon as they lead, signing goes on and all of it is signed in the end', async () => {
  const agreed = await agreements(4, 100)
  let killing = true
  const clients = agreed.map(async ({ hashes, sign }) => {
    const statuses: number[] = []
    while (killing && hashes.length > 0) statuses.push((await sign(hashes.splice(0, 1))).status)
    return statuses
  })
  for (let killed = 0; killed < 6; killed++) {
    const { signed } = await newest()
    const pids = processes.keeperPids()
    const leading = await keeperOf(await leadingBackend())
    if (leading !== undefined) process.kill(leading, 'SIGKILL')
    await until('another keeper signs', async () => (await newest()).signed > signed)
    await until('there are two again', async () => processes.keeperPids().length === 2)
    if (leading !== undefined) assert.notDeepEqual(processes.keeperPids(), pids)
  }
  killing = false
  const statuses = (await Promise.all(clients)).flat()
  assert.ok(statuses.includes(200))
  assert.deepEqual(
    [...new Set(statuses)].filter((status) => status !== 200 && status !== 503),
    [],
  )
  await covered()
  await service.checkWorld()
})

test('F32: while nobody signs the log, signing stops; it goes on once somebody does', async () => {
  const [mine] = await agreements(1, 100)
  const statuses = () =>
    Promise.all(Array.from({ length: 4 }, async () => (await mine?.sign(mine.hashes.splice(0, 1)))?.status))
  const logIs = async () => {
    const { parts } = (await (await fetch(`${service.urls[0]}/health/ready`)).json()) as { parts: { log: string } }
    return parts.log
  }
  for (const pid of processes.keeperPids()) process.kill(pid, 'SIGSTOP')
  await until('the log counts as unsigned', async () => (await logIs()) === 'down')
  await until('no worker signs', async () => (await statuses()).every((status) => status === 503))
  for (const pid of processes.keeperPids()) process.kill(pid, 'SIGCONT')
  await until('the log counts as signed', async () => (await logIs()) === 'up')
  await until('every worker signs', async () => (await statuses()).every((status) => status === 200))
  await covered()
  await service.checkWorld()
})

/** What is in the log now is under a signed checkpoint. */
async function covered(): Promise<void> {
  const { head } = await newest()
  await until('the log is signed', async () => (await newest()).signed >= head)
}

/** Takes its lock from whoever leads. */
async function endLeading(): Promise<void> {
  const backend = await leadingBackend()
  if (backend === undefined) return
  await (await service.owner()).query('select pg_terminate_backend($1)', [backend])
  await until('nobody leads by that connection', async () => (await leadingBackend()) !== backend)
}
