import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Digest } from '../../src/digest.js'
import type { Mechanism } from '../../src/hsm/hsm.js'

/** What the openssl program says to a signature over a ready digest. It is the stranger who checks our work. */
export async function opensslVerifies(
  publicKey: Uint8Array,
  mechanism: Mechanism,
  digest: Digest,
  signature: Uint8Array,
): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'paraph-openssl-'))
  const file = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes)
    return join(folder, name)
  }
  try {
    const key = ['-pubin', '-keyform', 'DER', '-inkey', file('key', publicKey)]
    const data = ['-in', file('digest', digest.bytes), '-sigfile', file('signature', signature)]
    const output = await run('openssl', ['pkeyutl', '-verify', ...key, ...data, ...options(mechanism)])
    if (/Signature Verified Successfully/.test(output)) return true
    if (/Signature Verification Failure/.test(output)) return false
    throw new Error(`openssl says something else: ${output}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function options(mechanism: Mechanism): string[] {
  const hash = ['-pkeyopt', `digest:${mechanism.hash.replace('-', '')}`]
  switch (mechanism.scheme) {
    case 'ecdsa':
      return hash
    case 'rsa-pkcs1':
      return ['-pkeyopt', 'rsa_padding_mode:pkcs1', ...hash]
    case 'rsa-pss':
      return ['-pkeyopt', 'rsa_padding_mode:pss', ...hash, '-pkeyopt', `rsa_pss_saltlen:${mechanism.saltLength}`]
  }
}

/** Both outputs, whatever the exit status: a signature that does not verify is an answer. */
function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error)
      else resolve(`${stdout}${stderr}`)
    })
  })
}
