import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import * as openid from 'openid-client'
import { FormBrowser } from '../helpers/browser.js'
import { OwnFront, until } from '../helpers/csc.js'
import { type Answer, keepSecret, TestService } from '../helpers/test-service.js'
import { comparisonOf } from './helpers.js'
import { answer, discover, ISSUER, post, REDIRECT, type Registered, register } from './oauth-client.js'

const SHA256 = '2.16.840.1.101.3.4.2.1'
const ECDSA = '1.2.840.10045.4.3.2'
const TYPE = 'https://cloudsignatureconsortium.org/2025/credential'

let service: TestService
let credential: string
let client: Registered
let config: openid.Configuration

before(async () => {
  service = await TestService.start({ workers: 2, fronts: 2, keys: ['p-256'] })
  credential = service.credentials['p-256'] as string
  client = await register(service)
  config = await discover(service, client)
})
after(() => service?.close())

async function pkce() {
  const verifier = openid.randomPKCECodeVerifier()
  keepSecret(verifier)
  return { verifier, challenge: await openid.calculatePKCECodeChallenge(verifier) }
}

const sign = (bearer: string, hashes: string[], more: object = {}, version = 'v2') =>
  service.post(
    `/csc/${version}/signatures/signHash`,
    version === 'v1'
      ? { credentialID: credential, hash: hashes, signAlgo: ECDSA, ...more }
      : { credentialID: credential, hashes, hashAlgorithmOID: SHA256, signAlgo: ECDSA, ...more },
    { bearer },
  )

/** The CSC parameters for these digests. */
function plain(hashes: string[]): Record<string, string> {
  return {
    scope: 'credential',
    code_challenge_method: 'S256',
    credentialID: credential,
    numSignatures: String(hashes.length),
    hashes: hashes.map((text) => Buffer.from(text, 'base64').toString('base64url')).join(','),
    hashAlgorithmOID: SHA256,
  }
}

/** A token by the whole way. */
async function obtain(parameters: Record<string, string>, fields: Record<string, string> = {}) {
  const { verifier, challenge } = await pkce()
  const url = openid.buildAuthorizationUrl(config, {
    ...parameters,
    redirect_uri: REDIRECT,
    code_challenge: challenge,
    code_challenge_method: 'S256',
  })
  const { url: back } = await answer(service, url, { fields })
  const tokens = await openid.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier })
  keepSecret(tokens.access_token)
  return tokens
}

