import QRCode from 'qrcode'
import type { Config } from '../config.js'

/** What the demo tells on the terminal. */
export interface DemoSummary {
  readonly login: string
  readonly password: string
  /** otpauth://… of the demo signer's authenticator. */
  readonly otpauth: string
  /** To type next, in order. */
  readonly commands: readonly string[]
}

/** Tells on standard output, once everything answers, what to do with it. */
export async function printBanner(config: Config, demo: DemoSummary | undefined, json: boolean): Promise<void> {
  const lines = json
    ? [JSON.stringify({ url: config.publicUrl, demo: config.demo, ...demo })]
    : await banner(config, demo)
  process.stdout.write(`${lines.join('\n')}\n`)
}

async function banner(config: Config, demo: DemoSummary | undefined): Promise<string[]> {
  if (demo === undefined)
    return [`${config.name} listens on ${config.host} port ${config.port}, for ${config.publicUrl}`]
  const picture = process.stdout.isTTY ? await QRCode.toString(demo.otpauth, { type: 'terminal', small: true }) : ''
  return [
    '',
    'Paraph is up. This is a demo: what it signs proves nothing, and everything below may be told to anybody.',
    '',
    `  Address        ${config.publicUrl}`,
    `  Login          ${demo.login}`,
    `  Password       ${demo.password}`,
    `  Authenticator  ${demo.otpauth}`,
    `  Account        ${config.publicUrl}/portal`,
    ...(picture === '' ? [] : ['', picture.trimEnd()]),
    '',
    'Try, in another terminal:',
    '',
    ...demo.commands.map((command) => `  ${command}`),
    '',
    `Ctrl-C stops it. Everything is kept in ${config.data} and ${config.keys}; a next start finds it there.`,
    '',
  ]
}
