import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import * as openid from 'openid-client'
import { keepSecret, TestService } from '../helpers/test-service.js'
import { answer, discover, REDIRECT, type Registered, register } from './oauth-client.js'

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
})
