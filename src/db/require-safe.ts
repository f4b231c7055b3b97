import { openClient } from './pool.js'

const NEEDED = ['fsync', 'full_page_writes', 'synchronous_commit'] as const

const WHY = {
  fsync: 'a crash of the machine would lose or destroy what was committed',
  full_page_writes: 'a crash of the machine would leave torn pages behind',
  synchronous_commit:
    'a commit would be reported before it is on disk, so that a crash could bring back a spent authorization',
} as const

/** A server that would forget what it confirmed. The message says which setting, why, and what to do. */
export class UnsafeDatabaseError extends Error {
  override readonly name = 'UnsafeDatabaseError'
}

/**
 * Refuses a server that may lose confirmed commits. Asked in a session of that very role in that database, because both
 * can carry settings of their own.
 * @throws UnsafeDatabaseError naming every unsafe setting.
 */
export async function requireSafe(url: string): Promise<void> {
  const client = await openClient(url)
  try {
    const { rows } = await client.query<{ role: string; database: string }>(
      'select current_user as role, current_database() as database',
    )
    const where = rows[0] as { role: string; database: string }
    const faults: string[] = []
    for (const name of NEEDED) {
      const shown = await client.query<Record<string, string>>(`show ${name}`)
      if (shown.rows[0]?.[name] === 'off') {
        faults.push(
          `${name} is off for role ${where.role} in database ${where.database}: ${WHY[name]}. ${remedy(name, where)}`,
        )
      }
    }
    if (faults.length > 0) throw new UnsafeDatabaseError(faults.join('\n'))
  } finally {
    await client.end()
  }
}

function remedy(name: (typeof NEEDED)[number], { role, database }: { role: string; database: string }): string {
  const server = `Set \`${name} = on\` in postgresql.conf and reload`
  if (name !== 'synchronous_commit') return `${server}.`
  return `${server}; if it is set nearer: \`alter role ${role} reset ${name}\`, \`alter database ${database} reset ${name}\`, \`alter role ${role} in database ${database} reset ${name}\`.`
}