describe('openid-client', () => {
  test('plain CSC parameters, on two fronts, to a token and a signature', async () => {
    const { verifier, challenge } = await pkce()
    const hashes = service.digests(`plain ${randomUUID()}`)
    const url = openid.buildAuthorizationUrl(config, {
      redirect_uri: REDIRECT,
      scope: 'credential',
      state: 'xyz',
      code_challenge: challenge,
      code_challenge_method: 'S256',
      credentialID: credential,
      numSignatures: '1',
      hashes: Buffer.from(hashes[0] as string, 'base64').toString('base64url'),
      hashAlgorithmOID: SHA256,
      description: 'A <b>contract</b>',
      clientData: 'anything',
      lang: 'en',
    })
    const { url: back, browser } = await answer(service, url, { front: 1 })
    assert.equal(`${back.origin}${back.pathname}`, REDIRECT)
    assert.match(browser.html, /Signing app/)
    assert.match(browser.html, /A &lt;b&gt;contract&lt;\/b&gt;/)
    const tokens = await openid.authorizationCodeGrant(config, back, {
      pkceCodeVerifier: verifier,
      expectedState: 'xyz',
    })
    keepSecret(tokens.access_token)
    assert.equal(tokens.token_type, 'bearer')
    assert.equal(tokens.refresh_token, undefined)
    assert.equal(tokens['credentialID'], credential)
    assert.ok((tokens.expires_in ?? 0) > 170)
    assert.equal((await sign(tokens.access_token, service.digests('another'))).status, 400)
    const signed = await sign(tokens.access_token, hashes)
    assert.equal(signed.status, 200, JSON.stringify(signed.body))
    await service.checkWorld()
  })

  test('pushed and rich, to a token and a signature', async () => {
    const { verifier, challenge } = await pkce()
    const hashes = service.digests(`rich ${randomUUID()}`, `rich ${randomUUID()}`)
    const url = await openid.buildAuthorizationUrlWithPAR(config, {
      redirect_uri: REDIRECT,
      code_challenge: challenge,
      code_challenge_method: 'S256',
      authorization_details: JSON.stringify([
        {
          type: TYPE,
          credentialID: credential,
          documentDigests: hashes.map((hash, i) => ({ hash, label: `File ${i}.pdf`, hashType: 'dtbsr' })),
          hashAlgorithmOID: SHA256,
        },
      ]),
    })
    assert.match(url.searchParams.get('request_uri') ?? '', /^urn:/)
    keepSecret(url.searchParams.get('request_uri') ?? undefined)
    const { url: back, browser } = await answer(service, url)
    assert.match(browser.html, /File 0\.pdf/)
    const tokens = await openid.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier })
    keepSecret(tokens.access_token)
    const [detail] = tokens.authorization_details as openid.AuthorizationDetails[]
    assert.deepEqual([detail?.['credentialID'], detail?.['numSignatures']], [credential, 2])
    const signed = await sign(tokens.access_token, hashes.toReversed())
    assert.equal(signed.status, 200, JSON.stringify(signed.body))
    assert.equal(signed.body.signatures.length, 2)
    assert.equal((await sign(tokens.access_token, hashes)).status, 400)
    await service.checkWorld()
  })

  test('DPoP: the token is worth nothing without the key', async () => {
    const { verifier, challenge } = await pkce()
    const hashes = service.digests(`dpop ${randomUUID()}`)
    const keys = await openid.randomDPoPKeyPair('ES256', { extractable: true })
    const DPoP = openid.getDPoPHandle(config, keys)
    const parameters = { ...plain(hashes), code_challenge: challenge, redirect_uri: REDIRECT }
    const url = await openid.buildAuthorizationUrlWithPAR(config, parameters, { DPoP })
    const { url: back } = await answer(service, url)
    await assert.rejects(openid.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier }), {
      error: 'invalid_grant',
    })
    const again = await answer(service, await openid.buildAuthorizationUrlWithPAR(config, parameters, { DPoP }))
    const tokens = await openid.authorizationCodeGrant(config, again.url, { pkceCodeVerifier: verifier }, undefined, {
      DPoP,
    })
    keepSecret(tokens.access_token)
    assert.equal(tokens.token_type, 'dpop')
    const token = tokens.access_token
    assert.equal((await sign(token, hashes)).status, 401)
    const path = '/csc/v2/signatures/signHash'
    const body = { credentialID: credential, hashes, hashAlgorithmOID: SHA256, signAlgo: ECDSA }
    const prove = async (claims: object = {}, key = keys.privateKey, jwk = keys.publicKey) =>
      new SignJWT({
        htm: 'POST',
        htu: `${ISSUER}${path}`,
        jti: randomUUID(),
        iat: Math.floor(service.clock.now() / 1000),
        ath: createHash('sha256').update(token).digest('base64url'),
        ...claims,
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(jwk) })
        .sign(key)
    const send = (proof: string | undefined, front = 0, scheme = 'DPoP', at = token) =>
      service.post(path, body, {
        front,
        headers: { authorization: `${scheme} ${at}`, ...(proof === undefined ? {} : { dpop: proof }) },
      })
    const other = await openid.randomDPoPKeyPair('ES256', { extractable: true })
    const wrong: [string, string | undefined, string?][] = [
      ['no proof', undefined],
      ['under another scheme', await prove(), 'Bearer'],
      ['not a proof', 'abc'],
      ['another method', await prove({ htm: 'GET' })],
      ['another address', await prove({ htu: `${ISSUER}/csc/v2/credentials/list` })],
      ['another host', await prove({ htu: `https://mallory.example${path}` })],
      ['another token', await prove({ ath: createHash('sha256').update('x').digest('base64url') })],
      ['too old', await prove({ iat: Math.floor(service.clock.now() / 1000) - 120 })],
      ['too early', await prove({ iat: Math.floor(service.clock.now() / 1000) + 120 })],
      ['without a name', await prove({ jti: undefined })],
      ['another key', await prove({}, other.privateKey, other.publicKey)],
      ['a key that did not sign', await prove({}, other.privateKey)],
    ]
    for (const [what, proof, scheme] of wrong) {
      const refused = await send(proof, 0, scheme)
      assert.deepEqual([refused.status, refused.body.error], [401, 'invalid_dpop_proof'], what)
      assert.match(refused.headers.get('www-authenticate') ?? '', /^DPoP .*error="invalid_dpop_proof"/)
    }
    const proof = await prove()
    const signed = await send(proof, 0)
    assert.equal(signed.status, 200, JSON.stringify(signed.body))
    assert.equal((await send(proof, 1)).status, 401, 'the same proof at another front')
    assert.equal((await send(await prove(), 1)).status, 400, 'spent, but proven')
    const bearer = await service.login()
    assert.equal((await send(await prove(), 0, 'DPoP', bearer)).status, 401, 'a token that is bound to no key')
    await service.checkWorld()
  })

  test('version 1: a token of type SAD, used as one', async () => {
    const asking = async (parameters: Record<string, string>) => {
      const { verifier, challenge } = await pkce()
      const query = new URLSearchParams({
        response_type: 'code',
        client_id: client.clientId,
        redirect_uri: REDIRECT,
        code_challenge: challenge,
        code_challenge_method: 'S256',
        ...parameters,
      })
      const { url } = await answer(service, new URL(`${ISSUER}/csc/v1/oauth2/authorize?${query}`))
      const form = {
        grant_type: 'authorization_code',
        code: url.searchParams.get('code') ?? '',
        redirect_uri: REDIRECT,
        code_verifier: verifier,
        client_id: client.clientId,
        client_secret: client.clientSecret,
      }
      const { status, body } = await post(service, '/csc/v1/oauth2/token', form)
      assert.equal(status, 200, JSON.stringify(body))
      return body
    }
    const hashes = service.digests(`v1 ${randomUUID()}`)
    const sad = await asking({
      scope: 'credential',
      credentialID: credential,
      numSignatures: '1',
      hash: `${Buffer.from(hashes[0] as string, 'base64').toString('base64url')}`,
    })
    assert.equal(sad.token_type, 'SAD')
    const bearer = await asking({ scope: 'service' })
    assert.equal(bearer.token_type, 'Bearer')
    assert.equal(
      (await sign(sad.access_token, hashes, { SAD: sad.access_token }, 'v1')).status,
      403,
      'not in the header',
    )
    const basic = await service.login()
    assert.equal((await sign(basic, hashes, { SAD: sad.access_token }, 'v1')).status, 400, 'of another client')
    const signed = await sign(bearer.access_token, hashes, { SAD: sad.access_token }, 'v1')
    assert.equal(signed.status, 200, JSON.stringify(signed.body))
    await service.checkWorld()
  })

  test('a token of a credential reaches that credential, and nothing else', async () => {
    const other = await service.newCredential(service.signer, 'p-256')
    const { access_token: token } = await obtain(plain(service.digests(`reach ${randomUUID()}`)))
    const ask = (path: string, body: object) => service.post(path, body, { bearer: token })
    assert.equal((await ask('/csc/v2/credentials/info', { credentialID: credential })).status, 200)
    assert.equal((await ask('/csc/v2/credentials/info', { credentialID: other })).status, 400)
    assert.equal((await ask('/csc/v1/credentials/info', { credentialID: credential })).status, 403)
    for (const method of ['credentials/list', 'credentials/authorize', 'auth/revoke'])
      assert.equal((await ask(`/csc/v2/${method}`, { credentialID: credential, token })).status, 403, method)
  })

  test('private_key_jwt, and the client’s own token', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }
    const made = await service.admin('client.create', {
      name: 'Archive',
      auth: 'private-key-jwt',
      jwks: JSON.stringify({ keys: [jwk] }),
      scopes: ['service'],
    })
    assert.equal(made.clientSecret, undefined)
    const own = { clientId: made.clientId, clientSecret: '' }
    const archive = await discover(service, own, openid.PrivateKeyJwt({ key: privateKey, kid: 'k1' }))
    const { access_token: bearer, refresh_token } = await openid.clientCredentialsGrant(archive, { scope: 'service' })
    keepSecret(bearer)
    assert.equal(refresh_token, undefined)
    const list = (userID?: string) => service.post('/csc/v2/credentials/list', { userID }, { bearer })
    const refusedUser = { error: 'invalid_request', error_description: 'Invalid parameter userID' }
    assert.deepEqual((await list(service.signer.login)).body, refusedUser, 'nobody is assigned')
    await service.admin('client.assign', { clientId: made.clientId, signer: service.signer.login })
    assert.deepEqual((await list()).body, refusedUser)
    assert.deepEqual((await list('nobody@example.test')).body, refusedUser)
    assert.ok((await list(service.signer.login)).body.credentialIDs.includes(credential))
    const hashes = service.digests(`archive ${randomUUID()}`)
    const wish = { credentialID: credential, numSignatures: 1, hashes, hashAlgorithmOID: SHA256 }
    const authorize = (value: string) =>
      service.post('/csc/v2/credentials/authorize', { ...wish, authData: [{ id: 'OTP', value }] }, { bearer })
    assert.equal((await authorize('00000000')).status, 400, 'the code is the signer’s, as ever')
    const { status, body } = await authorize(await service.freshCode())
    assert.equal(status, 200, JSON.stringify(body))
    keepSecret(body.SAD)
    const { body: signed, status: ok } = await sign(bearer, hashes, { SAD: body.SAD })
    assert.equal(ok, 200, JSON.stringify(signed))
    await service.admin('client.unassign', { clientId: made.clientId, signer: service.signer.login })
    assert.equal((await sign(bearer, hashes, { SAD: body.SAD })).status, 400)
    assert.deepEqual((await list(service.signer.login)).body, refusedUser)
    // A database owner assigns nobody.
    const owner = await service.owner()
    await owner.query(
      `insert into paraph.client_signer (client_id, signer_id, binding) select $1, id, '\\x00' from paraph.signer where login = $2`,
      [made.clientId, service.signer.login],
    )
    assert.equal((await authorize(await service.freshCode())).status, 500)
    await owner.query('delete from paraph.client_signer where client_id = $1', [made.clientId])
    await service.checkWorld()
  })

  test('remembered: refreshed, rotated, and dead once it is used twice', async () => {
    const tokens = await obtain({ scope: 'service' }, { remember: 'yes' })
    assert.ok(tokens.refresh_token)
    keepSecret(tokens.refresh_token)
    const list = (bearer: string) => service.post('/csc/v2/credentials/list', {}, { bearer })
    await service.moveClock(200_000)
    assert.equal((await list(tokens.access_token)).status, 401)
    const next = await openid.refreshTokenGrant(config, tokens.refresh_token as string)
    keepSecret(next.access_token, next.refresh_token)
    assert.notEqual(next.refresh_token, tokens.refresh_token)
    assert.equal((await list(next.access_token)).status, 200)
    await assert.rejects(openid.refreshTokenGrant(config, tokens.refresh_token as string), { error: 'invalid_grant' })
    await until('the family is dead', async () => (await list(next.access_token)).status === 401)
    await assert.rejects(openid.refreshTokenGrant(config, next.refresh_token as string), { error: 'invalid_grant' })
    const without = await obtain({ scope: 'service' })
    assert.equal(without.refresh_token, undefined, 'not without the signer’s choice')
  })

  test('revoked: an access token alone, a refresh token with all of its grant', async () => {
    const form = (token: string) => ({ token, client_id: client.clientId, client_secret: client.clientSecret })
    const list = (bearer: string) => service.post('/csc/v2/credentials/list', {}, { bearer })
    const one = await obtain({ scope: 'service' }, { remember: 'yes' })
    keepSecret(one.refresh_token)
    assert.equal((await post(service, '/oauth2/revoke', form(one.access_token))).status, 204)
    await until('it is dead', async () => (await list(one.access_token)).status === 401)
    const next = await openid.refreshTokenGrant(config, one.refresh_token as string)
    keepSecret(next.access_token, next.refresh_token)
    const other = await register(service)
    const stranger = { token: next.access_token, client_id: other.clientId, client_secret: other.clientSecret }
    const unknown = { error: 'invalid_request', error_description: 'Invalid string parameter token' }
    assert.deepEqual((await post(service, '/oauth2/revoke', stranger)).body, unknown)
    assert.deepEqual((await post(service, '/oauth2/revoke', form('unknown'))).body, unknown)
    assert.equal((await list(next.access_token)).status, 200)
    assert.equal((await post(service, '/csc/v2/oauth2/revoke', form(next.refresh_token as string))).status, 204)
    await until('it is dead', async () => (await list(next.access_token)).status === 401)
    await assert.rejects(openid.refreshTokenGrant(config, next.refresh_token as string), { error: 'invalid_grant' })
    await service.checkWorld()
  })

  test('the signer says no', async () => {
    const { challenge } = await pkce()
    const url = openid.buildAuthorizationUrl(config, {
      ...plain(service.digests('no')),
      redirect_uri: REDIRECT,
      code_challenge: challenge,
      state: 's',
    })
    const { url: back } = await answer(service, url, { no: true })
    assert.deepEqual(
      [back.searchParams.get('error'), back.searchParams.get('state'), back.searchParams.get('code')],
      ['access_denied', 's', null],
    )
  })
})

