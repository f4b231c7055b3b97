import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { Clock } from '../../src/clock.js'
import { algorithmOfLength, digest } from '../../src/digest.js'
import type { KeySpec, Mechanism, ServiceKey } from '../../src/hsm/hsm.js'
import { DIGEST_OID, usualMechanism } from '../../src/pki/algorithm.js'
import { createRoot, issue } from '../../src/pki/demo-ca.js'
import { SoftwareHsm } from '../pki/software-hsm.js'

export const LOGIN = 'signer@example.test'
export const PASSWORD = ' correct: horse '

export interface Reply {
  readonly status: number
  readonly body?: object
  readonly headers?: OutgoingHttpHeaders
}

/** A signing service as the CSC API v2 describes it, just strict enough to notice a client that cheats. */
export interface FakeService {
  readonly url: string
  /** DER. */
  readonly root: Uint8Array
  readonly credentials: FakeCredential[]
  /** What was asked, in order: method and the number of hashes. */
  readonly calls: string[]
  /** Says whether a one-time code is right; the same answer twice is up to it. */
  acceptCode: (code: string) => boolean
  /** Answers instead of the service, where it answers at all; `never` lets the caller wait. */
  interfere: (method: string) => Reply | 'never' | undefined
  /** Whether an answer is lost on its way. */
  lose: (method: string) => boolean
  /** Whether it knows `Idempotency-Key`. */
  keepsAnswers: boolean
  /** Changes a signature before it leaves. */
  tamper: (signature: Uint8Array, index: number) => Uint8Array
  readonly openSessions: Set<string>
  addCredential(spec: KeySpec, more?: Partial<Pick<FakeCredential, 'multisign' | 'pin'>>): Promise<FakeCredential>
}

export interface FakeCredential {
  readonly id: string
  readonly key: ServiceKey
  readonly leaf: Uint8Array
  multisign: number
  pin: string | undefined
  status: 'enabled' | 'disabled'
}

