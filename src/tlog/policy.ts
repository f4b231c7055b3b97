import { type Note, type NoteKey, parseVkey, verifyNote } from './note.js'

/** Whom a verifier trusts: C2SP tlog-policy. */
export interface TrustPolicy {
  readonly logs: readonly { readonly key: NoteKey; readonly url?: string }[]
  readonly witnesses: readonly { readonly name: string; readonly key: NoteKey; readonly url?: string }[]
  /** Whether these witnesses, by their names in the policy, are enough. */
  quorum(cosigned: ReadonlySet<string>): boolean
}

type Rule = (cosigned: ReadonlySet<string>) => boolean

/** @throws RangeError with the number of the line that is wrong */
export function parsePolicy(text: string): TrustPolicy {
  const logs: TrustPolicy['logs'][number][] = []
  const witnesses: TrustPolicy['witnesses'][number][] = []
  const rules = new Map<string, Rule>([['none', () => true]])
  const members = new Set<string>()
  const keys = new Set<string>()
  let quorum: Rule | undefined
  const lines = text.split('\n')
  lines.forEach((line, i) => {
    const wrong = (what: string) => new RangeError(`policy, line ${i + 1}: ${what}`)
    const vkey = (given: string | undefined, cosigner: boolean): NoteKey => {
      let key: NoteKey
      try {
        key = parseVkey(given ?? '')
      } catch (error) {
        throw wrong(error instanceof Error ? error.message : 'no key')
      }
      if ((key.type === 'cosignature') !== cosigner) throw wrong('a key of this type does not belong here')
      const bytes = key.publicKey.export({ type: 'spki', format: 'der' }).toString('hex')
      if (keys.has(bytes)) throw wrong('the same key twice')
      keys.add(bytes)
      return key
    }
    const define = (name: string | undefined, rule: Rule) => {
      if (name === undefined || rules.has(name)) throw wrong('a name is missing or taken')
      rules.set(name, rule)
    }
    const [word, ...rest] = line.split(/[ \t]+/).filter((item) => item !== '')
    if (word === undefined || word.startsWith('#')) return
    if (word === 'log' && rest.length <= 2) {
      logs.push({ key: vkey(rest[0], false), ...(rest[1] === undefined ? {} : { url: rest[1] }) })
    } else if (word === 'witness' && rest.length <= 3) {
      const [name, key, url] = rest
      define(name, (cosigned) => cosigned.has(name as string))
      witnesses.push({ name: name as string, key: vkey(key, true), ...(url === undefined ? {} : { url }) })
    } else if (word === 'group') {
      const [name, threshold, ...names] = rest
      const parts = names.map((member) => {
        const rule = member === 'none' ? undefined : rules.get(member)
        if (rule === undefined || members.has(member))
          throw wrong(`${member} is not known above, or is in a group already`)
        members.add(member)
        return rule
      })
      const least = threshold === 'any' ? 1 : threshold === 'all' ? parts.length : Number(threshold)
      if (!/^(any|all|[1-9][0-9]*)$/.test(threshold ?? '') || least > parts.length || parts.length === 0) {
        throw wrong('a group has at least as many members as it asks for')
      }
      define(name, (cosigned) => parts.filter((rule) => rule(cosigned)).length >= least)
    } else if (word === 'quorum' && rest.length === 1) {
      const rule = rules.get(rest[0] as string)
      if (rule === undefined || quorum !== undefined) throw wrong('one quorum, of a name known above')
      quorum = rule
    } else {
      throw wrong('log, witness, group or quorum is expected')
    }
  })
  if (quorum === undefined) throw new RangeError('policy: there is no quorum line')
  return { logs, witnesses, quorum }
}

export interface Trust {
  /** The log key that signed, undefined when none that the policy lists did. */
  readonly log: NoteKey | undefined
  /** Name and time, in seconds, of each witness that cosigned. */
  readonly cosigned: ReadonlyMap<string, number>
  readonly quorum: boolean
}

/**
 * What a policy makes of a signed checkpoint.
 * @throws RangeError when the note bears a false signature under a key of the policy
 */
export function judge(policy: TrustPolicy, note: Note, origin: string): Trust {
  const log = policy.logs.find(({ key }) => key.name === origin && verifyNote(note, key) !== undefined)
  const cosigned = new Map<string, number>()
  for (const { name, key } of policy.witnesses) {
    const time = verifyNote(note, key)
    if (time !== undefined) cosigned.set(name, time)
  }
  return { log: log?.key, cosigned, quorum: policy.quorum(new Set(cosigned.keys())) }
}