describe('out of band', () => {
  const asking = (bearer: string, hashes: string[], authData: unknown[] = [{ id: 'APPROVAL' }]) =>
    service.post(
      '/csc/v2/credentials/authorize',
      { credentialID: credential, numSignatures: hashes.length, hashes, hashAlgorithmOID: SHA256, authData },
      { bearer },
    )
  const check = async (bearer: string, handle: string, front = 0) => {
    await service.moveClock(2_000)
    return service.post('/csc/v2/credentials/authorizeCheck', { handle }, { bearer, front })
  }
  /** Answered from the account page. */
  async function answered(fields: Record<string, string>): Promise<FormBrowser> {
    const browser = new FormBrowser(service, 1)
    await browser.open('/portal/sign-in')
    const { login, password } = service.signer
    await browser.submit('/portal/sign-in', { login, password })
    const [, page] = /href="(\/portal\/answer\/[^"]+)"/.exec(browser.html) ?? []
    assert.ok(page, browser.html)
    await browser.open(page)
    const comparison = /class="compare">([0-9]{6})</.exec(browser.html)?.[1]
    await browser.submit(page, fields)
    browser.cookies.set('comparison', comparison ?? '')
    return browser
  }

  test('a handle, an answer on our page, and the SAD once', async () => {
    const bearer = await service.login()
    const hashes = service.digests(`out of band ${randomUUID()}`)
    const asked = await asking(bearer, hashes)
    assert.equal(asked.status, 202, JSON.stringify(asked.body))
    const { handle, approvalID, comparisonNonce, comparison } = asked.body
    keepSecret(handle)
    const parts = { approvalId: approvalID, clientId: 'basic', credentialID: credential, algorithm: 'sha-256', hashes }
    assert.equal(comparisonOf(comparisonNonce, parts), comparison)
    assert.deepEqual([(await check(bearer, handle)).status, (await check(bearer, handle, 1)).status], [202, 202])
    const early = await service.post('/csc/v2/credentials/authorizeCheck', { handle }, { bearer, front: 1 })
    assert.equal(early.status, 429)
    assert.match(early.headers.get('retry-after') ?? '', /^[12]$/)
    const browser = await answered({ answer: 'yes', code: await service.freshCode() })
    assert.match(browser.html, /You have agreed/)
    assert.equal(browser.cookies.get('comparison'), comparison)
    const { status, body } = await check(bearer, handle)
    assert.equal(status, 200, JSON.stringify(body))
    keepSecret(body.SAD)
    assert.equal((await sign(bearer, hashes, { SAD: body.SAD })).status, 200)
    const again = await check(bearer, handle)
    assert.deepEqual([again.status, again.body.error_description], [400, 'Invalid parameter handle'])
    await service.checkWorld()
  })

  test('asked about every two seconds at most, whichever fronts and however many at once', async () => {
    const bearer = await service.login()
    const hashes = service.digests(`polled ${randomUUID()}`)
    const { handle } = (await asking(bearer, hashes)).body
    keepSecret(handle)
    const ask = (front: number) => service.post('/csc/v2/credentials/authorizeCheck', { handle }, { bearer, front })
    const asOften = (answer: Answer) => {
      assert.deepEqual([answer.status, answer.body.error], [429, 'slow_down'])
      assert.match(answer.headers.get('retry-after') ?? '', /^[12]$/)
    }
    for (const first of [0, 1, 0]) {
      assert.equal((await ask(first)).status, 202)
      asOften(await ask(1 - first))
      asOften(await ask(first))
      await service.moveClock(2_000)
    }
    // What only a worker could know is counted in the log as what a front refuses by itself.
    const third = await OwnFront.open(service)
    assert.equal((await ask(0)).status, 202)
    asOften(await ask(third.index))
    third.count('/csc/v2/credentials/authorizeCheck', 429, 'too_often')
    await third.close()
    await service.moveClock(2_000)
    const atOnce = async () => Promise.all(Array.from({ length: 12 }, (_, i) => ask(i % 2)))
    const waiting = await atOnce()
    assert.equal(waiting.filter(({ status }) => status === 202).length, 1)
    for (const answer of waiting.filter(({ status }) => status !== 202)) asOften(answer)
    await answered({ answer: 'yes', code: await service.freshCode() })
    const given = await atOnce()
    const [got, ...more] = given.filter(({ status }) => status === 200)
    assert.ok(got !== undefined && more.length === 0, 'the SAD is given once')
    keepSecret(got.body.SAD)
    for (const answer of given.filter(({ status }) => status !== 200)) asOften(answer)
    assert.equal((await sign(bearer, hashes, { SAD: got.body.SAD })).status, 200)
    for (const front of [0, 1]) {
      const { status, body } = await check(bearer, handle, front)
      assert.deepEqual([status, body.error_description], [400, 'Invalid parameter handle'])
    }
    const world = await service.checkWorld()
    third.assertLogged(world)
    assert.ok(world.entries.every(({ leaf }) => leaf.why !== 'too_often' || leaf.ev === 'access.refused'))
  })

  test('a no, a handle that is none, and a factor beside it', async () => {
    const bearer = await service.login()
    const hashes = service.digests(`denied ${randomUUID()}`)
    const { body } = await asking(bearer, hashes)
    keepSecret(body.handle)
    const browser = await answered({ answer: 'no' })
    assert.match(browser.html, /You have said no/)
    const denied = await check(bearer, body.handle)
    assert.deepEqual(
      [denied.status, denied.body.error, denied.body.error_description],
      [400, 'invalid_authentication_data', 'The authentication data is invalid'],
    )
    assert.equal((await check(bearer, 'none')).body.error_description, 'Invalid parameter handle')
    assert.equal((await asking(bearer, hashes, [{ id: 'APPROVAL' }, { id: 'OTP', value: '1' }])).status, 400)
    await service.checkWorld()
  })
})

