import type { BearerCheck } from './bearer.js'
import { type ClosedRequest, closed } from './contract.js'
import type { FrontServices } from './services.js'
import type { SessionState } from './wire.js'
import { askWorker } from './worker.js'

/** What a client may know of its own session, and the signer's way to end it: not of the CSC API. */
export function sessionDoors(services: FrontServices, check: BearerCheck) {
  return {
    signerSession: closed<'signerSession'>((request) => read(services, request)),
    signerStop: closed<'signerStop'>(async ({ body, bearer, origin, caller }): Promise<undefined> => {
      await askWorker(services.sam, 'stop', { origin, bearer, all: body.all === true })
      // The worker tells every front; this one need not wait for that.
      check.forget(caller.sessionId)
    }),
  }
}

async function read(
  { db, log }: FrontServices,
  { caller, origin }: ClosedRequest<'signerSession'>,
): Promise<SessionState> {
  const { login, name, ends_at, seconds, remembered, authorizations } = await db.session(caller)
  await log.append({
    type: 'auth.session_read',
    outcome: 'ok',
    actor: { kind: 'signer', id: caller.signerId },
    origin,
    evidence: { client: caller.clientId, signer: caller.signerId, session: caller.sessionId },
  })
  return {
    signer: { login, name },
    clientID: caller.clientId,
    endsAt: ends_at.toISOString(),
    expiresIn: seconds,
    remembered,
    authorizations: authorizations.map((one) => ({
      credentialID: one.credential_id,
      SCAL: one.kind === 'bound' && !one.session_wide ? '2' : '1',
      total: one.total,
      remaining: one.total - one.used,
      expiresAt: one.expires_at.toISOString(),
      ...(one.description === null ? {} : { description: one.description }),
    })),
  }
}
