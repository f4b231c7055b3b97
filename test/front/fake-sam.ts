/** A SAM worker's side of the activation protocol, without a device: it answers as it is told and complains of misuse. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FrontVerb, FrontVerbs, RequestFrame } from '../../src/activation.js'
import { ServiceError } from '../../src/errors.js'
import { encodeFrame, FrameReader } from '../../src/frames.js'

export type Replies = {
  [V in FrontVerb]: (
    request: FrontVerbs[V]['request'],
  ) => FrontVerbs[V]['response'] | Promise<FrontVerbs[V]['response']>
}

export class FakeSam {
  readonly path: string
  readonly requests: { verb: FrontVerb; body: unknown }[] = []
  /** Chunks of bytes as they arrived. */
  chunks = 0
  readonly #folder = mkdtempSync(join(tmpdir(), 'fake-sam-'))
  #replies: Partial<Replies>
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  constructor(replies: Partial<Replies> = {}) {
    this.path = join(this.#folder, 'sam.sock')
    this.#replies = { ...HEALTHY, ...replies }
  }

  on<V extends FrontVerb>(verb: V, reply: Replies[V]): void {
    this.#replies[verb] = reply as Replies[V]
  }

  /** Everything works again. */
  heal(): void {
    this.#replies = { ...HEALTHY }
  }

  /** Bodies of the requests of one kind so far. */
  asked<V extends FrontVerb>(verb: V): FrontVerbs[V]['request'][] {
    return this.requests.filter((one) => one.verb === verb).map(({ body }) => body as FrontVerbs[V]['request'])
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      const server = createServer((socket) => this.#serve(socket))
      this.#server = server
      server.once('error', reject).listen(this.path, resolve)
    })
  }

  /** Breaks every connection and listens no more, as a killed worker does. */
  async kill(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    for (const socket of this.#sockets) socket.destroy()
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()))
  }

  /** Sends these bytes to everyone connected. */
  babble(bytes: Buffer): void {
    for (const socket of this.#sockets) socket.write(bytes)
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #serve(socket: Socket): void {
    const reader = new FrameReader()
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('data', (chunk) => {
      this.chunks += 1
      for (const frame of reader.push(chunk)) void this.#reply(socket, frame as RequestFrame)
    })
  }

  async #reply(socket: Socket, { id, verb, body }: RequestFrame): Promise<void> {
    if (!(verb in this.#replies)) throw new Error(`a front asked for ${verb}`)
    this.requests.push({ verb: verb as FrontVerb, body })
    try {
      const reply = this.#replies[verb as FrontVerb] as (request: unknown) => unknown
      socket.write(encodeFrame({ id, ok: await reply(body) }))
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      const { code, detail, retryAfter } = error
      socket.write(encodeFrame({ id, error: { code, detail, retryAfter } }))
    }
  }
}

/** Where the log is said to have a signing. */
export const RECEIPT = { origin: 'log.example.test', index: 7, leafHash: Buffer.alloc(32, 1).toString('base64') }

/** Token of an auditor, as this worker has it. */
export const AUDITOR = 'the-token-of-an-auditor'

/** What it gives out to him. */
export const TICKETS = { read: Buffer.alloc(32), export: Buffer.alloc(32, 1) }

const HEALTHY: Partial<Replies> = {
  login: ({ rememberMe }) => ({
    accessToken: 'access',
    expiresIn: 180,
    ...(rememberMe ? { refreshToken: 'refresh' } : {}),
  }),
  refresh: () => ({ accessToken: 'access2', refreshToken: 'refresh2', expiresIn: 180 }),
  revoke: () => ({}),
  createCredential: () => ({ credentialId: '01980000-0000-7000-8000-000000000002' }),
  deleteCredential: () => ({}),
  authorize: () => ({ sad: 'sad', expiresIn: 180 }),
  sendCode: () => ({}),
  stop: () => ({}),
  extend: () => ({ sad: 'sad2', expiresIn: 180 }),
  sign: ({ digests }) => ({
    operation: 'op',
    signatures: digests.map((digest) => Buffer.from(`signed ${digest}`).toString('base64')),
    receipt: RECEIPT,
  }),
  receipt: () => ({ pending: true }),
  timestamp: () => ({ token: Buffer.from('token').toString('base64') }),
  timeStampQuery: () => ({ response: Buffer.from('response').toString('base64') }),
  signIn: () => ({ token: 'page', expiresIn: 180 }),
  openLink: () => ({
    login: 'signer@example.test',
    name: 'Signer',
    setsPassword: true,
    replaces: false,
    secret: 'JBSWY3DPEHPK3PXP',
    uri: 'otpauth://totp/x?secret=JBSWY3DPEHPK3PXP',
  }),
  activate: () => ({ recoveryCodes: ['abcd-efgh-jkmn-pqrs'], browser: 'browser' }),
  recover: () => ({ link: 'link' }),
  account: () => ({
    login: 'signer@example.test',
    name: 'Signer',
    authenticators: [],
    recoveryCodesLeft: 0,
    sessions: [],
  }),
  changePassword: () => ({}),
  renewRecoveryCodes: () => ({ recoveryCodes: [] }),
  addAuthenticator: () => ({ link: 'link' }),
  removeAuthenticator: () => ({}),
  beginPasskey: () => ({
    ticket: 'ticket',
    rpId: 'localhost',
    challenge: 'AAAA',
    userId: 'AAAA',
    login: 'signer@example.test',
    name: 'Signer',
    exclude: [],
  }),
  registerPasskey: () => ({}),
  stopReplacement: () => ({}),
  cancelReplacement: () => ({}),
  requestApproval: () => ({
    approvalId: '01980000-0000-7000-8000-000000000001',
    comparison: '123456',
    nonce: 'n',
    expiresIn: 180,
  }),
  frontSecret: () => ({ secret: Buffer.alloc(32, 7).toString('base64') }),
  collect: () => ({ sad: 'sad', expiresIn: 180 }),
  look: ({ token, kind }) => {
    if (token !== AUDITOR) throw new ServiceError('operator_unknown')
    return { ticket: TICKETS[kind].toString('base64'), size: 0, expiresAt: new Date().toISOString() }
  },
  announce: () => ({}),
  health: () => ({ device: true, database: true, clock: true, log: true, demo: true, timeStamps: true }),
}
