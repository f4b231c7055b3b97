import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Hsm, ServiceKey } from '../hsm/hsm.js'
import { openHsm } from '../hsm/open-hsm.js'
import { fromPem } from '../pki/pem.js'

/** Name of the CA's key in its token, and of its certificate in the keys folder. */
export const CA_KEY = 'ca'
export const CA_ROOT_FILE = 'demo-root.pem'

/** The demo's certificate authority, as a start of the demo left it: its key in a token of its own. */
export interface OpenDemoCa {
  readonly hsm: Hsm
  readonly key: ServiceKey
  /** DER */
  readonly root: Uint8Array
}

export async function openDemoCa(caHsmUri: string, keysDir: string): Promise<OpenDemoCa> {
  const hsm = await openHsm(caHsmUri)
  const key = await hsm.serviceKey(CA_KEY)
  const [root] = fromPem('CERTIFICATE', readFileSync(join(keysDir, CA_ROOT_FILE), 'utf8'))
  if (root === undefined) throw new Error(`${CA_ROOT_FILE} holds no certificate`)
  return { hsm, key, root }
}
