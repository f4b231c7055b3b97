/** What the suite wants to know out of band, from a service of the tests. */
import { randomUUID, X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { searchTag } from '../../src/audit/leaf.js'
import type { Clock } from '../../src/clock.js'
import type { Adapter } from '../../src/conformance/adapter.js'
import type { Json } from '../../src/conformance/values.js'
import { createRoot, issue } from '../../src/pki/demo-ca.js'
import { keepSecret, type TestService, type TestSigner } from '../helpers/test-service.js'
import { SoftwareHsm } from '../pki/software-hsm.js'

const PERIOD_MS = 30_000
const DAY_MS = 24 * 3600 * 1000
/** As long as a root of the demo's authority lives. */
const ROOT_MS = 90 * DAY_MS
/** As long as a certificate lives that ends while a session goes on. */
const BRIEF_MS = 90_000
const CAN = [
  ...['code', 'steps', 'clock', 'suspend', 'resume', 'unlock', 'remember', 'only-valid', 'expire-sad', 'record'],
  ...['oauth', 'oauth-refresh', 'rotation', 'client-credentials', 'pushed', 'rich'],
  ...['out-of-band', 'approve', 'deny', 'sent', 'creation', 'deletion', 'outlive', 'revoke'],
]
/** Those of the product's own adapter. */
const pages = import(new URL('../../../conformance/adapters/paraph-pages.mjs', import.meta.url).href)

export class ServiceAdapter implements Adapter {
  readonly #service: TestService
  readonly #signers: Record<string, TestSigner>
  readonly #world: Readonly<Record<string, Readonly<Record<string, Json>>>>
  /** The last period whose code was told, by signer. */
  readonly #told = new Map<string, number>()

  private constructor(
    service: TestService,
    signers: Record<string, TestSigner>,
    world: Readonly<Record<string, Readonly<Record<string, Json>>>>,
  ) {
    this.#service = service
    this.#signers = signers
    this.#world = world
  }

  /** Makes a second signer, and credentials of every sort that lasts. Two days pass, so that a certificate expires. */
  static async prepare(service: TestService): Promise<ServiceAdapter> {
    const one = service.signer
    const expired = await service.newCredential(one, 'p-256')
    await certify(service, expired, DAY_MS)
    await service.moveClock(2 * DAY_MS)
    const two = await service.newSigner('two@example.test', 'Second Signer')
    const app = await newClient(service, 'The app', 'https://app.example.test/callback')
    await service.admin('client.assign', { clientId: app.id, signer: one.login })
    const pin = '480213957'
    keepSecret(pin)
    const revoked = await service.newCredential(one, 'p-256')
    await service.admin('credential.revoke', { credentialID: revoked })
    const rsa = await service.newCredential(one, 'rsa-2048')
    const world = {
      one: {
        login: one.login,
        password: one.password,
        expired,
        rsa,
        pss: rsa,
        ecdsa: await service.newCredential(one, 'p-256'),
        open: await service.newCredential(one, 'p-256', { scal: '1' }),
        pinned: await service.newCredential(one, 'p-256', { pin }),
        pin,
        revoked,
      },
      two: { login: two.login, password: two.password, rsa: await service.newCredential(two, 'rsa-2048') },
      app,
      other: await newClient(service, 'Another app', 'https://other.example.test/callback'),
    }
    return new ServiceAdapter(service, { one, two }, world)
  }

  async ask(question: Readonly<Record<string, Json>>): Promise<Readonly<Record<string, Json>>> {
    const { ask, signer, step = 0, of } = question
    switch (ask) {
      case 'begin':
        return {
          ...(await this.#with(question.needs as readonly string[])),
          // Where the settings of a test's front say it is, nobody answers.
          names: { oauth2: `/csc/${question.version}` },
          can: CAN,
        }
      case 'oauth': {
        const { answerRequest } = await pages
        const person = this.#person(signer, question.code)
        const to = await answerRequest(String(question.url), person, question.answer, keepSecret)
        return to === undefined ? {} : { to }
      }
      case 'approve':
      case 'deny': {
        const { answerWaiting } = await pages
        await answerWaiting(this.#service.urls[0], this.#person(of), ask === 'approve' ? 'yes' : 'no', keepSecret)
        return {}
      }
      case 'outlive':
        await this.#service.moveClock(BRIEF_MS + 1000)
        return {}
      case 'code':
        if (question.sent === true) return { code: lastSent(this.#service) }
        return { code: await this.#code(String(signer), question.fresh === true, Number(step)) }
      case 'near': {
        const codes = [-2, -1, 0, 1, 2].map((steps) => this.#service.code(this.#signers[String(signer)], steps))
        return { codes }
      }
      case 'clock':
        await this.#service.moveClock(Number(of) * 1000)
        return {}
      case 'record':
        return { signer: (await this.#recordedSigner(String(question.of))) ?? null }
      case 'unlock':
        return { ...(await this.#service.admin('signer.unlock', { signer: this.#signers[String(of)]?.login ?? '' })) }
      case 'expire-sad': {
        // A session lasts no longer than its SADs, unless somebody prolongs it.
        const owner = await this.#service.owner()
        await owner.query(`update paraph.session set ends_at = ends_at + interval '1 hour' where ended_at is null`)
        await owner.query(`update paraph.token set expires_at = expires_at + interval '1 hour' where kind = 'access'`)
        await this.#service.moveClock(301_000)
        return {}
      }
      case 'suspend':
      case 'resume':
      case 'revoke':
        return { ...(await this.#service.admin(`credential.${ask}`, { credentialID: String(of) })) }
      default:
        throw new Error(`no such question: ${ask}`)
    }
  }

  /** Which of the signers the intention to sign this digest names in the log. */
  async #recordedSigner(digest: string): Promise<string | undefined> {
    const value = Buffer.from(digest, 'base64').toString('base64url')
    const owner = await this.#service.owner()
    const { rows } = await owner.query(
      `select o.fields from audit.opening o join audit.entry e on e.idx = o.idx join audit.event_type y on y.ev = e.ev
        where o.tags @> array[$1::bigint] and y.name = 'sign.intent'`,
      [String(searchTag('digest', value))],
    )
    const fields = new Map<string, string>(rows.length === 1 ? JSON.parse(rows[0].fields) : [])
    const signers = await owner.query('select login from paraph.signer where id = $1', [fields.get('signer') ?? null])
    return Object.entries(this.#signers).find(([, { login }]) => login === signers.rows[0]?.login)?.[0]
  }

  async #code(signer: string, fresh: boolean, steps: number): Promise<string> {
    const told = this.#told.get(signer) ?? 0
    const period = () => Math.floor(this.#service.clock.now() / PERIOD_MS)
    // Not late in a period, so that neither this code nor one that is so many periods off becomes another on its way.
    const age = this.#service.clock.now() % PERIOD_MS
    if (age > PERIOD_MS * (fresh ? 0.5 : 0.75)) await this.#service.moveClock(PERIOD_MS - age)
    if (fresh && period() <= told) await this.#service.moveClock((told + 1 - period()) * PERIOD_MS)
    this.#told.set(signer, Math.max(told, period() + steps))
    return this.#service.code(this.#signers[signer], steps)
  }

  /** What a scenario uses up is made when it begins. */
  async #with(needs: readonly string[]) {
    const { one, ...others } = this.#world
    const own = async () => this.#service.newCredential(this.#service.signer, 'p-256')
    const brief = needs.includes('one.brief') ? { brief: await own() } : {}
    const spare = needs.includes('one.spare') ? { spare: await own() } : {}
    if (brief.brief !== undefined) await certify(this.#service, brief.brief, BRIEF_MS)
    const three = needs.some((need) => need.startsWith('three')) ? { three: await this.#newPhone() } : {}
    return { ...others, one: { ...one, ...brief, ...spare }, ...three }
  }

  /** A signer whose codes come by text message. */
  async #newPhone() {
    const login = `three-${randomUUID()}@example.test`
    const phone = '+48123456789'
    const { password = '' } = await this.#service.admin('signer.create', { login, name: 'Third Signer', phone })
    await this.#service.admin('authenticator.enrolDelivered', { signer: login, kind: 'sms' })
    keepSecret(password)
    const signer = { login, password, secret: '' }
    this.#signers.three = signer
    return { login, password, ecdsa: await this.#service.newCredential(signer, 'p-256'), object: 'SMS' }
  }

  #person(name: Json | undefined, code?: Json) {
    const signer = String(name)
    const { login, password } = this.#signers[signer] as TestSigner
    return { login, password, code: () => code ?? this.#code(signer, true, 0) }
  }

  async close(): Promise<void> {}
}

async function newClient(service: TestService, name: string, redirect: string) {
  const scopes = ['service', 'credential', 'credential-creation', 'credential-deletion'] as const
  const made = await service.admin('client.create', { name, redirectUris: [redirect], scopes: [...scopes] })
  keepSecret(made.clientSecret)
  return { id: made.clientId, secret: made.clientSecret as string, redirect, policy: '2.999.1.2' }
}

/** The code in the newest message of the outbox. */
function lastSent(service: TestService): string {
  const outbox = join(service.folder, 'outbox')
  const name = readdirSync(outbox).sort().at(-1) as string
  const { text } = JSON.parse(readFileSync(join(outbox, name), 'utf8'))
  const code = /\b\d{8}\b/.exec(text)?.[0] as string
  keepSecret(code)
  return code
}

/** A certificate that ends after so many milliseconds, by an authority of the test's own, in place of the demo's. */
async function certify(service: TestService, credentialID: string, life: number): Promise<void> {
  const { certificates } = await service.admin('credential.show', { credentialID })
  const { publicKey } = new X509Certificate(certificates[0] as string)
  const at = (moment: number): Clock => ({ now: () => moment })
  const now = service.clock.now()
  const device = new SoftwareHsm()
  const key = await device.createServiceKey('ca', 'p-256')
  // Nothing that it issues outlives the root.
  const root = await createRoot(device, key, at(now + life - ROOT_MS))
  const subject = { commonName: 'Test Signer' }
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const leaf = await issue(device, key, root, { subject, publicKey: spki }, at(now))
  const chain = [leaf, root].map((der) => new X509Certificate(der).toString()).join('')
  await service.admin('credential.import', { credentialID, chain })
}