describe('what belongs to a remembered client', () => {
  const list = (bearer: string) => service.post('/csc/v2/credentials/list', {}, { bearer })

  test('is revoked through the API as well', async () => {
    const tokens = await obtain({ scope: 'service' }, { remember: 'yes' })
    keepSecret(tokens.refresh_token)
    const stranger = await service.login()
    const revoke = (bearer: string, more: object = {}) =>
      service.post('/csc/v2/auth/revoke', { token: tokens.refresh_token, ...more }, { bearer })
    assert.equal((await revoke(stranger)).status, 400, 'another client')
    assert.equal((await revoke(tokens.access_token, { token_type_hint: 'access_token' })).status, 400)
    assert.equal((await revoke(tokens.access_token)).status, 204)
    await until('it is dead', async () => (await list(tokens.access_token)).status === 401)
    await assert.rejects(openid.refreshTokenGrant(config, tokens.refresh_token as string), { error: 'invalid_grant' })
  })

  test('ends with the signer’s other logins', async () => {
    const tokens = await obtain({ scope: 'service' }, { remember: 'yes' })
    keepSecret(tokens.refresh_token)
    await service.admin('signer.suspend', { signer: service.signer.login })
    await service.admin('signer.resume', { signer: service.signer.login })
    await assert.rejects(openid.refreshTokenGrant(config, tokens.refresh_token as string), { error: 'invalid_grant' })
    await service.checkWorld()
  })
})

