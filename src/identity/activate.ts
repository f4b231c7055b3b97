import type { FrontVerbs } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { Record, Tx } from '../audit/transaction-log.js'
import { readNow } from '../db/now.js'
import { ServiceError } from '../errors.js'
import type { Hsm } from '../hsm/hsm.js'
import { type FactorId, newId, type SignerId } from '../ids.js'
import type { Turns } from '../lane.js'
import { closeFactor, FACTOR_COLUMNS, type Factor, factorAssociatedData, insertFactor } from './factor.js'
import { clearGuesses } from './guess.js'
import { type Invitation, invitationAssociatedData, requireInvitation, writeInvitation } from './invitation.js'
import { forgetBrowsers, knowBrowser } from './known-browser.js'
import { codeUri, newCodeSecret, stepOfCode } from './one-time-code.js'
import { requirePassword } from './password.js'
import { newRecoveryCodes, replaceRecoveryCodes } from './recovery-code.js'
import { secretHash } from './secret-value.js'
import { endSessions, revokeTokens } from './session.js'
import { type FactorServices, matchOneTimeCode, verifyFactors } from './verify-factors.js'

export interface ActivateServices extends FactorServices {
  readonly hsm: Pick<Hsm, 'seal' | 'unseal'>
  /** Of links, by their hashes. */
  readonly linkTurns: Turns
}

/**
 * What a one-use link shows: whose it is, and the authenticator it enrols. The same at every look until it is used, so
 * that a page that was loaded twice, or by a mail scanner, spoils nothing.
 * @throws ServiceError `link_unknown`, `link_early`, `unavailable`
 */
export async function openLink(
  services: ActivateServices,
  request: FrontVerbs['openLink']['request'],
): Promise<FrontVerbs['openLink']['response']> {
  const { transactions, hsm, binding } = services
  const fresh = newCodeSecret('SHA1')
  const { invitation, signer } = await transactions.transact(async (tx) => {
    const invitation = await requireInvitation(tx, binding, request.link)
    return { invitation, signer: await readSigner(tx, invitation.signer_id) }
  })
  const { login, name } = signer
  const shown = { login, name, setsPassword: invitation.sets_password, replaces: invitation.replaces }
  if (!invitation.enrols) return shown
  if (invitation.sealed_secret === null) {
    // The device is asked outside the transaction; of two first looks at once, the first to write wins.
    const sealed = await hsm.seal(Buffer.from(fresh), invitationAssociatedData(invitation))
    await transactions.transact(async (tx) => {
      const current = await requireInvitation(tx, binding, request.link)
      if (current.sealed_secret === null) await writeInvitation(tx, binding, current, { sealed_secret: sealed })
    })
    return openLink(services, request)
  }
  const secret = await openSecret(services, invitation)
  return { ...shown, secret, uri: codeUri(secret, login, 'SHA1') }
}

/**
 * Uses a link up. Where it enrols an authenticator, the code proves that it has the secret: from then on the signer has this authenticator,
 * the password where the link sets one, and new recovery codes where there were none or everything was replaced. A
 * replacement ends every other factor, session, token and known browser. All of it or nothing.
 *
 * Of all who come with one link at once, each takes a turn: its slow hashes are made for those who can still use it, and
 * whoever comes after finds it used.
 * @returns recovery codes, told this once, and a cookie by which this browser is known
 * @throws ServiceError `link_unknown`, `link_early`, `password_weak`, `code_rejected`, `unavailable`, `overloaded`
 */
export async function activate(
  services: ActivateServices,
  request: FrontVerbs['activate']['request'],
): Promise<FrontVerbs['activate']['response']> {
  return services.linkTurns.run(secretHash(request.link).toString('base64'), () => useLink(services, request))
}

