import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Outcome {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
  /** What stands on standard output, which must be one line of JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look at answers of every shape
  readonly json: any
}

/** The compiled command line. */
export const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))

/** Runs the compiled command line to its end, with no other settings than those given and nothing on its input. */
export function paraph(env: Readonly<Record<string, string>>, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const whole = { PATH: process.env['PATH'], ...env }
    const child = execFile(process.execPath, [MAIN, ...args], { env: whole, cwd: '/' }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') return reject(error)
      resolve({
        status: error === null ? 0 : Number(error.code),
        stdout,
        stderr,
        get json() {
          if (!/^[^\n]+\n$/.test(stdout)) throw new Error('standard output is not one line')
          return JSON.parse(stdout)
        },
      })
    })
    child.stdin?.end()
  })
}
