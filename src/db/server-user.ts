/** PostgreSQL refuses to run as root, so that root starts it as a user without rights. */
import { execFile } from 'node:child_process'
import { access, readFile, stat } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface ServerUser {
  /** Who owns the data folder; undefined when it is ourselves. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  /** Put before a program and its arguments. */
  readonly prefix: readonly string[]
}

const OURSELVES: ServerUser = { owner: undefined, prefix: [] }

/**
 * Whom to run the server as. As root: the owner of `data` where it exists, else user `postgres`, else `nobody`, through
 * setpriv. Where that user cannot enter `folder`, because it or one above is closed to others, it keeps the one
 * capability that opens folders; it keeps none otherwise.
 */
export async function serverUser(data: string, folder?: string): Promise<ServerUser> {
  if (process.getuid?.() !== 0) return OURSELVES
  const owner = (await ownerOf(data)) ?? (await knownUser('postgres')) ?? (await knownUser('nobody'))
  if (owner === undefined) {
    throw new Error(
      'PostgreSQL does not run as root, and there is no user `postgres` or `nobody`: start as an ordinary user',
    )
  }
  const dropped = setpriv(owner, [])
  await run('setpriv', ['--version']).catch(() => {
    throw new Error(
      'PostgreSQL does not run as root, and `setpriv` is missing: install util-linux or start as an ordinary user',
    )
  })
  const plain = { owner, prefix: dropped }
  if (folder === undefined || (await canReach(plain, folder))) return plain
  return { owner, prefix: setpriv(owner, ['--inh-caps=+dac_override', '--ambient-caps=+dac_override']) }
}

/** Whether that user may enter a folder, or run a program, at `path`. */
export async function canReach(user: ServerUser, path: string): Promise<boolean> {
  if (user.prefix.length === 0) return (await access(path).catch(() => false)) === undefined
  return runAs(user, 'test', ['-x', path]).then(
    () => true,
    () => false,
  )
}

/** Runs a program of the server to its end and returns what it printed; rejects with what it said on standard error. */
export async function runAs(user: ServerUser, program: string, args: readonly string[]): Promise<string> {
  const [file = program, ...rest] = [...user.prefix, program, ...args]
  // Nothing of our environment: PGDATA, PGPORT or PGOPTIONS would change what the server does.
  const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C' }
  try {
    const { stdout } = await run(file, rest, { cwd: '/', env })
    return stdout
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim()
    throw new Error(`${program}: ${said || (error as Error).message}`, { cause: error })
  }
}

function setpriv(owner: { uid: number; gid: number }, capabilities: readonly string[]): string[] {
  return ['setpriv', `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', ...capabilities, '--']
}

async function ownerOf(path: string): Promise<{ uid: number; gid: number } | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found === undefined || found.uid === 0 ? undefined : { uid: found.uid, gid: found.gid }
}

async function knownUser(name: string): Promise<{ uid: number; gid: number } | undefined> {
  const passwd = await readFile('/etc/passwd', 'utf8')
  const fields = passwd
    .split('\n')
    .map((line) => line.split(':'))
    .find((line) => line[0] === name)
  return fields === undefined ? undefined : { uid: Number(fields[2]), gid: Number(fields[3]) }
}
