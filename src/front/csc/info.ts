import { open } from '../contract.js'
import type { Health } from '../health.js'
import type { FrontServices } from '../services.js'
import type { InfoV1, InfoV2 } from '../wire.js'
import { SIGNATURE_OIDS } from './oids.js'

/** Served, and not named in `methods` while they are switched off. */
const LOGIN = 'auth/login'
/** Only where the service makes certificates itself, as a demo does. */
const CREATE = 'credentials/create'
/** Only where there is a time-stamp authority. */
const TIMESTAMP = 'signatures/timestamp'

interface InfoServices {
  readonly config: FrontServices['config']
  readonly health: Health
  /** Paths of the contract, from which `methods` follows. */
  readonly paths: readonly string[]
}

/** CSC v1 §11.1, v2.2 §11.1. */
export function infoDoors(services: InfoServices) {
  return {
    v1Info: open<'v1Info'>(() => infoV1(services)),
    v1InfoGet: open<'v1InfoGet'>(() => infoV1(services)),
    v2Info: open<'v2Info'>(() => infoV2(services)),
    v2InfoGet: open<'v2InfoGet'>(() => infoV2(services)),
  }
}

async function infoV1(services: InfoServices): Promise<InfoV1> {
  return {
    specs: '1.0.3.0',
    ...(await common(services)),
    oauth2: oauthBase(services, 'v1'),
    methods: await methodsUnder('/csc/v1/', services),
  }
}

async function infoV2(services: InfoServices): Promise<InfoV2> {
  return {
    specs: '2.2.0.0',
    ...(await common(services)),
    oauth2: oauthBase(services, 'v2'),
    supportsRar: true,
    supportedHashTypes: ['dtbsr'],
    asynchronousOperationMode: false,
    methods: await methodsUnder('/csc/v2/', services),
    signAlgorithms: { algos: [...SIGNATURE_OIDS] },
    signature_formats: { formats: [], envelope_properties: [] },
    conformance_levels: [],
  }
}

async function common({ config, health }: InfoServices) {
  return {
    name: config.name,
    logo: new URL('logo.png', `${config.publicUrl.replace(/\/+$/, '')}/`).href,
    region: config.region,
    lang: config.lang,
    description: (await health.demo())
      ? 'Demo: nothing signed here is worth anything. A remote signing service with keys in a hardware security module.'
      : 'A remote signing service with keys in a hardware security module.',
    authType: [...(config.basicLogin ? (['basic'] as const) : []), 'oauth2code' as const, 'oauth2client' as const],
  }
}

/** Clients append `oauth2/token` and the like; with a slash at its end it is also one to resolve against. */
function oauthBase({ config }: InfoServices, version: 'v1' | 'v2'): string {
  return `${config.publicUrl.replace(/\/+$/, '')}/csc/${version}/`
}

async function methodsUnder(base: string, { config, health, paths }: InfoServices): Promise<string[]> {
  const off = [
    ...(config.basicLogin ? [] : [LOGIN]),
    ...((await health.demo()) ? [] : [CREATE]),
    ...((await health.timeStamps()) ? [] : [TIMESTAMP]),
  ]
  return paths
    .filter((path) => path.startsWith(base))
    .map((path) => path.slice(base.length))
    .filter((method) => method !== 'info' && !off.includes(method))
}