test('an account token fills in the login, and is taken once', async () => {
  const accountToken = (claims: object = {}, secret = client.clientSecret) =>
    new SignJWT({
      sub: 'someone@example.test',
      azp: client.clientId,
      jti: randomUUID(),
      iat: Math.floor(service.clock.now() / 1000),
      ...claims,
    })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(createHash('sha256').update(secret).digest())
  const { challenge } = await pkce()
  const lead = async (account_token: string) => {
    const query = { scope: 'service', redirect_uri: REDIRECT, code_challenge: challenge, code_challenge_method: 'S256' }
    const { pathname, search } = openid.buildAuthorizationUrl(config, { ...query, account_token })
    const browser = new FormBrowser(service)
    const sent = await browser.send('GET', `${pathname}${search}`)
    return { browser, to: sent.headers.get('location') ?? '' }
  }
  const right = await accountToken()
  keepSecret(right)
  const { browser, to } = await lead(right)
  assert.match(to, /^\/portal\/approve\//)
  await browser.open(to)
  assert.match(browser.html, /name="login"[^>]* value="someone@example\.test"/)
  for (const [what, token] of [
    ['used before', right],
    ['under another secret', await accountToken({}, 'guessed')],
    ['for another client', await accountToken({ azp: 'other' })],
    ['of nobody', await accountToken({ sub: undefined })],
    ['too old', await accountToken({ iat: 1 })],
    ['no token', 'abc'],
  ] as const) {
    const refused = await lead(token)
    assert.match(refused.to, /error_description=Invalid\+parameter\+account_token/, what)
  }
})
