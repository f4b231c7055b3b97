/** A value that came as JSON or goes out as JSON. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json }

/** What a scenario has saved, by name. */
export type Values = ReadonlyMap<string, Json>

/** A name that nobody has saved. */
export class UnknownName extends Error {
  override readonly name = 'UnknownName'
}

const NAME = /\{([A-Za-z][\w.]*)(\?)?\}/g
const ONLY_A_NAME = /^\{([A-Za-z][\w.]*)(\?)?\}$/

/**
 * The value at a path such as `cert.certificates.1`: members by name, items of a list by number, from 1. Undefined where
 * there is nothing.
 */
export function valueAt(value: Json | undefined, path: readonly string[]): Json | undefined {
  let found = value
  for (const step of path) {
    if (Array.isArray(found)) found = /^[1-9]\d*$/.test(step) ? (found as readonly Json[])[Number(step) - 1] : undefined
    else if (typeof found === 'object' && found !== null && Object.hasOwn(found, step))
      found = (found as { readonly [name: string]: Json })[step]
    else return undefined
  }
  return found
}

/** What a name stands for. Saved names may hold dots themselves: `one.login`. */
function lookUp(name: string, values: Values): Json | undefined {
  const steps = name.split('.')
  for (let length = steps.length; length > 0; length--) {
    const known = values.get(steps.slice(0, length).join('.'))
    if (known !== undefined) return valueAt(known, steps.slice(length))
  }
  return undefined
}

/** Text with its names filled in. @throws UnknownName */
export function fillText(text: string, values: Values): string {
  return text.replace(NAME, (_, name: string) => {
    const value = lookUp(name, values)
    if (value === undefined) throw new UnknownName(name)
    return typeof value === 'string' ? value : JSON.stringify(value)
  })
}

/**
 * JSON with its names filled in. A text that is only a name takes the type of what it stands for; a member whose value is
 * `{name?}` is left out when there is nothing of that name. @throws UnknownName
 */
export function fill(template: Json, values: Values): Json {
  const filled = fillOptional(template, values)
  if (filled === undefined) throw new UnknownName(String(template))
  return filled
}

function fillOptional(template: Json, values: Values): Json | undefined {
  if (typeof template === 'string') {
    const [, name, optional] = ONLY_A_NAME.exec(template) ?? []
    if (name === undefined) return fillText(template, values)
    const value = lookUp(name, values)
    if (value === undefined && optional === undefined) throw new UnknownName(name)
    return value
  }
  if (Array.isArray(template)) {
    return (template as readonly Json[]).flatMap((item) => {
      const filled = fillOptional(item, values)
      return filled === undefined ? [] : [filled]
    })
  }
  if (typeof template === 'object' && template !== null) {
    return Object.fromEntries(
      Object.entries(template).flatMap(([name, member]) => {
        const filled = fillOptional(member, values)
        return filled === undefined ? [] : [[name, filled]]
      }),
    )
  }
  return template
}

/** Text as JSON; undefined where it is none. */
export function templateOf(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

/** RFC 7396: members of the patch replace those of the target, null takes one away. */
export function mergePatch(target: Json, patch: Json): Json {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const base = typeof target === 'object' && target !== null && !Array.isArray(target) ? target : {}
  const merged: Record<string, Json> = { ...(base as Record<string, Json>) }
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name]
    else merged[name] = mergePatch(merged[name] ?? null, value)
  }
  return merged
}

/** Every name in braces in a text, without those that may be missing. */
export function namesIn(text: string): string[] {
  return [...text.matchAll(NAME)].flatMap(([, name, optional]) => (optional === undefined ? [name as string] : []))
}

export function sameJson(one: Json | undefined, other: Json | undefined): boolean {
  return canonical(one) === canonical(other)
}

function canonical(value: Json | undefined): string {
  if (Array.isArray(value)) return `[${(value as readonly Json[]).map(canonical).join()}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join()}}`
  }
  return String(JSON.stringify(value))
}
