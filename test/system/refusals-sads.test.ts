/** SADs, credentials and certificates that do not allow a signature. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import {
  assertLogged,
  assertRefused,
  CscClient,
  digests,
  ECDSA_WITH,
  spent,
  VERSIONS,
  type Version,
  watchedDevice,
} from '../helpers/csc.js'
import { type Answer, TestService, type TestSigner } from '../helpers/test-service.js'

const NOT_AUTHORIZED: Readonly<Record<Version, string>> = {
  v1: 'Hash is not authorized by the SAD.',
  v2: 'Hash is not authorized by neither SAD nor an access token with scope “credential”.',
}
const INVALID_SAD = 'Invalid parameter SAD'
const TOO_MANY = 'Numbers of signatures is too high'
const UNKNOWN_CREDENTIAL = 'Invalid parameter credentialID'
const DISABLED = 'The credential identified by credentialID is disabled'
const OVER = 'The access or refresh token is expired or has been revoked.'

const device = watchedDevice()
let service: TestService
let credential: string
let other: TestSigner
let othersCredential: string

before(async () => {
  service = await TestService.start({ keys: ['p-256'], device: device.wrap })
  credential = service.credentials['p-256'] as string
  other = await service.newSigner('other@example.test', 'Other')
  othersCredential = await service.newCredential(other, 'p-256')
})
after(() => service?.close())

const ecdsa = { signAlgo: ECDSA_WITH['sha-256'] }

/** The worker refuses it like this, writes why, asks no device and spends nothing. */
async function refused(send: () => Promise<Answer>, text: string, ev: string, why: string): Promise<void> {
  const [before, asked] = [await spent(service), device.calls]
  const answer = await send()
  assertRefused(answer, 400, 'invalid_request', text)
  await assertLogged(service, answer, ev, why)
  assert.equal(await spent(service), before, 'nothing is spent')
  assert.equal(device.calls, asked, 'the device is not asked')
}

async function signs(answer: Promise<Answer>): Promise<void> {
  const { status, body } = await answer
  assert.equal(status, 200, JSON.stringify(body))
}

