import { join } from 'node:path'
import { generateSync } from 'otplib'
import { readSecretFile } from '../../secret-file.js'

/** What the demo start leaves in the keys folder, so that a demo signs without typing. */
const DEMO_PROFILE = 'demo-signer.json'

/** The demo signer's login and authenticator. */
export interface DemoProfile {
  readonly login: string
  readonly password: string
  /** Base32. */
  readonly secret: string
  readonly algorithm: 'SHA1' | 'SHA256'
  readonly digits: 6 | 8
  /** Seconds. */
  readonly period: number
}

/** @throws Error saying what to do, when the demo has left none there */
export function readDemoProfile(keys: string): DemoProfile {
  const path = join(keys, DEMO_PROFILE)
  let profile: Partial<DemoProfile>
  try {
    profile = JSON.parse(readSecretFile(path)) as Partial<DemoProfile>
  } catch (cause) {
    throw new Error(`no demo signer here (${(cause as Error).message}): start the demo first, or sign with --login`, {
      cause,
    })
  }
  const { login, password, secret, algorithm, digits, period } = profile
  if (typeof login !== 'string' || typeof password !== 'string' || typeof secret !== 'string') throw notAProfile(path)
  if ((algorithm !== 'SHA1' && algorithm !== 'SHA256') || (digits !== 6 && digits !== 8)) throw notAProfile(path)
  if (!Number.isInteger(period) || Number(period) < 1) throw notAProfile(path)
  return { login, password, secret, algorithm, digits, period: Number(period) }
}

function notAProfile(path: string): Error {
  return new Error(`${path} is not what a demo start writes`)
}

/** The time step of a moment in milliseconds. */
export function stepAt(profile: DemoProfile, now: number): number {
  return Math.floor(now / 1000 / profile.period)
}

/** The one-time code of a time step (RFC 6238). */
export function codeOfStep(profile: DemoProfile, step: number): string {
  return generateSync({
    secret: profile.secret,
    algorithm: profile.algorithm === 'SHA1' ? 'sha1' : 'sha256',
    digits: profile.digits,
    period: profile.period,
    epoch: step * profile.period,
  })
}
