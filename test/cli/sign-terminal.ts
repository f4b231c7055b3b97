import { Command, CommanderError } from 'commander'
import { NotInteractiveError, type Terminal } from '../../src/cli/client/terminal.js'
import { registerSign } from '../../src/cli/sign.js'
import { registerVerify } from '../../src/cli/verify.js'

/** A terminal whose person answers from a list, and whose time passes when somebody waits. */
export class FakeTerminal implements Terminal {
  readonly env: Record<string, string> = {}
  readonly answers: string[] = []
  readonly asked: string[] = []
  readonly lines: string[] = []
  readonly notes: string[] = []
  readonly progressed: string[] = []
  readonly waited: number[] = []
  time = Date.now()
  status: 0 | 1 | undefined

  now = () => this.time
  out = (text: string) => void this.lines.push(text)
  note = (text: string) => void this.notes.push(text)
  progress = (text: string) => void this.progressed.push(text)
  setStatus = (status: 0 | 1) => {
    this.status = status
  }

  ask = async (question: string, visible: boolean) => {
    this.asked.push(`${visible ? 'visible' : 'hidden'} ${question}`)
    const answer = this.answers.shift()
    if (answer === undefined) throw new NotInteractiveError('there is no terminal to ask at')
    return answer
  }

  wait = async (milliseconds: number) => {
    this.waited.push(milliseconds)
    this.time += milliseconds
  }

  /** Runs the command line and gives back what the process would end with. */
  async run(...argv: readonly string[]): Promise<number> {
    const program = new Command('paraph').exitOverride()
    program.configureOutput({ writeErr: (text) => void this.notes.push(text), writeOut: this.out })
    registerSign(program, this)
    registerVerify(program, this)
    this.status = undefined
    try {
      await program.parseAsync(['node', 'paraph', ...argv])
      return this.status ?? 0
    } catch (error) {
      if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
      this.notes.push(`paraph: ${(error as Error).message}`)
      return 1
    }
  }

  /** Everything a person could read. */
  get text(): string {
    return [...this.lines, ...this.notes, ...this.progressed, ...this.asked].join('\n')
  }
}
