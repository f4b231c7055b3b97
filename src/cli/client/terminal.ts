import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import type { Clock } from '../../clock.js'

/** Where a command of the client reads and writes, and how it waits; a test puts its own in. */
export interface Terminal extends Clock {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The result, on standard output. */
  out(text: string): void
  /** What a person should know, on standard error. */
  note(text: string): void
  /** One line that replaces the one before; nothing where standard error is no terminal. */
  progress(text: string): void
  /**
   * Asks the person at the keyboard.
   * @param visible whether what is typed appears
   * @throws NotInteractiveError where nobody can be asked, Error when the person gives up
   */
  ask(question: string, visible: boolean): Promise<string>
  /** Waits so many milliseconds. */
  wait(milliseconds: number): Promise<void>
  /** What the process will end with. */
  setStatus(status: 0 | 1): void
}

export class NotInteractiveError extends Error {
  override readonly name = 'NotInteractiveError'
}

const CLEAR_LINE = '\r\u001b[K'

export const processTerminal: Terminal = {
  env: process.env,
  now: () => Date.now(),
  wait: (milliseconds) => setTimeout(milliseconds),
  out: (text) => {
    process.stderr.write(onTerminal(CLEAR_LINE))
    process.stdout.write(`${text}\n`)
  },
  note: (text) => void process.stderr.write(`${onTerminal(CLEAR_LINE)}${text}\n`),
  progress: (text) =>
    void process.stderr.write(onTerminal(CLEAR_LINE + text.slice(0, (process.stderr.columns ?? 80) - 1))),
  ask,
  setStatus: (status) => {
    process.exitCode = status
  },
}

function onTerminal(text: string): string {
  return process.stderr.isTTY ? text : ''
}

function ask(question: string, visible: boolean): Promise<string> {
  if (!process.stdin.isTTY) return Promise.reject(new NotInteractiveError('there is no terminal to ask at'))
  // The line editor echoes through its output; the question itself goes past it.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: visible ? process.stderr : silent, terminal: true })
  process.stderr.write(`${onTerminal(CLEAR_LINE)}${visible ? '' : question}`)
  return new Promise((resolve, reject) => {
    lines.once('close', () => {
      if (!visible) process.stderr.write('\n')
      reject(new Error('given up'))
    })
    lines.once('SIGINT', () => lines.close())
    lines.question(visible ? question : '', (answer) => {
      resolve(visible ? answer.trim() : answer)
      lines.close()
    })
  })
}
