import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { type NoteKey, parseVkey } from '../tlog/note.js'
import type { Act, BootRange, FlushSeen } from './acts.js'
import type { Finding } from './finding.js'
import { type Facts, parseFacts } from './leaf.js'

const MAY: Readonly<Record<string, readonly string[]>> = {
  front: ['audit.stop', 'credential.listed', 'credential.read', 'auth.session_read', 'access.refused'],
  keeper: [
    ...['audit.start', 'audit.stop', 'audit.heartbeat', 'audit.anchored', 'audit.read', 'audit.export'],
    ...['audit.fork_detected', 'clock.sync', 'clock.step', 'clock.unsynced'],
  ],
}
const KINDS = ['init', 'sam', 'front', 'keeper']

interface Boot {
  readonly kind: string
  readonly host: string
  readonly announced: number
  seq: number
  t: number
  flush: number
}

/** R5: who wrote what, and that nothing of it is missing. */
export class Writers {
  readonly #fault: (finding: Finding) => void
  readonly #origin: string
  readonly #device: KeyObject | undefined
  readonly #boots = new Map<string, Boot>()
  readonly #checkpointKeys = new Map<string, { readonly index: number; readonly key: NoteKey }>()
  #covered = 0

  /** @param init facts of entry 0 */
  constructor(init: Facts, fault: (finding: Finding) => void) {
    this.#fault = fault
    this.#origin = String(init['origin'])
    this.#device = importDevice(String(init['device']))
    if (this.#device === undefined) fault({ rule: 'R5', index: 0, what: 'the announcing key is not one of P-256' })
  }

  kindOf(boot: string): string | undefined {
    return this.#boots.get(boot)?.kind
  }

  /** Verifier key to the index of the entry that named it. */
  namedBefore(vkey: string, size: number): boolean {
    const named = this.#checkpointKeys.get(vkey)
    return named !== undefined && named.index < size
  }

  start([, index, , by, text]: Extract<Act, readonly ['start', ...unknown[]]>): void {
    const wrong = (what: string) => this.#fault({ rule: 'R5', index, what })
    const facts = parseFacts(text) ?? {}
    const { writer, kind, host, key, signature } = facts as Record<string, string>
    if (typeof writer !== 'string' || !KINDS.includes(kind as string)) {
      wrong('the announcement names no writer')
      return
    }
    if (this.#boots.has(writer)) {
      wrong(`boot ${writer} is announced twice`)
      return
    }
    const signed = ['paraph/boot/v1', this.#origin, writer, kind, host, key, ''].join('\n')
    const bytes = Buffer.from(String(signature), 'base64url')
    const right =
      kind === 'keeper'
        ? [...this.#checkpointKeys.values()].some(({ key: known }) => signs(known, signed, bytes))
        : this.#announces(signed, bytes)
    if (!right) wrong(`the announcement of boot ${writer} is not signed by whom it should be`)
    if ((kind === 'init') !== (index === 1)) wrong(`boot ${writer} of kind ${kind} is announced here`)
    if (kind === 'keeper' && by !== writer) wrong('a keeper is announced by itself only')
    const byKeeper = by !== writer && this.kindOf(by) === 'keeper'
    if (byKeeper) wrong('a keeper announces nobody but itself')
    this.#boots.set(writer, { kind: kind as string, host: String(host), announced: index, seq: -1, t: 0, flush: 0 })
  }

  nameKey([, index, text]: Extract<Act, readonly ['key', ...unknown[]]>): void {
    const { vkey, signature } = parseFacts(text) ?? {}
    const wrong = (what: string) => this.#fault({ rule: 'R5', index, what })
    let key: NoteKey
    try {
      key = parseVkey(String(vkey))
    } catch {
      wrong('the checkpoint key that is named is none')
      return
    }
    const signed = ['paraph/checkpoint-key/v1', this.#origin, vkey, ''].join('\n')
    if (key.name !== this.#origin || key.type === 'cosignature') wrong('the checkpoint key is not of this log')
    if (!this.#announces(signed, Buffer.from(String(signature), 'base64url'))) {
      wrong('the checkpoint key is not signed by the announcing key')
      return
    }
    if (!this.#checkpointKeys.has(String(vkey))) this.#checkpointKeys.set(String(vkey), { index, key })
  }

  /** A writer's entries of one range, after the announcements in it. */
  wrote({ boot, node, first, last, events }: BootRange): void {
    const known = this.#boots.get(boot)
    const wrong = (what: string, index = first.index) => this.#fault({ rule: 'R5', index, what })
    if (known === undefined) {
      wrong(`nobody announced boot ${boot}`)
      return
    }
    const began = known.kind === 'init' && first.index === 0 && known.announced === 1
    const itself = known.announced === first.index && first.ev === 'audit.start'
    if (known.announced >= first.index && !began && !itself) wrong(`boot ${boot} writes before it is announced`)
    if (first.seq !== known.seq + 1) wrong(`number ${first.seq} of boot ${boot} follows on ${known.seq}`)
    if (first.t < known.t) wrong(`the time goes back in boot ${boot}`)
    if (node !== known.host) wrong(`boot ${boot} was announced with another name`)
    known.seq = last.seq
    known.t = last.t
    for (const [event, index] of events) {
      const allowed = MAY[known.kind]
      if (event === 'audit.init' ? index !== 0 : allowed !== undefined && !allowed.includes(event)) {
        wrong(`a boot of kind ${known.kind} wrote ${event}`, index)
      }
    }
  }

  flushed({ boot, no, first, count }: FlushSeen): void {
    const known = this.#boots.get(boot)
    const wrong = (what: string, index = first) => this.#fault({ rule: 'R5', index, file: 'flushes.jsonl', what })
    if (first !== this.#covered)
      wrong('the flushes do not cover the log without gap or overlap', Math.min(first, this.#covered))
    this.#covered = first + count
    if (known === undefined) return
    if (no !== known.flush) wrong(`flush ${no} of boot ${boot} follows on ${known.flush - 1}`)
    known.flush = no + 1
  }

  finish(size: number): void {
    if (this.#covered === size) return
    const what = 'the entry came in no flush'
    this.#fault({ rule: 'R5', index: Math.min(this.#covered, size - 1), file: 'flushes.jsonl', what })
  }

  #announces(signed: string, signature: Uint8Array): boolean {
    return this.#device !== undefined && verify('sha256', Buffer.from(signed), this.#device, signature)
  }
}

function signs({ type, publicKey }: NoteKey, text: string, signature: Uint8Array): boolean {
  return verify(type === 'ecdsa' ? 'sha256' : null, Buffer.from(text), publicKey, signature)
}

function importDevice(spki: string): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(spki, 'base64url'), format: 'der', type: 'spki' })
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : undefined
  } catch {
    return undefined
  }
}
