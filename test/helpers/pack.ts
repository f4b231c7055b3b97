/** A log without a database: valid to the last byte, fast to make, and open to whoever wants to spoil it. */
import { generateKeyPairSync, hash, type KeyObject, randomBytes, sign } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { announcementText, type Boot, type BootKind, newBoot, signFlush } from '../../src/audit/boot.js'
import type { AuditEvent } from '../../src/audit/event.js'
import { type PackFlush, type PackOpening, type PackSource, writePack } from '../../src/audit/pack.js'
import { type LogItem, logItem, Sequence } from '../../src/audit/sequence.js'
import { newId, type OperationId } from '../../src/ids.js'
import {
  checkpointText,
  cosignatureBytes,
  cosignedText,
  formatVkey,
  type NoteKey,
  noteKey,
  parseCheckpoint,
  parseNote,
  signatureLine,
} from '../../src/tlog/note.js'
import { formatProof } from '../../src/tlog/proof-file.js'
import { GrowingTree } from '../../src/tlog/tiles.js'
import { foldHashes, type Hash, inclusionProof, leafHash, rootAt } from '../../src/tlog/tree.js'

const ORIGIN = 'log.example.test/paraph'

type Json = Record<string, unknown>

/** One process that writes. */
export interface Writer {
  readonly boot: Boot
  readonly sequence: Sequence
}

export interface Signer {
  readonly signer: string
  readonly client: string
  readonly credential: string
  readonly session: string
  readonly factor: string
}

interface CheckpointKey {
  readonly key: NoteKey
  readonly privateKey: KeyObject
}

const spki = (key: KeyObject) => key.export({ type: 'spki', format: 'der' })
const id = () => newId<OperationId>()

export class TestLog {
  /** Milliseconds; moves when somebody moves it. */
  now = Date.parse('2026-11-24T10:00:00.000Z')
  readonly entries: Buffer[] = []
  readonly openings: PackOpening[] = []
  readonly flushes: PackFlush[] = []
  readonly checkpoints: { size: number; note: string }[] = []
  readonly anchors = new Map<number, Buffer>()
  readonly device = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  readonly writers: Writer[] = []
  readonly witnesses: { readonly name: string; readonly key: NoteKey; readonly privateKey: KeyObject }[] = []
  /** Signs from now on. */
  signing: CheckpointKey
  readonly #keys: CheckpointKey[] = []

  /** The origin in its checkpoints. */
  readonly name: string

  /** @param signing who signs it; a key that is made for it unless given */
  constructor(origin = ORIGIN, signing = makeCheckpointKey(origin)) {
    this.name = origin
    const writer = this.unannounced('init')
    const f = {
      origin: this.name,
      generation: 1,
      demo: 0,
      instance: id(),
      device: base64url(spki(this.device.publicKey)),
    }
    const operator = id()
    this.commit(writer, [
      {
        type: 'audit.init',
        outcome: 'ok',
        actor: { kind: 'operator', id: operator },
        facts: f,
        evidence: { operator: 'Anna Nowak' },
      },
      this.announcement(writer.boot),
    ])
    this.start('sam')
    this.signing = signing
    this.#announceKey(signing)
  }

  /** A new process, announced by the oldest worker, or by itself. */
  start(kind: BootKind, edit?: (leaf: Json) => void): Writer {
    const writer = this.unannounced(kind)
    const by = kind === 'keeper' || this.writers.length === 0 ? writer : (this.writers[0] as Writer)
    this.commit(by, [this.announcement(writer.boot)], edit)
    this.writers.push(writer)
    return writer
  }

  unannounced(kind: BootKind): Writer {
    const boot = newBoot(kind, 'host-1')
    return { boot, sequence: new Sequence(boot, { now: () => this.now }) }
  }

  announcement(boot: Boot): AuditEvent {
    const text = Buffer.from(announcementText(this.name, boot))
    const signature = boot.kind === 'keeper' ? sign(null, text, this.signing.privateKey) : this.deviceSigns(text)
    return {
      type: 'audit.start',
      outcome: 'ok',
      actor: { kind: 'system' },
      facts: {
        ...{ writer: boot.id, kind: boot.kind, host: boot.node },
        ...{ key: base64url(boot.publicKey), signature: base64url(signature) },
      },
    }
  }

  deviceSigns(text: string | Uint8Array): Buffer {
    return sign('sha256', Buffer.from(text), this.device.privateKey)
  }

  /** Makes a checkpoint key, and names it in the log. */
  newCheckpointKey(): CheckpointKey {
    const made = makeCheckpointKey(this.name)
    this.#announceKey(made)
    return made
  }

