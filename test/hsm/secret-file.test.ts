import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { createSecretFile, readSecretFile } from '../../src/secret-file.js'

describe('a secret file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'paraph-secret-'))
  after(() => rmSync(folder, { recursive: true }))
  let count = 0

  function file(content: string, mode = 0o600): string {
    const path = join(folder, `secret-${++count}`)
    writeFileSync(path, content)
    chmodSync(path, mode)
    return path
  }

  it('is read without the line break at its end', () => {
    assert.equal(readSecretFile(file('secret')), 'secret')
    assert.equal(readSecretFile(file('secret\n', 0o400)), 'secret')
    assert.equal(readSecretFile(file('secret\r\n')), 'secret')
    assert.equal(readSecretFile(file(' two\nlines \n\n')), ' two\nlines \n')
  })

  it('is refused when somebody else can read or choose it, saying what to type', () => {
    for (const mode of [0o644, 0o640, 0o604, 0o660, 0o700, 0o620]) {
      const path = file('secret', mode)
      assert.throws(() => readSecretFile(path), {
        message: `${path} must be readable by its owner only: chmod 600 ${path}`,
      })
    }
    const link = join(folder, 'link')
    symlinkSync(file('secret'), link)
    assert.throws(() => readSecretFile(link), { message: /symbolic link/ })
  })

  it('is refused when it is not a file with something in it', () => {
    assert.throws(() => readSecretFile(join(folder, 'nowhere')), { message: /does not exist/ })
    assert.throws(() => readSecretFile(folder), { message: /not a regular file/ })
    assert.throws(() => readSecretFile(file('\n')), { message: /is empty/ })
    assert.throws(() => readSecretFile(file('x'.repeat(70_000))), { message: /too large/ })
    const pipe = join(folder, 'pipe')
    execFileSync('mkfifo', ['-m', '600', pipe])
    assert.throws(() => readSecretFile(pipe), { message: /not a regular file/ })
  })

  it('is refused when it belongs to neither this user nor root', (t) => {
    const path = file('secret')
    if (process.geteuid?.() === 0) chownSync(path, 12345, 12345)
    const owner = statSync(path).uid
    t.mock.method(process as { geteuid(): number }, 'geteuid', () => 4242)
    assert.throws(() => readSecretFile(path), { message: `${path} belongs to user ${owner}: chown 4242 ${path}` })
  })

  it('is made for its owner only, and never over another', () => {
    const path = join(folder, 'made')
    assert.equal(createSecretFile(path, 'first'), true)
    assert.equal(createSecretFile(path, 'second'), false)
    assert.equal(readSecretFile(path), 'first')
    assert.equal(statSync(path).mode & 0o777, 0o600)
  })
})