for (const version of VERSIONS) {
  const loggedIn = async (signer?: TestSigner): Promise<CscClient> => {
    const client = new CscClient(service, version)
    await client.login(signer)
    return client
  }
  const sign = (client: CscClient, SAD: string, hashes: string[], credentialID = credential) =>
    client.signHash({ credentialID, SAD, hashes, ...ecdsa })
  const refuseSad = (client: CscClient, SAD: string, hashes: string[], credentialID = credential) =>
    refused(() => sign(client, SAD, hashes, credentialID), INVALID_SAD, 'sign.denied', 'sad_unknown')

  describe(`${version}: a SAD`, () => {
    test('that nobody was given', async () => {
      const client = await loggedIn()
      const hashes = digests(`made up ${version}`)
      const SAD = await client.sad({ credentialID: credential, hashes })
      for (const made of ['', 'x', randomBytes(32).toString('base64url'), `${SAD}A`, SAD.slice(0, -1), ` ${SAD}`]) {
        await refuseSad(client, made, hashes)
      }
      await refuseSad(client, client.bearer as string, hashes)
      await signs(sign(client, SAD, hashes))
    })

    test('that is longer than any', async () => {
      const client = await loggedIn()
      await refuseSad(client, 'x'.repeat(5000), digests(`long ${version}`))
    })

    test('of another signer, for his credential or mine', async () => {
      const mine = await loggedIn()
      const his = await loggedIn(other)
      const hashes = digests(`swapped ${version}`)
      const hisSad = await his.sad({ credentialID: othersCredential, hashes }, other)
      const mySad = await mine.sad({ credentialID: credential, hashes })
      await refuseSad(mine, hisSad, hashes)
      await refuseSad(his, mySad, hashes, othersCredential)
      await signs(sign(mine, mySad, hashes))
      await signs(sign(his, hisSad, hashes, othersCredential))
    })

    test('of another session of the same signer', async () => {
      const [one, two] = [await loggedIn(), await loggedIn()]
      const hashes = digests(`another session ${version}`)
      const SAD = await one.sad({ credentialID: credential, hashes })
      await refuseSad(two, SAD, hashes)
      await signs(sign(one, SAD, hashes))
    })

    test('of another credential of the same signer', async () => {
      const second = await service.newCredential(service.signer, 'p-256')
      const client = await loggedIn()
      const hashes = digests(`another credential ${version}`)
      const SAD = await client.sad({ credentialID: credential, hashes })
      await refuseSad(client, SAD, hashes, second)
      await signs(sign(client, SAD, hashes))
      await service.admin('credential.revoke', { credentialID: second })
    })

    test('that is used up', async () => {
      const client = await loggedIn()
      const hashes = digests(`used ${version}`, 2)
      const SAD = await client.sad({ credentialID: credential, hashes })
      await signs(sign(client, SAD, hashes))
      await refuseSad(client, SAD, hashes)
      await refuseSad(client, SAD, hashes.slice(0, 1))
    })

    test('for other hashes, for more of one, or for one that was signed already', async () => {
      const client = await loggedIn()
      const [a, b, c] = digests(`bound ${version}`, 3) as [string, string, string]
      const SAD = await client.sad({ credentialID: credential, hashes: [a, b, b] })
      const refuse = (hashes: string[], why = 'digest_not_authorized') =>
        refused(() => sign(client, SAD, hashes), NOT_AUTHORIZED[version], 'sign.denied', why)
      await refuse([c])
      await refuse([a, c])
      await refuse([a, a])
      await refuse([b, b, b])
      await refuse([a, b, b, c])
      await signs(sign(client, SAD, [b]))
      await signs(sign(client, SAD, [a]))
      // What is left is known only to the statement that spends.
      await refuse([a], 'refused_at_spending')
      await signs(sign(client, SAD, [b]))
      await refuseSad(client, SAD, [b])
    })

    test('with less left than is asked for', async () => {
      const client = await loggedIn()
      const [a, b, c] = digests(`over budget ${version}`, 3) as [string, string, string]
      const SAD = await client.sad({ credentialID: credential, hashes: [a, b, c] })
      await signs(sign(client, SAD, [a]))
      await refused(() => sign(client, SAD, [a, b, c]), TOO_MANY, 'sign.denied', 'signature_count_too_high')
      await signs(sign(client, SAD, [c, b]))
    })

    test('authorized for the same hash several times, as often as it was', async () => {
      const client = await loggedIn()
      const [a] = digests(`twice ${version}`) as [string]
      const SAD = await client.sad({ credentialID: credential, hashes: [a, a] })
      const { status, body } = await sign(client, SAD, [a, a])
      assert.deepEqual([status, body.signatures.length], [200, 2])
      await refuseSad(client, SAD, [a])
    })

    test('that has expired, in a session that goes on', async () => {
      const client = await loggedIn()
      const hashes = digests(`expired ${version}`)
      const code = await service.freshCode()
      // No session lasts longer than its SADs yet, unless somebody prolongs it.
      const owner = await service.owner()
      await owner.query(`update paraph.session set ends_at = ends_at + interval '1 hour' where ended_at is null`)
      await owner.query(`update paraph.token set expires_at = expires_at + interval '1 hour' where kind = 'access'`)
      const { body } = await client.authorize({ credentialID: credential, hashes, code })
      assert.equal(body.expiresIn, 300)
      await service.moveClock(300_000)
      await refused(() => sign(client, body.SAD, hashes), 'SAD expired', 'sign.denied', 'sad_expired')
    })

    test('lives no longer than its session, and says so', async () => {
      const client = await loggedIn()
      const hashes = digests(`short ${version}`)
      const code = await service.freshCode()
      await service.moveClock(100_000)
      // The code of then is too old now.
      const { body } = await client.authorize({ credentialID: credential, hashes, code: service.code() })
      assert.notEqual(service.code(), code)
      assert.ok(body.expiresIn <= 50 && body.expiresIn > 30, `${body.expiresIn}`)
      await service.moveClock(body.expiresIn * 1000 + 1000)
      const [before, asked] = [await spent(service), device.calls]
      assertRefused(await sign(client, body.SAD, hashes), 401, 'expired_token', OVER)
      await refuseSad(await loggedIn(), body.SAD, hashes)
      assert.equal(await spent(service), before)
      assert.equal(device.calls, asked)
    })
  })

  describe(`${version}: a credential`, () => {
    test('that is suspended neither authorizes nor signs, and its SADs die; resumed it does both', async () => {
      const client = await loggedIn()
      const hashes = digests(`suspended ${version}`)
      const SAD = await client.sad({ credentialID: credential, hashes })
      await service.admin('credential.suspend', { credentialID: credential })
      const code = await service.freshCode()
      const authorize = () => client.authorize({ credentialID: credential, hashes, code })
      await refused(() => sign(client, SAD, hashes), DISABLED, 'sign.denied', 'credential_disabled')
      await refused(authorize, DISABLED, 'sad.denied', 'credential_disabled')
      await service.admin('credential.resume', { credentialID: credential })
      await refuseSad(client, SAD, hashes)
      const { status, body } = await authorize()
      assert.equal(status, 200, 'the code was not spent')
      await signs(sign(client, body.SAD, hashes))
    })

    test('that is revoked never signs again', async () => {
      const credentialID = await service.newCredential(service.signer, 'p-256')
      const client = await loggedIn()
      const hashes = digests(`revoked ${version}`)
      const SAD = await client.sad({ credentialID, hashes })
      await service.admin('credential.revoke', { credentialID })
      const code = await service.freshCode()
      await refused(
        () => sign(client, SAD, hashes, credentialID),
        UNKNOWN_CREDENTIAL,
        'sign.denied',
        'credential_unknown',
      )
      await refused(
        () => client.authorize({ credentialID, hashes, code }),
        UNKNOWN_CREDENTIAL,
        'sad.denied',
        'credential_unknown',
      )
      await assert.rejects(service.admin('credential.resume', { credentialID }), { code: 'not_allowed' })
      await signs(sign(client, await client.sad({ credentialID: credential, hashes, code }), hashes))
    })

    test('of a signer who is suspended between authorizing and signing', async () => {
      const client = await loggedIn(other)
      const hashes = digests(`signer suspended ${version}`)
      const SAD = await client.sad({ credentialID: othersCredential, hashes }, other)
      await service.admin('signer.suspend', { signer: other.login })
      const [before, asked] = [await spent(service), device.calls]
      assertRefused(await sign(client, SAD, hashes, othersCredential), 401, 'expired_token', OVER)
      await service.admin('signer.resume', { signer: other.login })
      assertRefused(await sign(client, SAD, hashes, othersCredential), 401, 'expired_token', OVER)
      await refuseSad(await loggedIn(other), SAD, hashes, othersCredential)
      assert.equal(await spent(service), before)
      assert.equal(device.calls, asked)
    })
  })
}