  #announceKey(made: CheckpointKey): void {
    this.trust(made)
    this.nameKey(made, this.deviceSigns(`paraph/checkpoint-key/v1\n${this.name}\n${formatVkey(made.key)}\n`))
  }

  /** The policy lists this key from now on. */
  trust(key: CheckpointKey): void {
    this.#keys.push(key)
  }

  nameKey({ key }: CheckpointKey, signature: Uint8Array): number {
    const vkey = formatVkey(key)
    return this.commit(this.sam, [
      {
        type: 'audit.key',
        outcome: 'ok',
        actor: { kind: 'system' },
        facts: { vkey, signature: base64url(signature) },
      },
    ])
  }

  get sam(): Writer {
    return this.writers[0] as Writer
  }

  /** Text of the policy that trusts the keys of this log. */
  policy(quorum = 'none'): string {
    return [
      ...this.#keys.map(({ key }) => `log ${formatVkey(key)}`),
      ...this.witnesses.map(({ name, key }) => `witness ${name} ${formatVkey(key)}`),
      `quorum ${quorum}`,
      '',
    ].join('\n')
  }

  /**
   * Appends entries in one flush. With `edit`, the writer itself writes something else than the code of the service
   * would: it is given each leaf as an object.
   * @returns the index of the first
   */
  commit(
    writer: Writer,
    events: readonly (AuditEvent | LogItem)[],
    edit?: (leaf: Json, i: number) => void,
    forget: readonly number[] = [],
  ): number {
    const first = this.entries.length
    const items = events.map((event) => ('disclosure' in event ? event : logItem(event, this.now)))
    const flush = writer.sequence.encode(items)
    const leaves = edit === undefined ? flush.leaf : flush.leaf.map((leaf, i) => edited(leaf, (json) => edit(json, i)))
    const { no } = flush
    const body =
      edit === undefined ? flush.body : Buffer.concat(leaves.flatMap((leaf) => [Buffer.of(1), leafHash(leaf)]))
    this.flushes.push({ boot: writer.boot.id, no, first, body, signature: signFlush(writer.boot, no, body) })
    items.forEach((item, i) => {
      if (forget.includes(i)) return
      for (const { class: kind, seed, fields } of item.disclosure.openings) {
        this.openings.push({ index: first + i, class: kind, seed, fields })
      }
    })
    this.entries.push(...leaves)
    writer.sequence.committed(items.length)
    return first
  }

  /** Signs the tree as it is, with all witnesses. */
  publish(): string {
    const newest = this.checkpoints.at(-1)
    if (newest?.size === this.entries.length) return newest.note
    const note = this.sign(this.entries.length, this.rootNow())
    this.checkpoints.push({ size: this.entries.length, note })
    return note
  }

  /** A signed note of whatever size and root. */
  sign(size: number, root: Hash, by: CheckpointKey = this.signing, seconds = Math.ceil(this.now / 1000)): string {
    const text = checkpointText({ origin: this.name, size, root })
    const own = sign(null, Buffer.from(text), by.privateKey)
    const cosigned = this.witnesses.map(({ key, privateKey }) => {
      const bytes = sign(null, Buffer.from(cosignedText(text, seconds)), privateKey)
      return signatureLine(key, cosignatureBytes(seconds, bytes))
    })
    return `${text}\n${signatureLine(by.key, own)}${cosigned.join('')}`
  }

  addWitness(name: string): void {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    this.witnesses.push({ name, key: noteKey(name, 'cosignature', spki(publicKey)), privateKey })
  }

  #tree = new GrowingTree()

  rootNow(): Hash {
    for (let i = this.#tree.size; i < this.entries.length; i++) this.#tree.append(leafHash(this.entries[i] as Buffer))
    this.#tree.takeTiles()
    return this.#tree.root()
  }

  /** Signs the newest checkpoints anew, or all, as somebody would who has the key and has changed entries. */
  async resign(count = this.checkpoints.length): Promise<void> {
    this.#tree = new GrowingTree()
    const hashes = this.entries.map(leafHash)
    const nodes = async (level: number, index: number) =>
      foldHashes(hashes.slice(index * 2 ** level, (index + 1) * 2 ** level))
    for (const checkpoint of this.checkpoints.slice(-count)) {
      checkpoint.size = Math.min(checkpoint.size, this.entries.length)
      checkpoint.note = this.sign(checkpoint.size, await rootAt(nodes, checkpoint.size))
    }
  }

  source(): PackSource {
    const { entries, openings, flushes, checkpoints, anchors } = this
    return {
      checkpoint: checkpoints.at(-1)?.note as string,
      entries: async (from, to) => entries.slice(from, to),
      openings: () => each(openings),
      flushes: () => each(flushes),
      checkpoints: () => each(checkpoints),
      anchors: () => each([...anchors].map(([size, response]) => ({ size, response }))),
    }
  }

  /** The log as it was at the checkpoint of that size. */
  before(size: number): TestLog {
    const earlier = Object.assign(Object.create(TestLog.prototype), this) as TestLog
    return Object.assign(earlier, {
      entries: this.entries.slice(0, size),
      openings: this.openings.filter(({ index }) => index < size),
      flushes: this.flushes.filter(({ first }) => first < size),
      checkpoints: this.checkpoints.filter((checkpoint) => checkpoint.size <= size),
    })
  }

  async write(folder: string): Promise<void> {
    await writePack(folder, this.source())
  }

  /** Somebody with a key, a factor, and a login. */
  newSigner(): Signer {
    const who = { signer: id(), client: id(), credential: id(), session: id(), factor: id() }
    const { signer, credential, factor } = who
    const actor = { kind: 'operator', id: id() } as const
    this.commit(this.sam, [
      { type: 'signer.enrolled', outcome: 'ok', actor, evidence: { signer } },
      { type: 'credential.created', outcome: 'ok', actor, evidence: { signer, credential } },
      {
        type: 'factor.enrolled',
        outcome: 'ok',
        actor,
        facts: { kind: 'totp', demo: 0 },
        evidence: { signer, factor },
      },
      this.login(who),
    ])
    return who
  }

  login({ signer, client, session }: Signer): AuditEvent {
    return {
      ...{ type: 'auth.login', outcome: 'ok', actor: { kind: 'signer', id: signer }, origin: this.origin() },
      evidence: { signer, client, session },
    }
  }

  origin() {
    return { requestId: id(), address: '192.0.2.7', api: 'v2' } as const
  }

  issued(who: Signer, authorization: string, digests: readonly Uint8Array[] | undefined, total: number): AuditEvent {
    const { signer, client, credential, session, factor } = who
    return {
      ...{ type: 'sad.issued', outcome: 'ok', actor: { kind: 'signer', id: signer }, origin: this.origin() },
      facts: { kind: digests === undefined ? 'open' : 'bound', total, factor: 'totp', pin: 0 },
      evidence: { signer, client, credential, session, authorization, factor },
      ...(digests === undefined ? {} : { digests }),
    }
  }

  extended(who: Signer, authorization: string, digests: readonly Uint8Array[]): AuditEvent {
    const { signer, client, credential, session } = who
    return {
      ...{ type: 'sad.extended', outcome: 'ok', actor: { kind: 'signer', id: signer }, origin: this.origin() },
      facts: { left: 1 },
      evidence: { signer, client, credential, session, authorization },
      ...(digests.length === 0 ? {} : { digests }),
    }
  }

  /** An intention, with the denial that would have stood in its place. */
  intent(who: Signer, authorization: string, digests: readonly Uint8Array[], op = id()): LogItem {
    const { signer, client, credential, session } = who
    const common = {
      ...{ op, actor: { kind: 'signer' as const, id: signer }, origin: this.origin(), digests },
      evidence: { signer, client, credential, session, authorization, certificate: '0abc', key: base64url(seed(32)) },
    } as const
    return logItem({ ...common, type: 'sign.intent', outcome: 'ok' }, this.now, {
      ...common,
      type: 'sign.denied',
      outcome: 'refused',
      why: 'refused_at_spending',
    })
  }

  outcome(who: Signer, op: string, count: number): AuditEvent {
    return {
      ...{ type: 'sign.outcome', op: op as OperationId, outcome: 'ok', actor: { kind: 'system' } },
      evidence: { credential: who.credential },
      signatureHashes: Array.from({ length: count }, () => seed(32)),
    }
  }

  /** A whole signing by itself. @returns its operation and authorization */
  signOnce(who: Signer, count = 1): { op: string; authorization: string; digests: Buffer[]; intent: number } {
    const digests = Array.from({ length: count }, () => seed(32))
    const authorization = id()
    this.commit(this.sam, [this.issued(who, authorization, digests, count)])
    const intent = this.intent(who, authorization, digests)
    const at = this.commit(this.sam, [intent])
    this.now += 5
    this.commit(this.sam, [this.outcome(who, intent.op, count)])
    return { op: intent.op, authorization, digests, intent: at }
  }

  /**
   * Ordinary life until the log has about `size` entries: workers sign for some signers, in flushes of some items, fronts
   * refuse strangers, a keeper beats and clocks are set, and a checkpoint each second.
   */
  live(size: number, options: { keeper?: Writer; signers?: number } = {}): void {
    const front = this.start('front')
    const second = this.start('sam')
    const count = Math.max(1, Math.min(options.signers ?? 48, Math.floor(size / 12)))
    const signers = Array.from({ length: count }, () => this.newSigner())
    let beat = this.now
    let published = this.now
    for (let round = 0; this.entries.length < size; round++) {
      const writer = round % 3 === 2 ? second : this.sam
      const authorizations = signers.map(() => id())
      const digests = signers.map((_, i) => Array.from({ length: 1 + (i % 2) }, () => seed(32)))
      this.commit(
        writer,
        signers.map((who, i) => {
          const own = digests[i] as Buffer[]
          return this.issued(who, authorizations[i] as string, i % 4 === 3 ? undefined : own, own.length)
        }),
      )
      const intents = signers.map((who, i) => this.intent(who, authorizations[i] as string, digests[i] as Buffer[]))
      this.commit(writer, intents)
      this.now += 20
      this.commit(
        writer,
        signers.map((who, i) => this.outcome(who, (intents[i] as LogItem).op, (digests[i] as Buffer[]).length)),
      )
      this.commit(front, [
        {
          ...{ type: 'access.refused', outcome: 'refused', actor: { kind: 'anonymous' }, origin: this.origin() },
          ...{ why: 'token_unknown', facts: { count: 1, endpoint: 'credentials/list' } },
        },
      ])
      if (options.keeper !== undefined && this.now - beat > 30_000) {
        this.beat(options.keeper)
        beat = this.now
      }
      if (this.now - published > 1000) {
        this.publish()
        published = this.now
      }
      this.now += 20
    }
    this.publish()
  }

  beat(keeper: Writer): void {
    this.commit(keeper, [heartbeat(this.entries.length)])
  }

  /** An entry of an event that the service does not write yet, or not so. */
  commitAs(writer: Writer, ev: string, f: Record<string, string | number>): number {
    return this.commit(writer, [heartbeat(0)], (leaf) => {
      leaf['ev'] = ev
      leaf['f'] = f
    })
  }
}

