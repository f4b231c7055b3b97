/** A front over a real database and a SAM that does as it is told. */
import { hash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import pino from 'pino'
import type { AuditEvent, FrontEventName } from '../../src/audit/event.js'
import { systemClock } from '../../src/clock.js'
import { type Client, openClient } from '../../src/db/pool.js'
import { ServiceError } from '../../src/errors.js'
import { buildApp, type FrontConfig, type FrontServices } from '../../src/front/app.js'
import { openAuditorsDatabase, openDatabase } from '../../src/front/database.js'
import { frontReads } from '../../src/front/reads.js'
import { createSamClient, type SamClient } from '../../src/front/sam-client.js'
import { type CredentialId, newId, type SessionId, type SignerId } from '../../src/ids.js'
import { checkAnswers } from '../helpers/check-answers.js'
import { type TempDatabase, tempDatabase } from '../helpers/temp-database.js'
import { FakeSam } from './fake-sam.js'

export const CONFIG: FrontConfig = {
  publicUrl: 'https://sign.example.test',
  trustedProxies: [],
  basicLogin: true,
  auditPublic: false,
  name: 'Paraph',
  region: 'PL',
  lang: 'en',
}

/** What the service writes for its operators, kept to be looked at. */
export class LogLines {
  readonly lines: string[] = []
  readonly logger = pino({ level: 'trace' }, { write: (line: string) => void this.lines.push(line) })
}

/** The audit log of a test; refuses while `down`. */
export class Entries {
  readonly list: AuditEvent<FrontEventName>[] = []
  down = false

  async append(event: AuditEvent<FrontEventName>): Promise<void> {
    if (this.down) throw new ServiceError('unavailable', { retryAfter: 1 })
    this.list.push(event)
  }

  of(type: FrontEventName): AuditEvent<FrontEventName>[] {
    return this.list.filter((event) => event.type === type)
  }
}

export interface TestFront {
  readonly app: FastifyInstance
  readonly sam: FakeSam
  readonly client: SamClient
  readonly entries: Entries
  readonly logs: LogLines
  readonly database: TempDatabase
  readonly seed: Seed
  /** Of the first signer, with scope `service`. */
  readonly token: string
  readonly signer: SignerId
  post(path: string, body?: unknown, token?: string | null): Promise<Reply>
  close(): Promise<void>
}

export interface Reply {
  readonly status: number
  readonly body: Record<string, unknown>
  readonly headers: Record<string, string | string[] | number | undefined>
}

/** Every answer of it is held against the contract. */
export async function testFront(options: Partial<FrontServices> & { config?: FrontConfig } = {}): Promise<TestFront> {
  const database = await tempDatabase()
  const owner = await openClient(database.ownerUrl)
  const sam = new FakeSam()
  await sam.start()
  const entries = new Entries()
  const logs = new LogLines()
  const connections = openDatabase({ url: database.frontUrl, logger: logs.logger })
  const auditors = openAuditorsDatabase(database.frontUrl)
  const client = createSamClient({ sockets: [sam.path], logger: logs.logger })
  await connected(client)
  const app = buildApp({
    store: connections,
    strangers: { db: frontReads(connections.forStrangers), store: connections.forStrangers },
    config: CONFIG,
    db: frontReads(connections),
    auditors,
    sam: client,
    log: entries,
    logger: logs.logger,
    clock: systemClock,
    ...options,
  })
  checkAnswers(app)
  await app.ready()
  const seed = new Seed(owner)
  const signer = await seed.signer()
  const { token } = await seed.session(signer)
  sam.requests.length = 0
  return {
    app,
    sam,
    client,
    entries,
    logs,
    database,
    seed,
    token,
    signer,
    post: (path, body, bearer = token) => post(app, path, body, bearer),
    async close() {
      await app.close()
      await Promise.all([client.close(), connections.close(), auditors.close(), owner.end()])
      await sam.stop()
      await database.drop()
    },
  }
}

/** The client connects on its own; its first answer tells that it has. */
export async function connected(client: SamClient): Promise<void> {
  for (;;) {
    try {
      await client.call('health', {})
      return
    } catch (error) {
      if (!(error instanceof ServiceError) || error.code !== 'unavailable') throw error
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

export async function post(app: FastifyInstance, path: string, body?: unknown, token?: string | null): Promise<Reply> {
  const answer = await app.inject({
    method: 'POST',
    url: path,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === null || token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const json = answer.body !== '' && String(answer.headers['content-type']).startsWith('application/json')
  return {
    status: answer.statusCode,
    body: json ? (JSON.parse(answer.body) as Record<string, unknown>) : { text: answer.body },
    headers: answer.headers as Reply['headers'],
  }
}

/** Rows as a SAM worker would have written them, but for the bindings, which no front can read. */
export class Seed {
  readonly #owner: Client
  constructor(owner: Client) {
    this.#owner = owner
  }

  async query(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    return (await this.#owner.query(text, values)).rows as Record<string, unknown>[]
  }

  async signer(): Promise<SignerId> {
    const id = newId<SignerId>()
    await this.query(`insert into paraph.signer (id, login, name, password_hash) values ($1, $2, 'A Signer', '')`, [
      id,
      `${id}@example.test`,
    ])
    return id
  }

  async session(
    signer: SignerId,
    options: { scope?: string; kind?: 'access' | 'refresh'; expired?: boolean } = {},
  ): Promise<{ token: string; session: SessionId }> {
    const { scope = 'service', kind = 'access', expired = false } = options
    const session = newId<SessionId>()
    const token = `token-${newId()}`
    await this.query(
      `insert into paraph.session (id, signer_id, client_id, started_at, ends_at)
       values ($1, $2, 'basic', now() - interval '1 minute', now() + interval '10 minutes')`,
      [session, signer],
    )
    await this.query(
      `insert into paraph.token (hash, kind, session_id, signer_id, client_id, scope, family, expires_at)
       values ($1, $2, $3, $4, 'basic', $5, $6, now() + $7::interval)`,
      [hash('sha256', token, 'buffer'), kind, session, signer, scope, newId(), expired ? '-1 second' : '10 minutes'],
    )
    return { token, session }
  }

  async credential(signer: SignerId, given: Record<string, unknown> = {}): Promise<CredentialId> {
    const row: Record<string, unknown> = {
      id: newId(),
      signer_id: signer,
      spec: 'rsa-2048',
      state: 'active',
      description: 'Test credential',
      scal: '2',
      multisign: 10,
      generation: 1,
      public_key: Buffer.alloc(0),
      blob: Buffer.alloc(0),
      chain: [LEAF, ROOT],
      subject_dn: 'CN=Demo Signer,O=Example Sp. z o.o.,C=PL',
      issuer_dn: 'CN=Demo CA,C=PL',
      serial_number: '0a1b',
      not_before: new Date('2026-01-02T03:04:05Z'),
      not_after: new Date('2126-01-02T03:04:05Z'),
      binding: Buffer.alloc(0),
      ...given,
    }
    const names = Object.keys(row)
    await this.query(
      `insert into paraph.credential (${names.join(', ')}) values (${names.map((_, i) => `$${i + 1}`).join(', ')})`,
      Object.values(row),
    )
    return row.id as CredentialId
  }
}

/** Self-signed; its subject is C=PL, O=Example Sp. z o.o., CN=Demo Signer. */
export const LEAF = Buffer.from(
  'MIIB1jCCAXugAwIBAgIUYgkHvd8fdwltOpzsP+mhYeovEHYwCgYIKoZIzj0EAwIwQDELMAkGA1UEBhMCUEwxGzAZBgNVBAoMEkV4YW1wbGUgU3' +
    'AuIHogby5vLjEUMBIGA1UEAwwLRGVtbyBTaWduZXIwHhcNMjYxMTIyMTAyNTAzWhcNMzYxMTE5MTAyNTAzWjBAMQswCQYDVQQGEwJQTDEbMBkG' +
    'A1UECgwSRXhhbXBsZSBTcC4geiBvLm8uMRQwEgYDVQQDDAtEZW1vIFNpZ25lcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBElscoGJo+cSX' +
    '2PzkOnYge/xK4AL72U1YD+I5YxyyrMw3m2pB0IDvvABewgEks6H3BoIoMgCZv0AiRiNT3QP7mjUzBRMB0GA1UdDgQWBBSjWiXNaDHQ0tDfF0Dt' +
    'fkAduOUnYzAfBgNVHSMEGDAWgBSjWiXNaDHQ0tDfF0DtfkAduOUnYzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDdRn7Bsv' +
    'HfMWAOIdOTc0qkVxEuM0zIRIlZApyx+9C9IwIhAKHaliQCLhhsGoDItKXyQFjYDsCbiVywmx54mOBj0aHT',
  'base64',
)
/** Stands for an issuer; nothing here looks into it. */
export const ROOT = Buffer.from('an issuer')

export const digestOf = (text: string, algorithm = 'sha256'): string => hash(algorithm, text, 'base64')

export const SHA256 = '2.16.840.1.101.3.4.2.1'
export const SHA384 = '2.16.840.1.101.3.4.2.2'
export const SHA512 = '2.16.840.1.101.3.4.2.3'