test('who tried with whose SAD can be opened in the log', async () => {
  const [mine, his] = VERSIONS.map((version) => new CscClient(service, version)) as [CscClient, CscClient]
  await mine.login()
  await his.login(other)
  const hashes = digests('who tried', 2)
  const SAD = await his.sad({ credentialID: othersCredential, hashes }, other)
  const answer = await mine.signHash({ credentialID: credential, SAD, hashes, ...ecdsa })
  assert.equal(answer.status, 400)
  const { rows } = await (await service.owner()).query(
    `select (select id from paraph.signer where login = $1) as signer, a.id as authorization,
            (select s.id from paraph.session s join paraph.signer g on g.id = s.signer_id where g.login = $1
              order by s.started_at desc limit 1) as session
       from paraph.authorization a join paraph.signer g on g.id = a.signer_id where g.login = $2
      order by a.created_at desc limit 1`,
    [service.signer.login, other.login],
  )
  const { entries } = await service.checkWorld()
  const rid = answer.headers.get('x-request-id')
  const [entry] = entries.filter(({ leaf }) => (leaf as { rid?: string }).rid === rid)
  const opened = (name: string) => entry?.open.get(name)
  assert.deepEqual(['signer', 'session', 'authorization', 'credential', 'client'].map(opened), [
    rows[0].signer,
    rows[0].session,
    rows[0].authorization,
    credential,
    'basic',
  ])
  assert.deepEqual(
    hashes.map((_, i) => opened(`dtbsr[${i}]`)),
    hashes.map((text) => Buffer.from(text, 'base64').toString('base64url')),
  )
})

test('a certificate that expires between authorizing and signing, and after', async () => {
  const clients = VERSIONS.map((version) => new CscClient(service, version))
  const hashes = digests('certificate expired')
  const { notAfter } = await service.admin('credential.show', { credentialID: credential })
  // Log in and authorize within the certificate's last minute.
  await service.moveClock(Date.parse(notAfter as string) - service.clock.now() - 60_000)
  const sads: string[] = []
  for (const [i, client] of clients.entries()) {
    await client.login()
    const code = service.code(service.signer, i)
    sads.push((await client.authorize({ credentialID: credential, hashes, code })).body.SAD)
  }
  await service.moveClock(61_000)
  const text = "Signing certificate 'O=Paraph demo,CN=Test Signer' is expired."
  for (const [i, client] of clients.entries()) {
    const send = () => client.signHash({ credentialID: credential, SAD: sads[i], hashes, ...ecdsa })
    await refused(send, text, 'sign.denied', 'certificate_expired')
  }
  await service.moveClock(3600_000)
  for (const client of clients) {
    await client.login()
    const code = await service.freshCode()
    const send = () => client.authorize({ credentialID: credential, hashes, code })
    await refused(send, text, 'sad.denied', 'certificate_expired')
    const { body } = await client.info(credential)
    assert.deepEqual([body.key.status, body.cert.status], ['disabled', 'expired'])
  }
})

test('after all of this the log and the counters agree', async () => {
  await service.checkWorld()
})