const heartbeat = (size: number): AuditEvent => ({
  ...{ type: 'audit.heartbeat', outcome: 'ok', actor: { kind: 'system' }, facts: { size } },
})

export function makeCheckpointKey(origin: string): CheckpointKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { key: noteKey(origin, 'ed25519', spki(publicKey)), privateKey }
}

let drawn = randomBytes(32)
/** Bytes that nobody can tell from random ones, faster. */
function seed(length: number): Buffer {
  drawn = hash('sha256', drawn, 'buffer')
  return drawn.subarray(0, length)
}

export const base64url = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')

/** A leaf with something else in it, as canonical JSON. */
export function edited(leaf: Uint8Array, edit: (leaf: Json) => void): Buffer {
  const json = JSON.parse(Buffer.from(leaf).toString()) as Json
  edit(json)
  return Buffer.from(canonical(json))
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`
}

async function* each<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
  yield* items
}

/** Writes MANIFEST anew, as somebody would who has changed other files. */
export function refreshManifest(root: string): void {
  const lines = filesOf(root).map((path) => `${hash('sha256', readFileSync(join(root, path)), 'hex')}  ${path}\n`)
  writeFileSync(join(root, 'MANIFEST'), lines.join(''))
}

/** Every file of a pack but MANIFEST, sorted. */
export function filesOf(root: string): string[] {
  return (readdirSync(root, { recursive: true }) as string[])
    .filter((path) => path !== 'MANIFEST' && lstatSync(join(root, path)).isFile())
    .sort()
}

/** What a client is given of an entry, docs/audit-format.md §8. */
export async function receiptOf(log: TestLog, index: number, checkpoint: string): Promise<string> {
  const hashes = log.entries.map(leafHash)
  const { size } = parseCheckpoint(parseNote(checkpoint).text)
  const nodes = async (level: number, n: number) => foldHashes(hashes.slice(n * 2 ** level, (n + 1) * 2 ** level))
  const openings = log.openings
    .filter((opening) => opening.index === index)
    .map(({ class: kind, seed, fields }) => ({ class: kind, seed: base64url(seed), fields: JSON.parse(fields) }))
  const extra = JSON.stringify({ leaf: (log.entries[index] as Buffer).toString('base64'), openings })
  return formatProof({
    extra: Buffer.from(extra),
    ...{ index, hashes: await inclusionProof(nodes, index, size), checkpoint },
  })
}
