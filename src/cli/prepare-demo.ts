import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { type DemoSigner, readDemoSigner, timeStampChainFile, vkeyFile } from '../sam/demo.js'
import type { DemoSummary } from './banner.js'
import type { DemoSetup } from './serve.js'

const PROGRAM = join(dirname(dirname(fileURLToPath(import.meta.url))), 'sam', 'prepare-demo.js')

/** What the terminal tells of the demo, whose content is made at its first start and found at every later one. */
export async function prepareDemo(setup: DemoSetup): Promise<DemoSummary> {
  const made = existsSync(vkeyFile(setup.keysDir)) && existsSync(timeStampChainFile(setup.keysDir))
  const known = made ? readDemoSigner(setup.keysDir) : undefined
  const signer = known ?? (await makeDemo(setup))
  return {
    login: signer.login,
    password: signer.password,
    otpauth: signer.uri,
    commands: ['npx paraph sign --demo README.md', 'npx paraph verify README.md'],
  }
}

async function makeDemo({ env, ...setup }: DemoSetup): Promise<DemoSigner> {
  const child = spawn(process.execPath, [PROGRAM], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  child.stdin.end(JSON.stringify(setup))
  const [answer, status] = await Promise.all([text(child.stdout), ended])
  if (status !== 0) throw new Error('the demo could not be made; see the message above')
  return JSON.parse(answer) as DemoSigner
}
