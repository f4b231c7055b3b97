import { ServiceError } from '../../errors.js'
import { secretHash } from '../../identity/secret-value.js'
import type { BearerCheck } from '../bearer.js'
import { type OpenRequest, open } from '../contract.js'
import type { FrontServices } from '../services.js'
import type { LoginResponse } from '../wire.js'
import { askWorker } from '../worker.js'
import { decodeBase64 } from './digests.js'

type LoginRequest = OpenRequest<'v1AuthLogin'> | OpenRequest<'v2AuthLogin'>

/** CSC v1 §11.2, v2.2 §11.2: the same in both versions. */
export function loginDoors(services: FrontServices, check: BearerCheck) {
  return {
    v1AuthLogin: open<'v1AuthLogin'>((request) => login(services, check, request)),
    v2AuthLogin: open<'v2AuthLogin'>((request) => login(services, check, request)),
  }
}

async function login(
  { config, sam }: FrontServices,
  check: BearerCheck,
  { body, origin, authorization }: LoginRequest,
): Promise<LoginResponse> {
  if (!config.basicLogin) throw new ServiceError('login_disabled')
  const { refresh_token: refreshToken, rememberMe = false } = body
  const tokens =
    refreshToken === undefined
      ? await askWorker(sam, 'login', { origin, ...basicCredentials(authorization), rememberMe })
      : await askWorker(sam, 'refresh', { origin, refreshToken })
  check.expect(secretHash(tokens.accessToken))
  return {
    access_token: tokens.accessToken,
    ...(tokens.refreshToken === undefined ? {} : { refresh_token: tokens.refreshToken }),
    expires_in: tokens.expiresIn,
  }
}

const BASIC = /^basic +([A-Za-z0-9+/]+={0,2})$/i
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 7617 §2 forbids them in both
const CONTROL = /[\u0000-\u001f\u007f]/
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Login and password of an `Authorization: Basic` header (RFC 7617), in UTF-8.
 * @throws ServiceError `login_malformed`, `login_undecodable`
 */
function basicCredentials(header: string | undefined): { login: string; password: string } {
  const encoded = BASIC.exec(header ?? '')?.[1]
  const bytes = encoded === undefined ? undefined : decodeBase64(encoded)
  if (bytes === undefined) throw new ServiceError('login_malformed')
  const text = decodeUtf8(bytes)
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon < 0 || CONTROL.test(text)) throw new ServiceError('login_undecodable')
  return { login: text.slice(0, colon), password: text.slice(colon + 1) }
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}
