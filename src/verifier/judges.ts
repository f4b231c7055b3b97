import { readActs } from './act-list.js'
import type { Act, RangeResult } from './acts.js'
import { Authorizations } from './authorizations.js'
import type { Finding } from './finding.js'
import { type Facts, parseFacts } from './leaf.js'
import { MissingOpenings } from './missing.js'
import { Operations, saidOf } from './operations.js'
import { People } from './people.js'
import { Silence } from './silence.js'
import { Writers } from './writers.js'

/** The one pass over all entries in their order. */
export class Judges {
  readonly operations: Operations
  readonly missing = new MissingOpenings()
  readonly writers: Writers
  readonly silence: Silence
  readonly #authorizations: Authorizations
  readonly #people: People

  /** @param init facts of entry 0 */
  constructor(init: Facts, fault: (finding: Finding) => void) {
    this.writers = new Writers(init, fault)
    this.operations = new Operations(fault)
    this.#authorizations = new Authorizations(fault)
    this.silence = new Silence(fault)
    this.#people = new People(fault)
  }

  judge(from: number, { ops, phases, acts, boots, flushes }: RangeResult): void {
    this.operations.see(from, ops, phases)
    for (const act of readActs(acts)) this.#judge(act)
    for (const boot of boots) this.writers.wrote(boot)
    for (const flush of flushes) this.writers.flushed(flush)
  }

  #judge(act: Act): void {
    switch (act[0]) {
      case 'time':
        this.silence.wrote(act[1], act[2])
        return
      case 'start': {
        this.writers.start(act)
        const { writer, kind } = parseFacts(act[4]) ?? {}
        this.silence.start(kind === 'keeper' ? String(writer) : undefined, act[2])
        return
      }
      case 'stop':
        this.silence.stop(act[3])
        return
      case 'beat':
        this.silence.beat(act[2])
        return
      case 'sync':
        this.silence.sync(act[2])
        return
      case 'step':
        this.silence.step(act[2], act[3])
        return
      case 'unsynced':
        this.silence.unsynced(act[2])
        return
      case 'key':
        this.writers.nameKey(act)
        return
      case 'erase':
        this.missing.erase(act[1], act[2])
        return
      case 'missing': {
        const [, index, t, ev, op, n] = act
        this.missing.miss(index)
        if (ev === 'sign.intent') this.operations.intend(index, t, op, n, undefined)
        this.#authorizations.miss(ev, t)
        return
      }
      case 'grant':
        this.#authorizations.grant(act)
        return
      case 'extend':
        this.#authorizations.extend(act)
        return
      case 'revoke':
        this.#authorizations.revoke(act)
        return
      case 'session-end':
        this.#authorizations.endSession(act)
        return
      case 'intent': {
        const [, index, t, op, grant, whose, n, digests] = act
        this.operations.intend(index, t, op, n, saidOf(grant, whose, digests))
        this.#authorizations.use(act)
        return
      }
      case 'end':
        this.operations.end(act)
        return
      case 'repeat':
        this.operations.repeat(act)
        return
      case 'enrol':
        this.#authorizations.enrol(act)
        return
      case 'unenrol':
        this.#authorizations.unenrol(act)
        return
      case 'approval':
        this.#authorizations.approve(act)
        return
      case 'invite':
        this.#people.invite(act[2], act[3])
        return
      case 'vouch':
        this.#people.vouch(act[1], act[2], act[3])
        return
    }
  }
}
