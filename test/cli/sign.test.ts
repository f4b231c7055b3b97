import assert from 'node:assert/strict'
import { createPublicKey, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { chmod, readdir, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { codeOfStep, type DemoProfile } from '../../src/cli/client/demo-profile.js'
import { toPem } from '../../src/pki/pem.js'
import { folder, openssl } from '../pki/openssl.js'
import { LOGIN, PASSWORD, refused, startService } from './sign-server.js'
import { FakeTerminal } from './sign-terminal.js'

const CODE = '31415926'

async function world(test: TestContext) {
  const terminal = new FakeTerminal()
  const service = await startService(test, terminal)
  service.acceptCode = (code) => code === CODE
  const files = await folder(test)
  const rootFile = await files.put('root.pem', toPem('CERTIFICATE', service.root))
  const secret = async (name: string, content: string) => {
    const path = await files.put(name, content)
    await chmod(path, 0o600)
    return path
  }
  const who = ['--url', service.url, '--login', LOGIN]
  const password = ['--password-file', await secret('password', `${PASSWORD}\n`)]
  const code = ['--code-file', await secret('code', CODE)]
  const accepted = async (file: string) => {
    const where = ['-inform', 'DER', '-in', `${file}.p7s`, '-content', file, '-out', '/dev/null', '-CAfile', rootFile]
    return openssl('cms', '-verify', '-binary', '-cades', '-purpose', 'any', ...where)
  }
  const demo = async (profile: Partial<DemoProfile> = {}) => {
    terminal.env.PARAPH_KEYS = dirname(rootFile)
    const all: DemoProfile = {
      ...{ login: LOGIN, password: PASSWORD, secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' },
      ...{ algorithm: 'SHA1', digits: 8, period: 30, ...profile },
    }
    await secret('demo-signer.json', JSON.stringify(all))
    let used = 0
    service.acceptCode = (given) => {
      const now = Math.floor(terminal.time / 30_000)
      const step = [now - 1, now, now + 1].find((one) => one > used && codeOfStep(all, one) === given)
      used = step ?? used
      return step !== undefined
    }
    return { profile: all, burn: () => service.acceptCode(codeOfStep(all, Math.floor(terminal.time / 30_000))) }
  }
  return { terminal, service, files, rootFile, secret, who, password, code, accepted, demo }
}

describe('paraph sign FILE', () => {
  for (const spec of ['rsa-2048', 'p-256', 'p-384'] as const) {
    test(`signs several files with one code, and OpenSSL accepts each: ${spec}`, async (t) => {
      const { terminal, service, files, who, password, code, accepted } = await world(t)
      await service.addCredential(spec)
      const paths = await Promise.all(
        ['a.pdf', 'b c.txt', 'empty'].map((name, size) => files.put(name, randomBytes((2 - size) * 700_000))),
      )
      assert.equal(await terminal.run('sign', ...who, ...password, ...code, ...paths), 0, terminal.text)
      for (const path of paths) {
        const verdict = await accepted(path)
        assert.ok(verdict.ok, verdict.text)
      }
      assert.deepEqual(
        terminal.lines,
        paths.map((path) => `${path}: signed and verified, ${path}.p7s`),
      )
      assert.deepEqual(service.calls, [
        ...['auth/login', 'credentials/list', 'credentials/authorize 3', 'signatures/signHash 3', 'auth/revoke'],
      ])
      assert.equal(service.openSessions.size, 0)
      assert.ok(terminal.progressed.length > 0)
      assert.deepEqual(await leftovers(files.path('.')), [])
    })
  }

  test('asks for what no file names, the password without echo, and one file needs no progress', async (t) => {
    const { terminal, service, files, who, accepted } = await world(t)
    await service.addCredential('p-256', { pin: '2468' })
    const path = await files.put('a.pdf', 'content')
    terminal.answers.push(PASSWORD, '2468', CODE)
    assert.equal(await terminal.run('sign', ...who, path), 0, terminal.text)
    assert.deepEqual(terminal.asked, [`hidden Password of ${LOGIN}: `, 'hidden PIN: ', 'visible One-time code: '])
    assert.ok((await accepted(path)).ok)
    assert.deepEqual(terminal.progressed, [])
    for (const known of [PASSWORD, '2468', CODE]) assert.ok(!terminal.text.includes(known))
  })

  test('more files than the credential allows take more codes, and --code-file has but one', async (t) => {
    const { terminal, service, files, who, password, code, accepted } = await world(t)
    await service.addCredential('p-256', { multisign: 2 })
    const paths = await Promise.all(['1', '2', '3'].map((name) => files.put(name, name)))
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, ...paths), 1)
    assert.match(terminal.text, /at most 2 at once/)
    assert.ok(!service.calls.some((call) => call.startsWith('credentials/authorize')))

    terminal.answers.push(CODE, CODE)
    assert.equal(await terminal.run('sign', ...who, ...password, ...paths), 0, terminal.text)
    assert.deepEqual(
      service.calls.slice(3).filter((call) => / \d/.test(call)),
      [...['credentials/authorize 2', 'signatures/signHash 2', 'credentials/authorize 1', 'signatures/signHash 1']],
    )
    for (const path of paths) assert.ok((await accepted(path)).ok)
  })

  test('spends nothing when one of the files cannot be signed', async (t) => {
    const { terminal, service, files, who, password, code } = await world(t)
    await service.addCredential('p-256')
    const good = await files.put('good', 'content')
    const taken = await files.put('taken', 'content')
    await files.put('taken.p7s', 'somebody’s')
    const all = [good, taken, files.path('missing'), files.path('.')]
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, ...all), 1)
    assert.match(terminal.text, /taken\.p7s exists: --force replaces it/)
    assert.match(terminal.text, /missing does not exist/)
    assert.match(terminal.text, / is not a file/)
    assert.equal(service.calls.length, 0)
    assert.equal(await readFile(`${taken}.p7s`, 'utf8'), 'somebody’s')

    assert.equal(
      await terminal.run('sign', ...who, ...password, ...code, '--force', good, taken, good),
      0,
      terminal.text,
    )
    assert.ok(service.calls.includes('credentials/authorize 2'))
    assert.notEqual(await readFile(`${taken}.p7s`, 'utf8'), 'somebody’s')
  })

  test('a signature that appears meanwhile is not replaced', async (t) => {
    const { terminal, service, files, who, password, code } = await world(t)
    await service.addCredential('p-256')
    const path = await files.put('a', 'content')
    service.tamper = (signature) => {
      writeFileSync(`${path}.p7s`, 'somebody’s')
      return signature
    }
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, path), 1)
    assert.match(terminal.text, /a\.p7s exists/)
    assert.equal(await readFile(`${path}.p7s`, 'utf8'), 'somebody’s')
    assert.deepEqual(await leftovers(files.path('.')), [])
  })

  test('writes no signature that does not verify, and says which', async (t) => {
    const { terminal, service, files, who, password, code, accepted } = await world(t)
    await service.addCredential('p-256')
    const [good, bad] = [await files.put('good', 'content'), await files.put('bad', 'other')]
    let kept: Uint8Array | undefined
    service.tamper = (signature, index) => {
      kept ??= signature
      return index === 1 ? kept : signature
    }
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, good, bad), 1)
    assert.match(terminal.text, /bad: NOT signed: the signature does not fit the certificate/)
    assert.ok((await accepted(good)).ok)
    await assert.rejects(stat(`${bad}.p7s`))
  })

  test('finds out when a file changes while it is being signed', async (t) => {
    const { terminal, service, files, who, password, code } = await world(t)
    await service.addCredential('p-256')
    const path = await files.put('a', 'content')
    service.acceptCode = () => {
      writeFileSync(path, 'changed')
      return true
    }
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, path), 1, terminal.text)
    assert.match(terminal.text, /the signature is for other content/)
    await assert.rejects(stat(`${path}.p7s`))
    assert.deepEqual(await leftovers(files.path('.')), [])
  })

  test('with several credentials it wants to be told which', async (t) => {
    const { terminal, service, files, who, password, code } = await world(t)
    const [one, other] = [await service.addCredential('p-256'), await service.addCredential('rsa-2048')]
    const path = await files.put('a', 'content')
    const sign = (...more: string[]) => terminal.run('sign', ...who, ...password, ...code, path, ...more)
    assert.equal(await sign(), 1)
    assert.match(terminal.text, /choose one with --credential/)
    assert.ok(terminal.text.includes(one.id) && terminal.text.includes('CN=Demo Signer,O=Paraph demo'))
    assert.equal(await sign('--credential', 'nonsense'), 1)
    assert.match(terminal.text, /no credential nonsense/)
    other.status = 'disabled'
    assert.equal(await sign('--credential', other.id), 1)
    assert.match(terminal.text, /it is disabled/)
    assert.equal(await sign(), 0, terminal.text)
  })

  test('an expired certificate is noticed before a code is spent', async (t) => {
    const { terminal, service, files, who, password, code } = await world(t)
    await service.addCredential('p-256')
    const path = await files.put('a', 'content')
    terminal.time += 91 * 24 * 3600 * 1000
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, path), 1)
    assert.match(terminal.text, /expired on/)
    assert.ok(!service.calls.some((call) => call.startsWith('credentials/authorize')))
  })

  test('tells everything as one JSON object', async (t) => {
    const { terminal, service, files, who, password, code } = await world(t)
    const { id } = await service.addCredential('p-256')
    const path = await files.put('a', 'content')
    const sign = () => terminal.run('sign', ...who, ...password, ...code, '--json', path)
    assert.equal(await sign(), 0)
    assert.deepEqual(JSON.parse(terminal.lines.join('')), {
      credentialID: id,
      signAlgo: '1.2.840.10045.4.3.2',
      hashAlgorithmOID: '2.16.840.1.101.3.4.2.1',
      files: [{ file: path, signature: `${path}.p7s` }],
    })
    terminal.lines.length = 0
    const headers = { 'retry-after': '7', 'x-request-id': 'r-1' }
    service.interfere = () => ({ ...refused('Later.', 503, 'temporarily_unavailable'), headers })
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, '--json', '--force', path), 1)
    assert.deepEqual(JSON.parse(terminal.lines.join('')), {
      files: [],
      error: {
        ...{ message: 'the service refused: Later.', code: 'temporarily_unavailable', status: 503 },
        ...{ requestId: 'r-1', retryable: true, retryAfter: 7 },
      },
    })
  })
})