export async function startService(test: TestContext, clock: Clock): Promise<FakeService> {
  const hsm = new SoftwareHsm()
  const ca = await hsm.createServiceKey('ca', 'p-256')
  const root = await createRoot(hsm, ca, clock)
  const kept = new Map<string, Reply>()
  const sads = new Map<string, { token: string; credentialID: string; hashes: string[] }>()

  const server = createServer((request, response) => {
    void serve(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  test.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const service: FakeService = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    root,
    credentials: [],
    calls: [],
    acceptCode: () => true,
    interfere: () => undefined,
    lose: () => false,
    keepsAnswers: true,
    tamper: (signature) => signature,
    openSessions: new Set(),
    async addCredential(spec, more = {}) {
      const key = await hsm.createServiceKey(randomUUID(), spec)
      const subject = { commonName: 'Demo Signer' }
      const leaf = await issue(hsm, ca, root, { subject, publicKey: key.publicKey }, clock)
      const status = 'enabled' as const
      const credential: FakeCredential = {
        id: randomUUID(),
        key,
        leaf,
        multisign: 100,
        pin: undefined,
        status,
        ...more,
      }
      service.credentials.push(credential)
      return credential
    },
  }
  return service

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>
    const method = (request.url ?? '').replace('/csc/v2/', '')
    service.calls.push(Array.isArray(body.hashes) ? `${method} ${body.hashes.length}` : method)
    const name = service.keepsAnswers ? String(request.headers['idempotency-key'] ?? randomUUID()) : randomUUID()
    const reply =
      service.interfere(method) ?? kept.get(name) ?? (await replyTo(method, request.headers.authorization ?? '', body))
    if (reply === 'never') return
    kept.set(name, reply)
    if (service.lose(method)) return void request.socket.destroy()
    const headers = { 'content-type': 'application/json', 'x-request-id': randomUUID(), ...reply.headers }
    response.writeHead(reply.status, headers).end(reply.body && JSON.stringify(reply.body))
  }

  async function replyTo(method: string, authorization: string, body: Record<string, unknown>): Promise<Reply> {
    if (method === 'auth/login') return login(authorization)
    const token = authorization.replace(/^Bearer /, '')
    if (!service.openSessions.has(token)) return refused('The token provided is not a valid', 401, 'invalid_token')
    switch (method) {
      case 'auth/revoke':
        service.openSessions.delete(token)
        return { status: 204 }
      case 'credentials/list': {
        const credentialIDs = service.credentials.map(({ id }) => id)
        return { status: 200, body: { credentialIDs, credentialInfos: service.credentials.map(describe) } }
      }
      case 'credentials/info': {
        const credential = service.credentials.find(({ id }) => id === body.credentialID)
        if (credential === undefined) return refused('Invalid parameter credentialID')
        return { status: 200, body: describe(credential) }
      }
      case 'credentials/authorize':
        return authorize(token, body)
      case 'signatures/signHash':
        return signHash(token, body)
      default:
        return refused('This method is not implemented.', 501, 'not_implemented_method')
    }
  }

  function login(authorization: string): Reply {
    const given = Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString()
    if (given !== `${LOGIN}:${PASSWORD}`) {
      return refused('An error occurred during authentication process', 400, 'authentication_error')
    }
    const token = randomBytes(16).toString('hex')
    service.openSessions.add(token)
    return { status: 200, body: { access_token: token, expires_in: 180 } }
  }

  function describe({ id, key, leaf, multisign, pin, status }: FakeCredential): object {
    const mechanism = usualMechanism(key.publicKey) as Mechanism
    const rsa = mechanism.scheme === 'rsa-pkcs1'
    return {
      credentialID: id,
      key: { status, len: 0, algo: rsa ? ['1.2.840.113549.1.1.1', '1.2.840.113549.1.1.11'] : [ecdsaOid(mechanism)] },
      cert: { certificates: [leaf, root].map((der) => Buffer.from(der).toString('base64')), qcStatements: [] },
      auth: {
        mode: 'explicit',
        objects: [
          { type: 'Password', id: 'OTP', format: 'N', generator: 'totp' },
          ...(pin === undefined ? [] : [{ type: 'Password', id: 'PIN' }]),
        ],
      },
      SCAL: '2',
      multisign,
    }
  }

  function authorize(token: string, body: Record<string, unknown>): Reply {
    const credential = service.credentials.find(({ id }) => id === body.credentialID)
    const hashes = body.hashes as string[]
    if (credential === undefined) return refused('Invalid parameter credentialID')
    if (body.numSignatures !== hashes.length) return refused('Invalid value for parameter numSignatures')
    if (hashes.length > credential.multisign) return refused('Numbers of signatures is too high')
    const factors = new Map((body.authData as { id: string; value: string }[]).map(({ id, value }) => [id, value]))
    if (!service.acceptCode(factors.get('OTP') ?? '') || factors.get('PIN') !== credential.pin) {
      return refused('The authentication data is invalid', 400, 'invalid_authentication_data')
    }
    const SAD = randomUUID()
    sads.set(SAD, { token, credentialID: credential.id, hashes })
    return { status: 200, body: { SAD, expiresIn: 120 } }
  }

  async function signHash(token: string, body: Record<string, unknown>): Promise<Reply> {
    const agreed = sads.get(String(body.SAD))
    sads.delete(String(body.SAD))
    if (agreed === undefined || agreed.token !== token) return refused('Invalid parameter SAD')
    const same = JSON.stringify(agreed.hashes) === JSON.stringify(body.hashes)
    if (!same || agreed.credentialID !== body.credentialID) return refused('Hash is not authorized')
    const { key } = service.credentials.find(({ id }) => id === agreed.credentialID) as FakeCredential
    const digests = agreed.hashes.map((hash) => {
      const bytes = Buffer.from(hash, 'base64')
      return digest(algorithmOfLength(bytes.length) ?? 'sha-256', bytes)
    })
    const hash = digests[0]?.algorithm ?? 'sha-256'
    if (body.hashAlgorithmOID !== DIGEST_OID[hash]) return refused('Invalid parameter hashAlgorithmOID')
    const mechanism = { ...(usualMechanism(key.publicKey) as Mechanism), hash }
    const algorithms =
      mechanism.scheme === 'ecdsa' ? [ecdsaOid(mechanism)] : ['1.2.840.113549.1.1.1', '1.2.840.113549.1.1.11']
    if (!algorithms.includes(String(body.signAlgo))) return refused('Invalid parameter signAlgo')
    const signatures = await hsm.sign(key, mechanism, digests, Number.POSITIVE_INFINITY)
    const encoded = signatures.map((one, index) => Buffer.from(service.tamper(one, index)).toString('base64'))
    return { status: 200, body: { signatures: encoded } }
  }
}

function ecdsaOid({ hash }: Mechanism): string {
  return `1.2.840.10045.4.3.${{ 'sha-256': 2, 'sha-384': 3, 'sha-512': 4 }[hash]}`
}

export function refused(text: string, status = 400, error = 'invalid_request'): Reply {
  return { status, body: { error, error_description: text } }
}
