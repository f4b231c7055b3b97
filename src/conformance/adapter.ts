import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Json } from './values.js'

/** What a signer is called in scenarios, and what the adapter tells of him; see conformance/README.md. */
export interface World {
  /** `one` and `two`, each with `login`, `password`, ids of credentials, and whatever else scenarios name. */
  readonly signers: { readonly [name: string]: { readonly [fact: string]: Json } }
  /** In place of what `names:` in the suite's files says: `codeID` where the code has another id, for example. */
  readonly names: { readonly [name: string]: Json }
  /** What else the adapter can do: `code`, and the actions that scenarios name. */
  readonly can: readonly string[]
}

/** What a server keeps out of band. Questions are asked one after another. */
export interface Adapter {
  /** The members of the answer. @throws Error with what the adapter said when it could not */
  ask(question: Readonly<Record<string, Json>>): Promise<Readonly<Record<string, Json>>>
  close(): Promise<void>
}

const PATIENCE_MS = 120_000

/**
 * A program that reads questions and writes answers, a line of JSON each. Files that end in .js or .mjs are run by this
 * Node, all others by themselves. What it says on standard error is shown.
 */
export function startAdapter(file: string): Adapter {
  const [command, args] = /\.m?js$/.test(file) ? [process.execPath, [file]] : [file, []]
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const waiting: { resolve: (answer: string) => void; reject: (cause: Error) => void }[] = []
  let over: Error | undefined
  const end = (cause: Error) => {
    over ??= cause
    for (const { reject } of waiting.splice(0)) reject(over)
  }
  child.once('error', (cause) => end(new Error(`the adapter does not start: ${cause.message}`)))
  child.once('exit', (code, signal) => end(new Error(`the adapter ended with ${signal ?? code}`)))
  child.stdin.on('error', () => undefined)
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.resolve(line))
  const exited = new Promise<void>((resolve) => {
    child.once('error', () => resolve())
    child.once('exit', () => resolve())
  })

  return {
    async ask(question) {
      if (over !== undefined) throw over
      const line = await new Promise<string>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`the adapter does not answer ${question.ask}`)), PATIENCE_MS)
        const settled =
          <T>(act: (value: T) => void) =>
          (value: T) => {
            clearTimeout(timer)
            act(value)
          }
        waiting.push({ resolve: settled(resolve), reject: settled(reject) })
        child.stdin.write(`${JSON.stringify(question)}\n`)
      })
      const answer = parse(line)
      if (answer === undefined) throw new Error(`the adapter's answer to ${question.ask} is no JSON object`)
      if (typeof answer.error === 'string') throw new Error(`the adapter: ${answer.error}`)
      return answer
    },
    async close() {
      child.stdin.end()
      const timer = setTimeout(() => child.kill(), 5000)
      await exited
      clearTimeout(timer)
    },
  }
}

function parse(line: string): Readonly<Record<string, Json>> | undefined {
  try {
    const value = JSON.parse(line) as unknown
    return typeof value === 'object' && value !== null ? (value as Record<string, Json>) : undefined
  } catch {
    return undefined
  }
}

/** What the adapter has for a scenario that is about to be run. @throws Error when its answer is not of this shape */
export async function beginScenario(
  adapter: Adapter,
  version: string,
  scenario: string,
  needs: readonly string[],
): Promise<World> {
  const { can = [], names = {}, ...signers } = await adapter.ask({ ask: 'begin', version, scenario, needs })
  const isObject = (value: Json) => typeof value === 'object' && value !== null && !Array.isArray(value)
  const objects = [...Object.values(signers), names]
  if (!Array.isArray(can) || !can.every((one) => typeof one === 'string') || !objects.every(isObject)) {
    throw new Error('the adapter answers begin with {"one": {…}, "two": {…}, "can": ["code", …]}')
  }
  return { signers: signers as World['signers'], names: names as World['names'], can: can as string[] }
}

/** The first thing a scenario needs and this adapter has not. */
export function lacking({ signers, can }: World, needs: readonly string[]): string | undefined {
  return needs.find((need) => {
    const [signer = '', fact] = need.split('.')
    if (fact !== undefined) return signers[signer]?.[fact] === undefined
    return signers[signer] === undefined && !can.includes(need)
  })
}
