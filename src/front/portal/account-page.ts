import type { Account, ShownApproval } from '../../activation.js'
import { ServiceError } from '../../errors.js'
import type { FrontServices } from '../services.js'
import { askWorker } from '../worker.js'
import { recoveryCodesPage } from './activate-page.js'
import { type Html, html } from './html.js'
import { field, formStart, message, type Page, type PageAnswer, type PageHandler, type PageRequest } from './page.js'
import { PASSKEY_PATH } from './passkey-script.js'
import { instant } from './texts.js'

/** Said on the account page after a change, by the word in its address. */
const NEWS = {
  password: 'passwordChanged',
  removed: 'removed',
  stopped: 'replacementStopped',
  passkey: 'passkeyAdded',
  approved: 'approvedNews',
  denied: 'deniedNews',
} as const

const show: PageHandler = async (services, request) => {
  const { query, texts } = request
  const news = query.done === undefined ? undefined : NEWS[query.done as keyof typeof NEWS]
  return page(request, await account(services, request), message('good', news && texts[news]))
}

interface Shown {
  readonly account: Account
  /** What waits for an answer. */
  readonly approvals: readonly ShownApproval[]
}

/** @throws ServiceError `token_malformed` for whoever is not signed in */
async function account({ sam }: FrontServices, request: PageRequest): Promise<Shown> {
  const common = { origin: request.origin, bearer: await request.signedIn() }
  const account = await askWorker(sam, 'account', common)
  return { account, ...(await askWorker(sam, 'listApprovals', common)) }
}

type Change = (
  services: FrontServices,
  request: PageRequest,
  common: { origin: PageRequest['origin']; bearer: string; code: string; browser?: string },
) => Promise<PageAnswer>

/** A change that takes a code; what is wrong is said on the account page. @param refused what a `not_allowed` means here */
function change(work: Change, refused: 'lastStays' | 'passkeyImpossible' = 'lastStays'): PageHandler {
  return async (services, request) => {
    const { form, origin, browser, texts } = request
    const common = {
      origin,
      bearer: await request.signedIn(),
      code: (form.code ?? '').replaceAll(' ', ''),
      ...(browser === undefined ? {} : { browser }),
    }
    try {
      return await work(services, request, common)
    } catch (error) {
      const problem =
        error instanceof ServiceError
          ? {
              code_rejected: texts.codeWrong,
              code_locked: texts.codeLocked,
              password_weak: texts.passwordWeak,
              not_allowed: texts[refused],
              passkey_rejected: texts.passkeyFailed,
            }[error.code as string]
          : undefined
      if (problem === undefined) throw error
      return { ...page(request, await account(services, request), message('bad', problem)), status: 400 }
    }
  }
}

const changePassword = change(async ({ sam }, { form }, common) => {
  await askWorker(sam, 'changePassword', { ...common, password: form.password ?? '' })
  return { to: '/portal?done=password' }
})

const renewRecoveryCodes = change(async ({ sam }, request, common) => {
  const { recoveryCodes } = await askWorker(sam, 'renewRecoveryCodes', common)
  return recoveryCodesPage(request, request.texts.recoveryTitle, recoveryCodes)
})

const addAuthenticator = change(async ({ sam }, _request, common) => {
  const { link } = await askWorker(sam, 'addAuthenticator', common)
  return { to: `/portal/activate/${link}` }
})

const removeAuthenticator = change(async ({ sam }, { form }, common) => {
  await askWorker(sam, 'removeAuthenticator', { ...common, authenticatorId: form.authenticator ?? '' })
  return { to: '/portal?done=removed' }
})

const beginPasskey = change(async ({ sam, config }, request, common) => {
  const { ticket, ...ask } = await askWorker(sam, 'beginPasskey', common)
  const { texts } = request
  const form = html`<noscript><p class="message bad">${texts.needsScript}</p></noscript>
<form class="card" method="post" action="/portal/account/passkey" hidden data-passkey="${JSON.stringify({ ...ask, service: config.name })}">${formStart(request)}
<input type="hidden" name="ticket" value="${ticket}"><input type="hidden" name="response" value="">
<p class="message bad" role="alert" data-failed hidden>${texts.passkeyFailed}</p>
${field({ name: 'label', label: texts.passkeyName, hint: texts.passkeyNameHint, autocomplete: 'off' })}
<div class="actions"><button>${texts.addPasskey}</button><a class="button quiet" href="/portal">${texts.cancel}</a></div></form>`
  return {
    title: texts.addPasskey,
    body: html`<p class="lead">${texts.passkeyLead}</p>${form}`,
    scripts: [PASSKEY_PATH],
  }
}, 'passkeyImpossible')

const registerPasskey = change(async ({ sam }, { form }, { origin, bearer }) => {
  const { ticket = '', response = '', label = '' } = form
  await askWorker(sam, 'registerPasskey', { origin, bearer, ticket, response, label: label.slice(0, 64) })
  return { to: '/portal?done=passkey' }
}, 'passkeyImpossible')

const cancelReplacement: PageHandler = async ({ sam }, request) => {
  await askWorker(sam, 'cancelReplacement', { origin: request.origin, bearer: await request.signedIn() })
  return { to: '/portal?done=stopped' }
}

/** Everything of the signer ends at once, this session included; takes no code. */
const stopAll: PageHandler = async ({ sam }, request) => {
  await askWorker(sam, 'stop', { origin: request.origin, bearer: await request.signedIn(), all: true })
  return { to: '/portal/sign-in?stopped=1', cookies: [{ name: 'session', value: undefined }] }
}