describe('paraph sign --demo', () => {
  test('computes the code, and takes the first of several credentials', async (t) => {
    for (const algorithm of ['SHA1', 'SHA256'] as const) {
      const { terminal, service, files, demo, accepted } = await world(t)
      await service.addCredential('rsa-2048')
      await service.addCredential('p-256')
      await demo({ algorithm })
      const path = await files.put('a', 'content')
      assert.equal(await terminal.run('sign', '--url', service.url, '--demo', path), 0, terminal.text)
      assert.ok((await accepted(path)).ok)
      assert.deepEqual(terminal.waited, [])
    }
  })

  test('waits for the next code when this one was used, and says so', async (t) => {
    const { terminal, service, files, demo } = await world(t)
    await service.addCredential('p-256')
    const { profile, burn } = await demo()
    terminal.time = Math.ceil(terminal.time / 30_000) * 30_000 + 13_000
    assert.ok(burn())
    const path = await files.put('a', 'content')
    assert.equal(await terminal.run('sign', '--url', service.url, '--demo', path), 0, terminal.text)
    assert.deepEqual(terminal.waited, [17_100])
    assert.match(terminal.notes.join(), /has been used; the next one comes in 18 s/)
    assert.ok(!terminal.text.includes(profile.password) && !terminal.text.includes(profile.secret))
  })

  test('gives up after three codes', async (t) => {
    const { terminal, service, files, demo } = await world(t)
    await service.addCredential('p-256')
    await demo()
    service.acceptCode = () => false
    const path = await files.put('a', 'content')
    assert.equal(await terminal.run('sign', '--url', service.url, '--demo', path), 1)
    assert.equal(service.calls.filter((call) => call === 'credentials/authorize 1').length, 3)
    assert.match(terminal.text, /the service refused: The authentication data is invalid \(request /)
  })

  test('signs more files than one code covers, one code after the other', async (t) => {
    const { terminal, service, files, demo, accepted } = await world(t)
    await service.addCredential('p-256', { multisign: 2 })
    await demo()
    const paths = await Promise.all(['1', '2', '3', '4', '5'].map((name) => files.put(name, name)))
    assert.equal(await terminal.run('sign', '--url', service.url, '--demo', ...paths), 0, terminal.text)
    assert.equal(terminal.waited.length, 2)
    assert.equal(service.calls.filter((call) => call.startsWith('credentials/authorize')).length, 3)
    for (const path of paths) assert.ok((await accepted(path)).ok)
  })

  test('says what to do where no demo was started, or its file is open to others', async (t) => {
    const { terminal, service, files, demo, rootFile } = await world(t)
    const path = await files.put('a', 'content')
    terminal.env.PARAPH_KEYS = files.path('nowhere')
    assert.equal(await terminal.run('sign', '--url', service.url, '--demo', path), 1)
    assert.match(terminal.text, /start the demo first/)
    await demo()
    await chmod(`${dirname(rootFile)}/demo-signer.json`, 0o644)
    assert.equal(await terminal.run('sign', '--url', service.url, '--demo', path), 1)
    assert.match(terminal.text, /chmod 600/)
  })
})

describe('paraph sign --hash-file', () => {
  test('signs digests in their order, in either notation, and prints the signatures', async (t) => {
    const { terminal, service, files, who, password, code } = await world(t)
    const { key } = await service.addCredential('rsa-2048')
    const digests = Array.from({ length: 4 }, () => randomBytes(48))
    const lines = digests.map((digest, index) => digest.toString(index % 2 === 0 ? 'hex' : 'base64'))
    const path = await files.put('digests', `${lines.join('\r\n')}\n\n`)
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, '--hash-file', path), 0, terminal.text)
    const pem = createPublicKey({ key: Buffer.from(key.publicKey), format: 'der', type: 'spki' })
    const keyFile = await files.put('key.pem', pem.export({ type: 'spki', format: 'pem' }))
    assert.equal(terminal.lines.length, 4)
    for (const [index, digest] of digests.entries()) {
      const given = await files.put('digest', digest)
      const signature = await files.put('signature', Buffer.from(terminal.lines[index] ?? '', 'base64'))
      const how = ['-pubin', '-inkey', keyFile, '-in', given, '-sigfile', signature, '-pkeyopt', 'digest:sha384']
      const verdict = await openssl('pkeyutl', '-verify', ...how)
      assert.ok(verdict.ok, verdict.text)
    }
  })

  test('prints nothing when one of the signatures is wrong', async (t) => {
    const { terminal, service, files, who, password, code } = await world(t)
    await service.addCredential('p-256')
    service.tamper = (signature, index) =>
      index === 1 ? signature.map((byte, at) => (at === 40 ? byte ^ 1 : byte)) : signature
    const path = await files.put('digests', `${randomBytes(32).toString('hex')}\n${randomBytes(32).toString('hex')}`)
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, '--json', '--hash-file', path), 1)
    const result = JSON.parse(terminal.lines.join('')) as { signatures?: unknown; error: { message: string } }
    assert.equal(result.signatures, undefined)
    assert.match(result.error.message, /does not fit the certificate/)
  })

  test('names the line that is wrong', async (t) => {
    const { terminal, files, who, password, code } = await world(t)
    const good = randomBytes(32).toString('hex')
    for (const [content, reason] of [
      ['', /has no digests/],
      [`${good}\nhello`, /line 2: not a SHA-256, SHA-384 or SHA-512 digest/],
      [`${good}\n\n${good}00`, /line 3: not a SHA/],
      [`${good}\n${randomBytes(64).toString('base64')}`, /line 2: not of the same length/],
    ] as const) {
      const path = await files.put('digests', content)
      assert.equal(await terminal.run('sign', ...who, ...password, ...code, '--hash-file', path), 1)
      assert.match(terminal.notes.at(-1) ?? '', reason)
    }
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, '--hash-file', files.path('missing')), 1)
    assert.match(terminal.notes.at(-1) ?? '', /missing does not exist/)
  })

  test('a key that does not sign such digests says so before a code is spent', async (t) => {
    const { terminal, service, files, who, password, code } = await world(t)
    await service.addCredential('p-256')
    const path = await files.put('digests', randomBytes(64).toString('hex'))
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, '--hash-file', path), 1)
    assert.match(terminal.text, /does not sign sha-512 digests/)
    assert.ok(!service.calls.some((call) => call.startsWith('credentials/authorize')))
  })
})

