import { readSecretFile } from '../../secret-file.js'
import { CscError } from './csc-error.js'
import { codeOfStep, type DemoProfile, stepAt } from './demo-profile.js'
import type { Terminal } from './terminal.js'

/** Where login, password, code and PIN come from. Each secret is asked for when it is needed, and not kept on disk. */
export interface SignerAccount {
  readonly login: string
  password(): Promise<string>
  pin(): Promise<string>
  /** Whether there is a code for more than one authorization. */
  readonly manyCodes: boolean
  /**
   * Calls `use` with a one-time code; where the code turns out to be used already and there will be another one, with
   * that.
   */
  withCode<Result>(use: (code: string) => Promise<Result>): Promise<Result>
}

/** What the command line says about them. */
export interface SecretSources {
  readonly passwordFile?: string
  readonly codeFile?: string
  readonly pinFile?: string
}

/** A person at the keyboard, or files where they are named. */
export function personalAccount(login: string, files: SecretSources, terminal: Terminal): SignerAccount {
  const password = once(() => fromFileOr(files.passwordFile, () => terminal.ask(`Password of ${login}: `, false)))
  const code = () => fromFileOr(files.codeFile, () => terminal.ask('One-time code: ', true))
  return {
    login,
    password,
    pin: pinFrom(files, terminal),
    manyCodes: files.codeFile === undefined,
    withCode: async (use) => use(await code()),
  }
}

/** How often the demo takes another code after one was refused. */
const FURTHER_CODES = 2
/** So long after a step began, in milliseconds, its code is taken. */
const INTO_STEP = 100

/** The demo's signer: codes are computed, and a step that was used before is waited for to pass. */
export function demoAccount(profile: DemoProfile, files: SecretSources, terminal: Terminal): SignerAccount {
  let usedStep = Number.NEGATIVE_INFINITY
  const nextStep = async () => {
    const now = terminal.now()
    const step = stepAt(profile, now)
    if (step > usedStep) return step
    const wait = (step + 1) * profile.period * 1000 - now + INTO_STEP
    terminal.note(
      `The demo's code of this half minute has been used; the next one comes in ${Math.ceil(wait / 1000)} s.`,
    )
    await terminal.wait(wait)
    return step + 1
  }
  return {
    login: profile.login,
    password: async () => profile.password,
    pin: pinFrom(files, terminal),
    manyCodes: true,
    async withCode(use) {
      for (let further = FURTHER_CODES; ; further--) {
        usedStep = await nextStep()
        try {
          return await use(codeOfStep(profile, usedStep))
        } catch (error) {
          if (further === 0 || !(error instanceof CscError) || !isCodeRefused(error)) throw error
        }
      }
    },
  }
}

/** A code used before looks like a wrong one, and two wrong ones in a row have to wait (CSC API v2.2 §11.8). */
function isCodeRefused(error: CscError): boolean {
  return error.code === 'invalid_authentication_data' || error.message === 'Credential locked'
}

function pinFrom(files: SecretSources, terminal: Terminal): () => Promise<string> {
  return once(() => fromFileOr(files.pinFile, () => terminal.ask('PIN: ', false)))
}

async function fromFileOr(path: string | undefined, ask: () => Promise<string>): Promise<string> {
  return path === undefined ? ask() : readSecretFile(path)
}

function once(make: () => Promise<string>): () => Promise<string> {
  let made: Promise<string> | undefined
  return () => {
    made ??= make()
    return made
  }
}
