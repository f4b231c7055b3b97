import type { BearerCheck } from '../bearer.js'
import { type ClosedRequest, closed } from '../contract.js'
import type { OAuthServer } from '../oauth/mount.js'
import type { FrontServices } from '../services.js'
import { askWorker } from '../worker.js'

type RevokeRequest = ClosedRequest<'v1AuthRevoke'> | ClosedRequest<'v2AuthRevoke'>

/** CSC v1 §11.3, v2.2 §11.3: the same in both versions. */
export function revokeDoors({ sam }: FrontServices, check: BearerCheck, oauth: OAuthServer) {
  const revoke = async ({ body, bearer, origin, caller }: RevokeRequest): Promise<undefined> => {
    const { token, token_type_hint: hint } = body
    // A refresh token of OAuth 2 is known to its server alone.
    const ofOAuth = hint !== 'access_token' && (await oauth.revokeRefreshToken(caller, origin, token))
    if (!ofOAuth) await askWorker(sam, 'revoke', { origin, bearer, token, ...(hint === undefined ? {} : { hint }) })
    // The worker tells every front; this one need not wait for that.
    check.forget(caller.sessionId)
  }
  return { v1AuthRevoke: closed<'v1AuthRevoke'>(revoke), v2AuthRevoke: closed<'v2AuthRevoke'>(revoke) }
}
