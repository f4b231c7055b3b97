import { X509Certificate } from 'node:crypto'
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, INSTANCE_FILE } from '../../config.js'
import { parseHsmUri } from '../../hsm/open-hsm.js'
import { CA_ROOT_FILE } from '../../sam/demo-ca-files.js'
import { readSecretFile } from '../../secret-file.js'
import { type Instance, readInstances } from '../instance.js'
import { type Finding, fail, ok, warn } from './finding.js'

/** What the folders say about themselves; `instance` is undefined where they are new or damaged. */
export function examineFolders(config: Config): { instance: Instance | undefined; findings: Finding[] } {
  let instance: Instance | undefined
  const findings: Finding[] = []
  try {
    instance = readInstances(config)
    findings.push(
      instance === undefined
        ? ok('folders', `${config.data} and ${config.keys} belong to no instance yet.`)
        : ok('folders', `${config.data} and ${config.keys} belong to instance ${instance.instance}.`),
    )
  } catch (error) {
    const [, message = String(error), remedy = ''] = /^(.*?)\. (.*)$/s.exec((error as Error).message) ?? []
    findings.push(fail('folders', `${message}.`, remedy || 'Restore the folders from one backup.'))
  }
  return { instance, findings: [...findings, ...examineModes(config.keys), ...examineSecretFiles(config)] }
}

/** May be read by everybody. */
const PUBLIC: ReadonlySet<string> = new Set([INSTANCE_FILE, CA_ROOT_FILE, 'README.md'])

function examineModes(keys: string): Finding[] {
  if (!existsSync(keys)) return []
  const loose = looseIn(keys)
  if (loose.length === 0) return [ok('file modes', `Only its owner can read the secrets in ${keys}.`)]
  return loose.map(({ path, mode }) =>
    fail('file modes', `Others can get at ${path}.`, `chmod ${mode} ${path}, and change what was in it.`),
  )
}

function looseIn(folder: string): { path: string; mode: string }[] {
  const own = (lstatSync(folder).mode & 0o022) === 0 ? [] : [{ path: folder, mode: 'go-w' }]
  return [
    ...own,
    ...readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return looseIn(path)
      if (!entry.isFile()) return []
      const allowed = PUBLIC.has(entry.name) ? 0o022 : 0o077
      return (lstatSync(path).mode & allowed) === 0 ? [] : [{ path, mode: allowed === 0o022 ? 'go-w' : '600' }]
    }),
  ]
}

/** PIN and token files are read the way the service reads them. */
function examineSecretFiles({ hsm, timeStamps, operator }: Config): Finding[] {
  return [pinFileOf(hsm), pinFileOf(timeStamps?.hsmUri), operator].flatMap((path) => {
    if (path === undefined) return []
    try {
      readSecretFile(path)
      return []
    } catch (error) {
      return [fail('secret files', `${(error as Error).message}.`, 'Until then the file is refused.')]
    }
  })
}

function pinFileOf(hsm: string | undefined): string | undefined {
  try {
    const location = hsm === undefined ? undefined : parseHsmUri(hsm)
    return location?.kind === 'pkcs11' ? location.pinFile : undefined
  } catch {
    // What is wrong with it is told where the device is opened.
    return undefined
  }
}

/** Certificates that are replaced before they expire, not after. */
export const EXPIRY_DAYS = 30

/** The certificates in files: of the front's TLS, of the time-stamp authority, and of the demo's certificate authority. */
export function examineCertificateFiles({ tls, keys, demo, timeStamps }: Config, now: number): Finding[] {
  const root = join(keys, CA_ROOT_FILE)
  return [
    ...(tls === undefined
      ? []
      : expiryOf('TLS certificate', tls.certFile, now, 'Replace it, and restart the service.')),
    ...(timeStamps === undefined
      ? []
      : expiryOf(
          'TSA certificate',
          timeStamps.chainFile,
          now,
          'Have another issued for it (`paraph tsa key`, `paraph tsa import`), and restart the workers.',
        )),
    ...(demo && existsSync(root)
      ? expiryOf("demo's root", root, now, 'Begin a new demo: move its data folder and its keys folder away.')
      : []),
  ]
}

function expiryOf(check: string, path: string, now: number, remedy: string): Finding[] {
  let validTo: Date
  try {
    validTo = new Date(new X509Certificate(readFileSync(path)).validTo)
  } catch {
    return [fail(check, `${path} holds no certificate in PEM.`, remedy)]
  }
  const day = validTo.toISOString().slice(0, 10)
  if (validTo.getTime() < now) return [fail(check, `${path} expired on ${day}.`, remedy)]
  if (validTo.getTime() < now + EXPIRY_DAYS * 86_400_000) return [warn(check, `${path} expires on ${day}.`, remedy)]
  return [ok(check, `${path} is valid until ${day}.`)]
}