function page(request: PageRequest, { account, approvals }: Shown, news: Html | undefined): Page {
  const { texts } = request
  const newPassword = field({
    name: 'password',
    label: texts.newPassword,
    type: 'password',
    hint: texts.passwordHint,
    autocomplete: 'new-password',
  })
  return {
    title: account.name,
    body: html`<p class="lead">${texts.accountLead(account.login)}</p>${news}
${waiting(request, approvals)}
${replacement(request, account)}
${sessions(request, account)}
${authenticators(request, account)}
<section><h2>${texts.recoveryTitle}</h2><p>${texts.recoveryLeft(account.recoveryCodesLeft)}</p>
${changeForm(request, 'recovery-codes', texts.renewRecovery, html`<p class="hint">${texts.renewRecoveryHint}</p>`)}</section>
<section><h2>${texts.password}</h2>${changeForm(request, 'password', texts.changePassword, newPassword)}</section>
<form method="post" action="/portal/sign-out">${formStart(request)}<div class="actions"><button class="quiet">${texts.signOut}</button></div></form>`,
  }
}

function waiting({ texts }: PageRequest, approvals: readonly ShownApproval[]): Html | undefined {
  if (approvals.length === 0) return undefined
  const rows = approvals.map(
    ({ approvalId, client, numSignatures = 0, description }) =>
      html`<li><span>${client}${description === undefined ? undefined : html` · ${description}`}</span><span class="faint">${texts.files(numSignatures)}</span><a class="button" href="/portal/answer/${approvalId}">${texts.answer}</a></li>`,
  )
  return html`<section><h2>${texts.waiting}</h2><ul class="rows">${rows}</ul></section>`
}

function replacement(request: PageRequest, { replacementFrom }: Account): Html | undefined {
  const { texts, lang } = request
  if (replacementFrom === undefined) return undefined
  return html`<section><h2>${texts.replacement}</h2><p>${texts.replacementText(instant(lang, replacementFrom))}</p>
<form method="post" action="/portal/account/stop-replacement">${formStart(request)}<div class="actions"><button class="danger">${texts.stopReplacement}</button></div></form></section>`
}

function sessions(request: PageRequest, { sessions }: Account): Html {
  const { texts, lang } = request
  const rows = sessions.map(
    ({ client, endsAt, remembered, signaturesLeft, own }) =>
      html`<li><span>${own ? texts.thisPage : client}</span><span class="faint">${[
        texts.until(instant(lang, endsAt)),
        ...(remembered ? [texts.remembered] : []),
        ...(signaturesLeft > 0 ? [texts.filesLeft(signaturesLeft)] : []),
      ].join(' · ')}</span></li>`,
  )
  return html`<section><h2>${texts.sessions}</h2><ul class="rows">${rows}</ul>
<form method="post" action="/portal/account/stop">${formStart(request)}<p class="hint">${texts.stopAllHint}</p><div class="actions"><button class="danger">${texts.stopAll}</button></div></form></section>`
}

function authenticators(request: PageRequest, { authenticators }: Account): Html {
  const { texts, lang } = request
  const rows = authenticators.map(
    ({ kind, label, createdAt }) =>
      html`<li><span>${texts.kind[kind]}${label === undefined ? undefined : html` · ${label}`}</span><span class="faint">${texts.since(instant(lang, createdAt))}</span></li>`,
  )
  const choices = authenticators.map(
    ({ id, kind, createdAt }, i) =>
      html`<label class="choice"><input type="radio" name="authenticator" value="${id}" required${i === 0 ? html` checked` : undefined}> ${texts.kind[kind]}, ${texts.since(instant(lang, createdAt))}</label>`,
  )
  return html`<section><h2>${texts.authenticators}</h2><ul class="rows">${rows}</ul>
${changeForm(request, 'authenticator', texts.addAuthenticator, undefined)}
${changeForm(request, 'new-passkey', texts.addPasskey, html`<p class="hint">${texts.passkeyLead}</p>`)}
${authenticators.length > 1 ? changeForm(request, 'remove-authenticator', texts.removeAuthenticator, html`${choices}`) : undefined}</section>`
}

/** One change, folded away until it is wanted or something was wrong with it. Its field for the code has a name of its own. */
function changeForm(request: PageRequest, path: string, summary: string, more: Html | undefined): Html {
  const { texts, url } = request
  const action = `/portal/account/${path}`
  return html`<details${url === action ? html` open` : undefined}><summary>${summary}</summary>
<form method="post" action="${action}">${formStart(request)}${more}
<label for="code-${path}">${texts.code}</label><input class="code" id="code-${path}" name="code" inputmode="numeric" pattern="[0-9 ]*" maxlength="12" required autocomplete="one-time-code">
<div class="actions"><button>${texts.confirm}</button></div></form></details>`
}

export const accountPages = {
  'GET /portal': show,
  'POST /portal/account/password': changePassword,
  'POST /portal/account/recovery-codes': renewRecoveryCodes,
  'POST /portal/account/authenticator': addAuthenticator,
  'POST /portal/account/remove-authenticator': removeAuthenticator,
  'POST /portal/account/new-passkey': beginPasskey,
  'POST /portal/account/passkey': registerPasskey,
  'POST /portal/account/stop': stopAll,
  'POST /portal/account/stop-replacement': cancelReplacement,
} as const
