import { type Config, ConfigError, isSoftHsm } from '../config.js'
import { parseHsmUri } from '../hsm/open-hsm.js'

/**
 * The device that a ceremony outside a demo is for.
 * @throws ConfigError when PARAPH_HSM is missing, wrong, or no PKCS#11 device
 */
export function requireDevice({ hsm }: Config): string {
  const example = 'PARAPH_HSM="pkcs11:/path/to/module.so?token=paraph&pin-file=/path/to/pin"'
  if (hsm === undefined) {
    throw new ConfigError([`PARAPH_HSM is missing: type ${example}. A demo needs no ceremony: its start does it all`])
  }
  try {
    if (parseHsmUri(hsm).kind === 'pkcs11') return hsm
  } catch (error) {
    throw new ConfigError([`PARAPH_HSM: ${(error as Error).message}`])
  }
  throw new ConfigError([
    `PARAPH_HSM names a memory device, which makes its keys by itself and serves tests and demos only. For production type ${example}`,
  ])
}

/** What to tell of a device that is none, or undefined. */
export function warningAbout(uri: string): string | undefined {
  if (!isSoftHsm(uri)) return undefined
  return 'This is SoftHSM, a device for development: whoever reads its files and the PIN has all keys.'
}
