import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { migrate, schemaIsCurrent } from '../../src/db/migrate.js'
import { openClient } from '../../src/db/pool.js'
import { emptyDatabase, tempDatabase } from '../helpers/temp-database.js'

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = await openClient(url)
  const { rows } = await client.query(text)
  await client.end()
  return rows
}

test('four processes at once migrate an empty database once', async (t) => {
  const database = await emptyDatabase()
  t.after(database.drop)
  assert.equal(await schemaIsCurrent(database.ownerUrl), false)
  const files = (await readdir(join(root, 'migrations'))).sort().map((file) => file.replace(/\.sql$/, ''))
  const results = await Promise.all([1, 2, 3, 4].map(() => migrate(database.ownerUrl)))
  assert.deepEqual(results.flat(), files)
  assert.deepEqual(
    (await query(database.ownerUrl, 'select name from migrations.applied order by id')).map((row) => row.name),
    files,
  )
  assert.equal(await schemaIsCurrent(database.ownerUrl), true)
})

test('the roles of the service can ask whether the schema is current', async (t) => {
  const database = await tempDatabase()
  t.after(database.drop)
  assert.equal(await schemaIsCurrent(database.frontUrl), true)
  assert.equal(await schemaIsCurrent(database.samUrl), true)
  await query(database.ownerUrl, 'delete from migrations.applied where id = (select max(id) from migrations.applied)')
  assert.equal(await schemaIsCurrent(database.frontUrl), false)
})

test('a migration that fails leaves nothing behind, and those before it stay', async (t) => {
  const database = await emptyDatabase()
  const folder = await mkdtemp(join(tmpdir(), 'paraph-migrations-'))
  t.after(async () => {
    await database.drop()
    await rm(folder, { recursive: true })
  })
  await writeFile(join(folder, '0001_good.sql'), '-- Up Migration\ncreate table good ();\n-- Down Migration\n')
  await writeFile(
    join(folder, '0002_bad.sql'),
    '-- Up Migration\ncreate table half ();\ncreate table half ();\n-- Down Migration\n',
  )
  await assert.rejects(migrate(database.ownerUrl, folder), /relation "half" already exists/)
  assert.deepEqual(
    await query(
      database.ownerUrl,
      "select to_regclass('good') is not null as good, to_regclass('half') is null as clean",
    ),
    [{ good: true, clean: true }],
  )
  await writeFile(join(folder, '0002_bad.sql'), '-- Up Migration\ncreate table half ();\n-- Down Migration\n')
  assert.deepEqual(await migrate(database.ownerUrl, folder), ['0002_bad'])
})

/**
 * A migration that landed is applied somewhere and never edited. For a new one, or before the first release, write the
 * file anew: (cd migrations && sha256sum *.sql) > test/db/migrations.sha256
 */
test('no landed migration was edited', async () => {
  const lines: string[] = []
  for (const file of (await readdir(join(root, 'migrations'))).sort()) {
    const hash = createHash('sha256').update(await readFile(join(root, 'migrations', file)))
    lines.push(`${hash.digest('hex')}  ${file}\n`)
  }
  assert.equal(lines.join(''), await readFile(join(root, 'test/db/migrations.sha256'), 'utf8'))
})
