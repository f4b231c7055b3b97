/** An entry's leaf, as far as rules look at it (docs/audit-format.md §3). */
export interface Leaf {
  readonly act: string
  readonly boot: string
  readonly ev: string
  /** Public facts as they stand between their braces. */
  readonly facts: string | undefined
  readonly n: number | undefined
  readonly node: string
  readonly op: string
  readonly out: string
  readonly ph: number
  readonly seq: number
  /** Milliseconds. */
  readonly t: number
  /** Where the first digest of `sd` begins in the leaf, and how many there are, one every 46 bytes. */
  readonly sdAt: number
  readonly sdCount: number
}

const TEXT = '(?:[ !#-\\[\\]-~]|\\\\["\\\\])*'
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const FACT = `"[A-Za-z][A-Za-z0-9_]{0,63}":(?:"${TEXT}"|-?[0-9]{1,16})`
/** The only spelling of 32 bytes in 43 characters. */
const DIGEST = '"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"'
/** Canonical JSON of exactly these members in exactly this order: one look both parses and checks it. */
const LEAF = new RegExp(
  `^\\{"act":"(signer|client|operator|system|anonymous)"(?:,"api":"[a-z0-9_]{1,16}")?,"boot":"(${UUID})","ev":"([a-z_.]{1,64})"` +
    `(?:,"f":\\{((?:${FACT}(?:,${FACT})*)?)\\})?(?:,"n":(0|[1-9][0-9]{0,4}))?,"node":"(${TEXT})","op":"(${UUID})"` +
    `,"out":"(ok|refused|failed|indeterminate)","ph":([0-5])(?:,"rid":"${TEXT}")?,"sd":\\[((?:${DIGEST}(?:,${DIGEST})*)?)\\]` +
    `,"seq":(0|[1-9][0-9]{0,15}),"t":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z)","v":1(?:,"why":"${TEXT}")?\\}$`,
)
const SD_STRIDE = 46
/** With its quotes. */
const SD_DIGEST = 45

/**
 * @param text the leaf's bytes, a character each
 * @returns undefined when it is not canonical JSON with the members of a leaf
 */
export function parseLeaf(text: string): Leaf | undefined {
  const match = LEAF.exec(text)
  if (match === null) return undefined
  const [, act, boot, ev, facts, n, node, op, out, ph, sd, seq, time] = match as unknown as string[]
  const t = Date.parse(time as string)
  if (Number.isNaN(t) || !Number.isSafeInteger(Number(seq))) return undefined
  if (facts !== undefined && parseFacts(facts) === undefined) return undefined
  const sdAt = text.lastIndexOf(',"sd":[') + 8
  const sdCount = sd === '' ? 0 : ((sd as string).length + 1) / SD_STRIDE
  if (!isSorted(sd as string, sdCount)) return undefined
  return {
    ...{ act: act as string, boot: boot as string, ev: ev as string, facts, node: node as string, op: op as string },
    ...{ n: n === undefined ? undefined : Number(n), out: out as string, ph: Number(ph), seq: Number(seq), t },
    ...{ sdAt, sdCount },
  }
}

export type Facts = Readonly<Record<string, string | number>>

/** @returns undefined when the facts are not in order, or not the shortest spelling of themselves */
export function parseFacts(facts: string): Facts | undefined {
  let value: Record<string, string | number>
  try {
    value = JSON.parse(`{${facts}}`)
  } catch {
    return undefined
  }
  if (JSON.stringify(value) !== `{${facts}}`) return undefined
  let before = ''
  for (const name in value) {
    if (name <= before || (typeof value[name] === 'number' && !Number.isSafeInteger(value[name]))) return undefined
    before = name
  }
  return value
}

function isSorted(sd: string, count: number): boolean {
  for (let at = SD_STRIDE; at < count * SD_STRIDE; at += SD_STRIDE) {
    let i = at
    while (i < at + SD_DIGEST && sd.charCodeAt(i) === sd.charCodeAt(i - SD_STRIDE)) i++
    if (i === at + SD_DIGEST || sd.charCodeAt(i) < sd.charCodeAt(i - SD_STRIDE)) return false
  }
  return true
}

/** Whether one of the digests of a leaf is this one, by its 43 characters. */
export function hasDigest(bytes: Uint8Array, { sdAt, sdCount }: Leaf, digest: Uint8Array): boolean {
  let low = 0
  let high = sdCount - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const at = sdAt + middle * SD_STRIDE
    let difference = 0
    for (let i = 0; i < 43 && difference === 0; i++) difference = (bytes[at + i] as number) - (digest[i] as number)
    if (difference === 0) return true
    if (difference < 0) low = middle + 1
    else high = middle - 1
  }
  return false
}
