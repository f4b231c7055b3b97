/** A front as a SAM worker meets it, and a signer who is signed in to our own pages. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import type { AnswerFrame, FrontVerb, FrontVerbs } from '../../src/activation.js'
import { encodeFrame, FrameReader } from '../../src/frames.js'
import { Passkey } from '../helpers/passkey.js'
import { keepSecret, type TestService } from '../helpers/test-service.js'

export const origin = { requestId: 'test', address: '192.0.2.7', api: 'oauth2' } as const

/** The answer of a worker to one request, whatever it is. */
async function askRaw(service: TestService, verb: string, body: unknown, worker = 0): Promise<AnswerFrame> {
  const socket = connect(service.workerSettings[worker]?.socket as string)
  const reader = new FrameReader()
  try {
    return await new Promise<AnswerFrame>((resolve, reject) => {
      socket.on('error', reject)
      socket.on('close', () => reject(new Error('the worker hung up')))
      socket.on('data', (chunk) => {
        for (const frame of reader.push(chunk)) resolve(frame as AnswerFrame)
      })
      socket.write(encodeFrame({ id: 1, verb, body }))
    })
  } finally {
    socket.destroy()
  }
}

class Refused extends Error {
  readonly code: string
  constructor(code: string) {
    super(code)
    this.code = code
  }
}

/** @throws Refused */
export async function ask<V extends FrontVerb>(
  service: TestService,
  verb: V,
  body: FrontVerbs[V]['request'],
  worker = 0,
): Promise<FrontVerbs[V]['response']> {
  const answer = await askRaw(service, verb, body, worker)
  if ('error' in answer) throw new Refused(answer.error.code)
  return answer.ok as FrontVerbs[V]['response']
}

export function newSecret(): string {
  const secret = randomBytes(32).toString('base64url')
  keepSecret(secret)
  return secret
}

export const tokenHash = (token: string) => createHash('sha256').update(token).digest('base64')

/** The token of a fresh session of our own pages. */
export async function pageSession(service: TestService, { login, password } = service.signer): Promise<string> {
  const { token } = await ask(service, 'signIn', { origin, login, password })
  keepSecret(token)
  return token
}

/** A new passkey of the signer, registered as our page does it. */
export async function newPasskey(service: TestService, signer = service.signer): Promise<Passkey> {
  const bearer = await pageSession(service, signer)
  const code = await service.freshCode(signer)
  const begun = await ask(service, 'beginPasskey', { origin, bearer, code })
  const passkey = new Passkey(service.publicUrl)
  const response = passkey.register(begun)
  await ask(service, 'registerPasskey', { origin, bearer, ticket: begun.ticket, response, label: 'mine' })
  return passkey
}

/** The comparison code as a client computes it from what it knows (src/front/oauth/README.md). */
export function comparisonOf(
  nonce: string,
  parts: { approvalId: string; clientId: string; credentialID?: string; algorithm?: string; hashes: string[] },
): string {
  const { approvalId, clientId, credentialID = '', algorithm = '', hashes } = parts
  const digests = hashes.map((text) => Buffer.from(text, 'base64').toString('base64url'))
  const lines = [
    'paraph/comparison/v1',
    approvalId,
    clientId,
    credentialID,
    algorithm,
    String(hashes.length),
    ...digests,
  ]
  const mac = createHmac('sha256', Buffer.from(nonce, 'base64url')).update(lines.join('\n')).digest()
  return String(mac.readUIntBE(0, 6) % 1_000_000).padStart(6, '0')
}
