/** Tessera's fsck reads the log over HTTP, and holds it against its own idea of a tree. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { writePack } from '../../src/audit/pack.js'
import { AuditClient } from '../../src/cli/client/audit-client.js'
import { exportSource } from '../../src/cli/client/export-source.js'
import type { Client } from '../../src/db/pool.js'
import { operatorTokenFile } from '../../src/sam/demo.js'
import { until } from '../helpers/csc.js'
import { keepSecret, TestService } from '../helpers/test-service.js'
import { FSCK } from '../runner/go.js'

let service: TestService
let owner: Client
let token: string
let key: string

before(async () => {
  service = await TestService.start({ fronts: 2, keys: ['p-256'] })
  owner = await service.owner()
  token = readFileSync(operatorTokenFile(service.keysDir, 'auditor'), 'utf8')
  keepSecret(token)
  const { rows } = await owner.query<{ vkey: string }>('select vkey from audit.checkpoint_key')
  key = join(service.folder, 'vkey')
  writeFileSync(key, rows[0]?.vkey ?? '')
  const bearer = await service.login()
  const hashes = service.digests(randomUUID())
  const credential = service.credentials['p-256'] as string
  const sad = await service.authorize(bearer, credential, hashes)
  assert.equal((await service.signHash(bearer, credential, sad, hashes)).status, 200)
  // Some whole tiles, and a partial one of each level.
  for (let i = 0; i < 600; i += 20) {
    const read = (front: number) => service.post('/csc/v2/credentials/list', {}, { bearer, front })
    await Promise.all(Array.from({ length: 20 }, (_, k) => read(k % 2)))
  }
})
after(() => service?.close())

/** What it says of the log at an address; it ends with 0 in any case. */
async function fsck(url: string, bearer: string | undefined): Promise<string> {
  const given = bearer === undefined ? [] : ['--bearer_token', bearer]
  const args = ['--storage_url', url, '--public_key', key, '--ui=false', '--N', '2', ...given]
  const child = spawn(FSCK, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  return text(child.stderr)
}
const RIGHT = /Successfully fsck'd log with size (\d+)/
const WRONG = /fsck failed/
const address = () => `${service.urls[1]}/audit/v1/log/`

/** As a superuser does, past the triggers. */
async function change(statement: string): Promise<void> {
  await owner.query('begin')
  await owner.query('set local session_replication_role = replica')
  await owner.query(statement)
  await owner.query('commit')
}

test('it accepts the log, with the token of an auditor', async () => {
  await until('all of it is signed', async () => {
    const { rows } = await owner.query('select (select max(size) from audit.checkpoint) = size as all from audit.head')
    return rows[0]?.all === true
  })
  const said = await fsck(address(), token)
  assert.match(said, RIGHT, said)
  assert.ok(Number(RIGHT.exec(said)?.[1]) > 600)
  assert.doesNotMatch(said, WRONG)
  for (const other of [undefined, 'made-up']) assert.doesNotMatch(await fsck(address(), other), RIGHT)
})

test('it accepts a pack', async () => {
  const client = new AuditClient(service.urls[0] as string, () => Promise.resolve())
  const begun = await client.begin(token, undefined)
  keepSecret(begun.ticket)
  const pack = join(service.folder, 'pack')
  await writePack(pack, exportSource(client, begun, { openings: false, told: () => undefined }))
  const said = await fsck(`file://${pack}`, undefined)
  assert.equal(Number(RIGHT.exec(said)?.[1]), begun.size, said)
})

test('it rejects the log when an entry, a hash or the checkpoint is another', async () => {
  const flip = (column: string, at: number) => `${column} = set_byte(${column}, ${at}, get_byte(${column}, ${at}) # 1)`
  for (const statement of [
    `update audit.entry set ${flip('leaf', 20)} where idx = 300`,
    `update audit.tile set ${flip('data', 40)} where level = 0 and n = 1`,
    `update audit.tile set ${flip('data', 4)} where level = 1 and n = 0`,
    `update audit.checkpoint set note = translate(note, 'abcdefghijklm', 'bcdefghijklma')`,
  ]) {
    await change(statement)
    const said = await fsck(address(), token)
    assert.match(said, WRONG, statement)
    assert.doesNotMatch(said, RIGHT, statement)
    if (!statement.includes('translate')) await change(statement)
  }
})
