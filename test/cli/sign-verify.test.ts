import assert from 'node:assert/strict'
import { chmod, readFile, rm, writeFile } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import { toPem } from '../../src/pki/pem.js'
import { folder } from '../pki/openssl.js'
import { LOGIN, PASSWORD, startService } from './sign-server.js'
import { FakeTerminal } from './sign-terminal.js'

async function world(test: TestContext) {
  const terminal = new FakeTerminal()
  const service = await startService(test, terminal)
  await service.addCredential('p-256')
  const files = await folder(test)
  terminal.env.PARAPH_KEYS = files.path('.')
  const password = await files.put('password', PASSWORD)
  await chmod(password, 0o600)
  const root = await files.put('demo-root.pem', toPem('CERTIFICATE', service.root))
  const signed = async (name: string) => {
    const path = await files.put(name, `content of ${name}`)
    terminal.answers.push('12345678')
    const who = ['--url', service.url, '--login', LOGIN, '--password-file', password]
    assert.equal(await terminal.run('sign', ...who, path), 0, terminal.text)
    terminal.lines.length = 0
    return path
  }
  return { terminal, service, files, root, signed }
}

describe('paraph verify', () => {
  test('says who signed, and for how long the certificate is good', async (t) => {
    const { terminal, signed } = await world(t)
    const [one, other] = [await signed('one'), await signed('other')]
    assert.equal(await terminal.run('verify', one, `${other}.p7s`), 0, terminal.text)
    const text = terminal.lines.join('\n')
    for (const [pattern, times] of [
      [/^\S+(one|other): valid$/gm, 2],
      [/signed by {4}CN=Demo Signer,O=Paraph demo$/gm, 2],
      [/signed at {4}\d{4}-\d\d-\d\dT\S+Z, by the signer's own word$/gm, 2],
      [/certificate {2}[0-9A-F]{32}, valid from \S+Z to \S+Z$/gm, 2],
      [/issued by {4}CN=Paraph demo root [0-9a-f]{8},O=Paraph demo$/gm, 2],
      [/revocation {3}not asked$/gm, 2],
      [/A TEST certificate/g, 2],
    ] as const) {
      assert.equal([...text.matchAll(pattern)].length, times, `${pattern} in\n${text}`)
    }
  })

  test('as JSON', async (t) => {
    const { terminal, signed, files } = await world(t)
    const path = await signed('one')
    assert.equal(await terminal.run('verify', '--json', path, files.path('unsigned')), 1)
    const [good, bad] = (JSON.parse(terminal.lines.join('')) as { files: Record<string, unknown>[] }).files
    assert.deepEqual(
      [good?.file, good?.valid, good?.signer, good?.test, good?.revocationChecked],
      [path, true, 'CN=Demo Signer,O=Paraph demo', true, false],
    )
    assert.ok(Date.parse(String(good?.notAfter)) > Date.parse(String(good?.notBefore)))
    assert.deepEqual(bad, {
      file: files.path('unsigned'),
      valid: false,
      reason: `${files.path('unsigned.p7s')} does not exist`,
    })
  })

  test('finds what is wrong', async (t) => {
    const { terminal, signed, files, service } = await world(t)
    const path = await signed('one')
    const signature = await readFile(`${path}.p7s`)
    const stranger = await files.put('stranger.pem', toPem('CERTIFICATE', (await startService(t, terminal)).root))
    const fails = async (reason: RegExp, ...more: string[]) => {
      terminal.lines.length = 0
      assert.equal(await terminal.run('verify', ...more, path), 1)
      assert.match(terminal.lines.join('\n'), reason)
    }
    await fails(
      /one: NOT valid: CN=Demo Signer,O=Paraph demo is not issued by a trusted root|CN=Paraph demo root/,
      '--trust',
      stranger,
    )
    await writeFile(path, 'content of onf')
    await fails(/NOT valid: the signature is for other content/)
    await writeFile(path, 'content of one')
    await writeFile(`${path}.p7s`, signature.subarray(0, -1))
    await fails(/NOT valid: not a CMS signature/)
    await writeFile(`${path}.p7s`, Buffer.alloc(2 * 1024 * 1024))
    await fails(/NOT valid: .* too large/)
    await writeFile(`${path}.p7s`, signature)
    terminal.time += 91 * 24 * 3600 * 1000
    await fails(/NOT valid: CN=Demo Signer,O=Paraph demo expired on/)
    assert.ok(service.calls.length > 0)
  })

  test('wants a root to trust', async (t) => {
    const { terminal, signed, root, files } = await world(t)
    const path = await signed('one')
    await rm(root)
    assert.equal(await terminal.run('verify', path), 2)
    assert.match(terminal.text, /--trust/)
    assert.equal(await terminal.run('verify'), 2)
    assert.equal(await terminal.run('verify', '--trust', files.path('missing'), path), 1)
    assert.equal(await terminal.run('verify', '--trust', await files.put('junk', 'junk'), path), 1)
    assert.match(terminal.text, /junk: no complete CERTIFICATE block/)
  })
})
