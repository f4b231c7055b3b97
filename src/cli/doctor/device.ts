import { existsSync } from 'node:fs'
import { ANNOUNCE_KEY } from '../../audit/announce.js'
import type { Config } from '../../config.js'
import { openPool } from '../../db/pool.js'
import { sqlState } from '../../db/transaction.js'
import { type Hsm, HsmError } from '../../hsm/hsm.js'
import { openHsm, parseHsmUri } from '../../hsm/open-hsm.js'
import { CA_KEY } from '../../sam/demo-ca-files.js'
import { openKeyring } from '../../sam/keyring.js'
import { TIME_STAMP_KEY } from '../../sam/time-stamps.js'
import { chooseDemoDevice } from '../demo-device.js'
import { warningAbout } from '../device-setting.js'
import type { Instance } from '../instance.js'
import { type Finding, fail, ok, warn } from './finding.js'

const CHECK_TSA = 'Correct PARAPH_TSA_HSM, or make it ready with `paraph tsa key`.'
const CHECK_URI = 'Correct PARAPH_HSM, or make the device ready with `paraph hsm init`.'

/** @param databaseUrl a database whose secrets the device must be able to open; undefined where none can be asked */
export async function* examineDevice(
  config: Config,
  instance: Instance | undefined,
  databaseUrl: string | undefined,
): AsyncGenerator<Finding> {
  if (config.demo) {
    yield* examineDemoDevice(config, instance, databaseUrl)
    return
  }
  if (config.hsm === undefined) {
    if (config.sam !== undefined) yield ok('device', 'None is named here; the signing workers run elsewhere.')
    return
  }
  yield* examineHsm(config.hsm, databaseUrl, CHECK_URI)
  if (config.timeStamps !== undefined) {
    yield await examineServiceKey("TSA's device", config.timeStamps.hsmUri, TIME_STAMP_KEY, CHECK_TSA)
  }
  const warning = warningAbout(config.hsm)
  if (warning !== undefined) {
    yield warn('device kind', warning, 'For anything that counts, name the PKCS#11 module of a hardware device.')
  }
}

async function* examineDemoDevice(
  config: Config,
  instance: Instance | undefined,
  databaseUrl: string | undefined,
): AsyncGenerator<Finding> {
  const repair =
    'Put that right, or restore the keys folder, or begin a new demo: move its data folder and its keys folder away.'
  try {
    const device = await chooseDemoDevice(config.keys, instance?.device)
    const words = device.kind === 'softhsm' ? 'SoftHSM' : 'the memory device, since SoftHSM is not installed'
    if (instance === undefined || !existsSync(config.keys)) {
      yield ok('device', `A demo begun here would use ${words}.`)
      return
    }
    Object.assign(process.env, device.env)
    yield* examineHsm(device.hsmUri, databaseUrl, repair)
    yield await examineServiceKey("CA's device", device.caHsmUri, CA_KEY, repair)
    yield await examineServiceKey("TSA's device", device.tsaHsmUri, TIME_STAMP_KEY, repair)
  } catch (error) {
    yield fail('device', `${(error as Error).message}.`, repair)
  }
}

async function* examineHsm(uri: string, databaseUrl: string | undefined, remedy: string): AsyncGenerator<Finding> {
  let hsm: Hsm
  try {
    hsm = await openExisting(uri)
  } catch (error) {
    yield fail('device', `The device cannot be used: ${(error as Error).message}.`, remedy)
    return
  }
  try {
    yield ok('device', `The device opens: ${hsm.description}.`)
    yield await examineKek(hsm, uri, remedy)
    yield await examineKeys(hsm, remedy)
    if (databaseUrl !== undefined) yield* examineKeyring(hsm, databaseUrl)
  } finally {
    await hsm.close()
  }
}

/** A memory device that is not there would be made by opening it. */
async function openExisting(uri: string): Promise<Hsm> {
  const location = parseHsmUri(uri)
  if (location.kind === 'memory' && !existsSync(location.folder)) throw new Error(`${location.folder} does not exist`)
  return openHsm(uri)
}

/** The token of an authority, which has its own. */
async function examineServiceKey(check: string, uri: string, key: string, remedy: string): Promise<Finding> {
  try {
    const hsm = await openExisting(uri)
    try {
      await hsm.serviceKey(key)
    } finally {
      await hsm.close()
    }
    return ok(check, 'It opens, and its key is there.')
  } catch (error) {
    return fail(check, `It cannot be used: ${(error as Error).message}.`, remedy)
  }
}

/** Makes a key that is worth nothing, the way signers' keys are made, and forgets it. */
async function examineKek(hsm: Hsm, uri: string, remedy: string): Promise<Finding> {
  try {
    await hsm.generateSignerKey('p-256', Buffer.from('paraph/doctor'))
  } catch (error) {
    return fail('KEK', `The device makes no keys for signers: ${(error as Error).message}.`, remedy)
  }
  const location = parseHsmUri(uri)
  if (location.kind === 'memory') return ok('KEK', 'The memory device makes keys. It protects them from nobody.')
  if (!location.allowLooseKek || (await opensWithoutLooseKek(uri))) {
    return ok('KEK', "Signers' keys come back unreadable only; an attack on the KEK was tried, and failed.")
  }
  return warn(
    'KEK',
    'The device does not enforce the unwrap template of the KEK: whoever has its PIN and the database can read all keys.',
    'Use a device that knows CKA_UNWRAP_TEMPLATE.',
  )
}

async function opensWithoutLooseKek(uri: string): Promise<boolean> {
  const [module = '', query = ''] = uri.split('?')
  const strict = query.split('&').filter((part) => !part.startsWith('loose-kek='))
  return openHsm(`${module}?${strict.join('&')}`).then(
    (hsm) => hsm.close().then(() => true),
    () => false,
  )
}

async function examineKeys(hsm: Hsm, remedy: string): Promise<Finding> {
  try {
    await hsm.serviceKey(ANNOUNCE_KEY)
    const associatedData = Buffer.from('paraph/doctor')
    await hsm.unseal(await hsm.seal(Buffer.alloc(32), associatedData), associatedData)
    return ok('device keys', `The sealing key works, and the service key ${ANNOUNCE_KEY} is there.`)
  } catch (error) {
    return fail('device keys', `Not all keys are there: ${(error as Error).message}.`, remedy)
  }
}

/** Whether this is the device with which the database was begun. */
async function* examineKeyring(hsm: Hsm, databaseUrl: string): AsyncGenerator<Finding> {
  const check = 'device and database'
  const pool = openPool(databaseUrl, { max: 1, name: 'paraph doctor' })
  try {
    const { rows } = await pool.query<{ instance: string }>('select instance from audit.log')
    await openKeyring(hsm, pool, rows[0]?.instance ?? '')
    yield ok(check, "The device opens the service's secrets in the database.")
  } catch (error) {
    if (sqlState(error) === '42501') return
    const message =
      error instanceof HsmError && error.code === 'rejected'
        ? "The device does not open the service's secrets in the database: it is not the one they were sealed with"
        : (error as Error).message
    yield fail(check, `${message}.`, 'Name the device that belongs to this database in PARAPH_HSM.')
  } finally {
    await pool.end()
  }
}