describe('paraph sign: usage', () => {
  test('ends with 2 where nothing was even tried', async (t) => {
    const { terminal, service, files, who } = await world(t)
    const path = await files.put('a', 'content')
    const wrong: string[][] = [
      [...who],
      [...who, '--hash-file', path, path],
      ['--url', service.url, path],
      [...who, '--demo', path],
      ['--demo', '--password-file', path, path],
      ['--login', LOGIN, '--url', 'http://sign.example.test', path],
      ['--login', LOGIN, '--url', 'ftp://127.0.0.1', path],
      [...who, '--password', 'secret', path],
      [...who, path], // nobody there to ask
    ]
    for (const argv of wrong) assert.equal(await terminal.run('sign', ...argv), 2, argv.join(' '))
    assert.deepEqual(service.calls, [])
  })

  test('a wrong password and a secret file open to others are refused', async (t) => {
    const { terminal, service, files, who, password, code, secret } = await world(t)
    await service.addCredential('p-256')
    const path = await files.put('a', 'content')
    const wrong = ['--password-file', await secret('wrong', 'wrong')]
    assert.equal(await terminal.run('sign', ...who, ...wrong, ...code, path), 1)
    assert.match(terminal.text, /An error occurred during authentication process/)
    await chmod(password[1] as string, 0o640)
    assert.equal(await terminal.run('sign', ...who, ...password, ...code, path), 1)
    assert.match(terminal.text, /chmod 600/)
    assert.ok(!terminal.text.includes(PASSWORD))
  })

  test('an answer that is not CSC is not believed', async (t) => {
    const { terminal, service, files, who, password, code } = await world(t)
    await service.addCredential('p-256')
    const path = await files.put('a', 'content')
    for (const [method, body] of [
      ['auth/login', { access_token: 5 }],
      ['credentials/list', { credentialInfos: [{ credentialID: 'x' }] }],
      ['credentials/authorize', {}],
      ['signatures/signHash', { signatures: [] }],
      ['signatures/signHash', { signatures: ['AA==', 'AA=='] }],
      ['signatures/signHash', { signatures: ['!'] }],
    ] as const) {
      service.interfere = (called) => (called === method ? { status: 200, body } : undefined)
      assert.equal(await terminal.run('sign', ...who, ...password, ...code, path), 1)
      assert.match(terminal.notes.at(-1) ?? '', new RegExp(`answer to ${method} is not as CSC API v2 has it`))
    }
  })
})

/** Files that a half-done write would leave. */
async function leftovers(path: string): Promise<string[]> {
  return (await readdir(path)).filter((name) => name.startsWith('.'))
}
