import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { adminSocket, samSocket, socketFolder } from '../../src/sam/socket-folder.js'

async function dataFolder(t: TestContext, name = 'var'): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'paraph-'))
  t.after(() => rm(folder, { recursive: true }))
  return join(folder, name)
}

test('the sockets are in `run` of the data folder, closed to others', async (t) => {
  const data = await dataFolder(t)
  const folder = socketFolder(data)
  assert.equal(folder, join(data, 'run'))
  assert.equal((await stat(folder)).mode & 0o777, 0o700)
  assert.equal(samSocket(folder, 0), join(data, 'run/sam-0.sock'))
  assert.equal(adminSocket(folder, 3), join(data, 'run/admin-3.sock'))
})

test('a long data folder has its sockets below /tmp, the same by every way to it', async (t) => {
  const data = await dataFolder(t, 'x'.repeat(120))
  await mkdir(data)
  const folder = socketFolder(data)
  t.after(() => rm(folder, { recursive: true }))
  assert.match(folder, /^\/tmp\/paraph-[0-9a-f]{16}$/)
  assert.equal((await stat(folder)).mode & 0o777, 0o700)
  const link = `${await dataFolder(t)}-link`
  await symlink(data, link)
  assert.equal(socketFolder(link), folder)
})

test('a folder that others may enter, or that is a link, is refused', async (t) => {
  const data = await dataFolder(t)
  await chmod(socketFolder(data), 0o755)
  assert.throws(() => socketFolder(data), /chmod 700/)
  await rm(join(data, 'run'), { recursive: true })
  await symlink(tmpdir(), join(data, 'run'))
  assert.throws(() => socketFolder(data), /is not a folder/)
})
