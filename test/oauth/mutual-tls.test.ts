import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startFront } from '../../src/front/main.js'
import { keepSecret, TestService } from '../helpers/test-service.js'

let service: TestService
let front: { url: string; close(): Promise<void> }
const folder = mkdtempSync(join(tmpdir(), 'paraph-mtls-'))

interface Identity {
  readonly key: string
  readonly cert: string
}

function identity(name: string): Identity {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)]
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert]
  execFileSync('openssl', ['req', '-x509', '-subj', `/CN=${name}`, ...made], { stdio: 'ignore' })
  return { key, cert }
}

before(async () => {
  service = await TestService.start({ keys: ['p-256'] })
  const { cert: certFile, key: keyFile } = identity('localhost')
  const settings = {
    ...service.newFrontSettings(5),
    publicUrl: 'https://localhost',
    tls: { certFile, keyFile, clientCertificates: true },
  }
  front = await startFront({ settings, logger: service.logger, clock: service.clock })
})
after(async () => {
  await front?.close()
  await service?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** POST over a connection with this certificate, if one is given. */
function send(
  path: string,
  body: string,
  headers: Record<string, string>,
  who?: Identity,
  // biome-ignore lint/suspicious/noExplicitAny: tests look at answers of every shape
): Promise<{ status: number; body: any }> {
  const certificate = who === undefined ? {} : { cert: readFileSync(who.cert), key: readFileSync(who.key) }
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', headers, rejectUnauthorized: false, agent: false, ...certificate }
    const asked = request(new URL(path, front.url), options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ status: response.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) })
      })
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

test('a client with a registered certificate gets a token that works with that certificate only', async () => {
  const own = identity('archive')
  const other = identity('other')
  const { publicKey, raw } = new X509Certificate(readFileSync(own.cert))
  const jwk = { ...publicKey.export({ format: 'jwk' }), x5c: [raw.toString('base64')] }
  const { clientId } = await service.admin('client.create', {
    name: 'Archive',
    auth: 'tls',
    jwks: JSON.stringify({ keys: [jwk] }),
    scopes: ['service'],
  })
  await service.admin('client.assign', { clientId, signer: service.signer.login })
  const form = `grant_type=client_credentials&scope=service&client_id=${clientId}`
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  for (const who of [undefined, other]) {
    const refused = await send('/oauth2/token', form, type, who)
    assert.deepEqual([refused.status, refused.body.error_description], [400, 'Client authorization required'])
  }
  const { status, body } = await send('/oauth2/token', form, type, own)
  assert.equal(status, 200, JSON.stringify(body))
  keepSecret(body.access_token)
  const list = (who: Identity | undefined) =>
    send(
      '/csc/v2/credentials/list',
      JSON.stringify({ userID: service.signer.login }),
      { 'content-type': 'application/json', authorization: `Bearer ${body.access_token}`, 'x-request': randomUUID() },
      who,
    )
  assert.equal((await list(own)).status, 200)
  assert.equal((await list(other)).status, 401)
  assert.equal((await list(undefined)).status, 401)
  // Another front, which ends no TLS, cannot see a certificate.
  const elsewhere = { userID: service.signer.login }
  assert.equal((await service.post('/csc/v2/credentials/list', elsewhere, { bearer: body.access_token })).status, 401)
  await service.checkWorld()
})