async function useLink(
  services: ActivateServices,
  request: FrontVerbs['activate']['request'],
): Promise<FrontVerbs['activate']['response']> {
  const { transactions, hsm, binding, passwords, clock } = services
  const { invitation, signer } = await transactions.transact(async (tx) => {
    const invitation = await requireInvitation(tx, binding, request.link)
    return { invitation, signer: await readSigner(tx, invitation.signer_id) }
  })
  const password = invitation.sets_password ? requirePassword(request.password ?? '', signer.login) : undefined
  if (!invitation.enrols) return resetPassword(services, request, signer.id, password ?? '')
  if (invitation.sealed_secret === null) throw new ServiceError('code_rejected')
  const secret = await openSecret(services, invitation)
  const step = stepOfCode(secret, 'SHA1', request.code, clock.now())
  if (step === undefined) {
    const denied = { type: 'factor.failed', outcome: 'refused', why: 'code_rejected' } as const
    await transactions.append({ ...denied, ...ofSigner(signer.id, request) })
    throw new ServiceError('code_rejected')
  }

  const factor = { id: newId<FactorId>(), signer_id: signer.id, kind: 'totp', generation: 1 } as const
  const sealed = await hsm.seal(Buffer.from(secret), factorAssociatedData(factor))
  const passwordHash = password === undefined ? undefined : await passwords.hash('password', password)
  const recovery = await newRecoveryCodes(passwords)
  return transactions.transact(async (tx, record) => {
    // Again, under the lock: whoever was slower finds the link used.
    const current = await requireInvitation(tx, binding, request.link)
    await writeInvitation(tx, binding, current, { used_at: await readNow(tx), sealed_secret: null })
    if (current.replaces) await endEverything(services, tx, record, signer.id)
    if (passwordHash !== undefined) {
      await tx.query('update paraph.signer set password_hash = $2 where id = $1', [signer.id, passwordHash])
      record({ type: 'signer.password_set', outcome: 'ok', ...ofSigner(signer.id, request) })
    }
    await insertFactor(tx, binding, {
      ...factor,
      algorithm: 'SHA1',
      sealed_secret: sealed,
      demo: false,
      last_step: step,
    })
    record({
      type: 'factor.enrolled',
      outcome: 'ok',
      actor: { kind: 'signer', id: signer.id },
      origin: request.origin,
      facts: { kind: 'totp', demo: 0 },
      evidence: { signer: signer.id, factor: factor.id },
    })
    const isFirst = current.replaces || !(await hasRecoveryCodes(tx, signer.id))
    if (isFirst) await replaceRecoveryCodes(tx, binding, signer.id, recovery)
    record({ type: 'signer.activated', outcome: 'ok', ...ofSigner(signer.id, request) })
    return { browser: await knowBrowser(tx, binding, signer.id), recoveryCodes: isFirst ? [...recovery.codes] : [] }
  })
}

/** A link that enrols nothing: the password is set with a code of the signer's own, and every login ends. */
async function resetPassword(
  services: ActivateServices,
  request: FrontVerbs['activate']['request'],
  signer: SignerId,
  password: string,
): Promise<FrontVerbs['activate']['response']> {
  const { binding, passwords } = services
  const passwordHash = await passwords.hash('password', password)
  const question = {
    signer,
    match: () => matchOneTimeCode(services, signer, request.code),
    pin: '',
    pinHash: null,
    denied: (why: string): AuditEvent => ({
      ...ofSigner(signer, request),
      type: 'factor.failed',
      outcome: 'refused',
      why,
    }),
  }
  return verifyFactors(services, question, async (tx, record, { factor }) => {
    const current = await requireInvitation(tx, binding, request.link)
    await writeInvitation(tx, binding, current, { used_at: await readNow(tx) })
    record({ ...ofSigner(signer, request), type: 'factor.verified', outcome: 'ok', evidence: { signer, factor } })
    await tx.query('update paraph.signer set password_hash = $2 where id = $1', [signer, passwordHash])
    record({ type: 'signer.password_set', outcome: 'ok', ...ofSigner(signer, request) })
    await clearGuesses(tx, signer, 'password')
    await revokeTokens(tx, signer)
    await endSessions(tx, record, { signer }, 'password_set', request.origin)
    return { browser: await knowBrowser(tx, binding, signer), recoveryCodes: [] }
  })
}

/** Every factor of the signer, what was agreed with it, and every login. */
async function endEverything(services: ActivateServices, tx: Tx, record: Record, signer: SignerId): Promise<void> {
  const { rows } = await tx.query<Factor>(
    `select ${FACTOR_COLUMNS} from paraph.factor where signer_id = $1 and state = 'active' for update`,
    [signer],
  )
  for (const factor of rows) {
    await closeFactor(tx, services.binding, factor, 'revoked')
    record({
      type: 'factor.revoked',
      outcome: 'ok',
      actor: { kind: 'signer', id: signer },
      evidence: { signer, factor: factor.id },
    })
  }
  await forgetBrowsers(tx, signer)
  await revokeTokens(tx, signer)
  await endSessions(tx, record, { signer }, 'factors_replaced', undefined)
}

const ofSigner = (signer: SignerId, request: FrontVerbs['activate']['request']) =>
  ({ actor: { kind: 'signer', id: signer }, origin: request.origin, evidence: { signer } }) as const

async function openSecret({ hsm }: ActivateServices, invitation: Invitation): Promise<string> {
  const sealed = invitation.sealed_secret ?? Buffer.alloc(0)
  return Buffer.from(await hsm.unseal(sealed, invitationAssociatedData(invitation))).toString()
}

async function readSigner(tx: Tx, id: SignerId): Promise<{ id: SignerId; login: string; name: string }> {
  const { rows } = await tx.query<{ id: SignerId; login: string; name: string }>(
    `select id, login, name from paraph.signer where id = $1 and state = 'active'`,
    [id],
  )
  const [signer] = rows
  if (signer === undefined) throw new ServiceError('link_unknown')
  return signer
}

async function hasRecoveryCodes(tx: Tx, signer: SignerId): Promise<boolean> {
  const { rows } = await tx.query('select 1 from paraph.recovery_code where signer_id = $1 limit 1', [signer])
  return rows.length > 0
}
