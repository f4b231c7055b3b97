import type Provider from 'oidc-provider'
import { SCOPE_OF_KIND, type ShownApproval } from '../../activation.js'
import { type ErrorCode, ServiceError } from '../../errors.js'
import { toCscError } from '../csc/errors.js'
import { type Html, html } from '../portal/html.js'
import { field, formStart, message, type Page, type PageHandler, type PageRequest } from '../portal/page.js'
import { PASSKEY_PATH } from '../portal/passkey-script.js'
import type { Pages } from '../portal/portal.js'
import type { FrontServices } from '../services.js'
import { askWorker } from '../worker.js'
import type { OAuthServer } from './mount.js'
import { approvePath } from './provider.js'

type Creation = NonNullable<ShownApproval['creation']>

/** Wishes that no answer of the signer could make possible; the client is told why. */
const IMPOSSIBLE: readonly ErrorCode[] = [
  'credential_disabled',
  'certificate_expired',
  'client_not_allowed',
  'signature_count_too_high',
  'digests_missing',
  // Another name than the signer's in what shall be made.
  'parameter_invalid',
  'too_many_credentials',
]

/**
 * The pages on which a signer answers what a client asks for: those that an authorization request leads to, which go back
 * to the client, and those of a handle, which are found from the account page.
 */
export function approvePages(server: OAuthServer): Pages {
  const ask: PageHandler = async (services, request) => {
    const back = await wayBack(server, request)
    if (back === undefined) return gone(request)
    try {
      const shown = await read(services, request, { name: back.uid })
      return shown.state === 'approved'
        ? back.approved(shown)
        : question(request, approvePath(back.uid), shown, back.target)
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      if (error.code === 'approval_unknown') return { ...gone(request), refusal: error }
      if (error.code === 'credential_unknown') return { ...notYours(request), refusal: error }
      if (!IMPOSSIBLE.includes(error.code)) throw error
      const { error: word, error_description } = toCscError('v2', error).body
      return back.refused(word, error_description)
    }
  }
  const answer: PageHandler = async (services, request) => {
    const back = await wayBack(server, request)
    if (back === undefined) return gone(request)
    const { form } = request
    const shown = await read(services, request, { name: back.uid })
    if (shown.state === 'approved') return back.approved(shown)
    if (form.answer === 'no') {
      await askWorker(services.sam, 'deny', { ...(await commonOf(request)), approvalId: shown.approvalId })
      return back.refused('access_denied', DENIED)
    }
    if (form.answer === 'send') {
      const news = await sendCode(services, request, shown)
      return question(request, approvePath(back.uid), shown, back.target, news)
    }
    const problem = await approve(services, request, shown)
    if (problem === undefined) return back.approved(shown)
    return { ...question(request, approvePath(back.uid), shown, back.target, { problem }), status: 400 }
  }
  return {
    [`GET ${approvePath(':uid')}`]: ask,
    [`POST ${approvePath(':uid')}`]: answer,
    'GET /portal/answer/:id': askOfHandle,
    'POST /portal/answer/:id': answerOfHandle,
  }
}

const askOfHandle: PageHandler = async (services, request) => {
  const approvalId = request.params.id ?? ''
  const shown = await read(services, request, { approvalId }).catch(unlessUnknown)
  return shown instanceof ServiceError
    ? { ...gone(request), refusal: shown }
    : question(request, `/portal/answer/${approvalId}`, shown)
}

const answerOfHandle: PageHandler = async (services, request) => {
  const approvalId = request.params.id ?? ''
  const shown = await read(services, request, { approvalId }).catch(unlessUnknown)
  if (shown instanceof ServiceError) return { ...gone(request), refusal: shown }
  if (request.form.answer === 'no') {
    await askWorker(services.sam, 'deny', { ...(await commonOf(request)), approvalId })
    return { to: '/portal?done=denied' }
  }
  if (request.form.answer === 'send') {
    const news = await sendCode(services, request, shown)
    return question(request, `/portal/answer/${approvalId}`, shown, undefined, news)
  }
  const problem = await approve(services, request, shown)
  if (problem === undefined) return { to: '/portal?done=approved' }
  return { ...question(request, `/portal/answer/${approvalId}`, shown, undefined, { problem }), status: 400 }
}

function unlessUnknown(error: unknown): ServiceError {
  if (error instanceof ServiceError && error.code === 'approval_unknown') return error
  throw error
}

const DENIED = 'The user, authorization server or remote service denied the request.'

async function commonOf(request: PageRequest) {
  return { origin: request.origin, bearer: await request.signedIn() }
}

/** Not through askWorker: a worker writes no entry for a look, so that a refusal is the front's to count. */
async function read({ sam }: FrontServices, request: PageRequest, which: { name: string } | { approvalId: string }) {
  return sam.call('readApproval', { ...(await commonOf(request)), ...which })
}

/** What to tell the signer above the question. */
interface News {
  readonly good?: string
  readonly problem?: string
}

/** Sends the signer a code to answer with. */
async function sendCode({ sam }: FrontServices, request: PageRequest, { approvalId }: ShownApproval): Promise<News> {
  const { texts } = request
  try {
    const { sentTo } = await askWorker(sam, 'sendApprovalCode', { ...(await commonOf(request)), approvalId })
    return { good: texts.codeSent(sentTo) }
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    if (error.code === 'too_many_codes') return { problem: texts.codeTooSoon(error.retryAfter ?? 1) }
    if (error.code === 'code_locked') return { problem: texts.codeLocked }
    throw error
  }
}

/** @returns what to tell the signer when it was not taken */
async function approve(
  services: FrontServices,
  request: PageRequest,
  shown: ShownApproval,
): Promise<string | undefined> {
  const { form, texts, browser } = request
  const code = form.code?.replaceAll(' ', '')
  try {
    await askWorker(services.sam, 'approve', {
      ...(await commonOf(request)),
      approvalId: shown.approvalId,
      factors: {
        ...(form.response === undefined ? {} : { assertion: form.response }),
        ...(code === undefined ? {} : { code }),
        ...(form.pin === undefined ? {} : { pin: form.pin }),
      },
      remember: form.remember === 'yes',
      ...(form.session === undefined ? {} : { session: wholeNumber(form.session) }),
      ...(browser === undefined ? {} : { browser }),
    })
    return undefined
  } catch (error) {
    const problem =
      error instanceof ServiceError
        ? {
            code_rejected: form.response === undefined ? texts.codeWrong : texts.passkeyUsed,
            code_missing: texts.codeWrong,
            code_locked: texts.codeLocked,
            pin_rejected: texts.pinWrong,
            pin_missing: texts.pinWrong,
            remember_not_allowed: texts.sessionRefused,
          }[error.code as string]
        : undefined
    if (problem === undefined) throw error
    return problem
  }
}

/** What is none of ours is 0, which was never offered. */
function wholeNumber(text: string): number {
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : 0
}

interface WayBack {
  readonly uid: string
  /** Origin of the client, to which the answer leads. */
  readonly target: string | undefined
  approved(shown: ShownApproval): Promise<{ to: string }>
  refused(error: string, description: string): Promise<{ to: string }>
}

/** The authorization request that brought this browser here, if it is still waited for. */
async function wayBack(server: OAuthServer, request: PageRequest): Promise<WayBack | undefined> {
  const provider = await server.provider()
  const { raw } = request.raw
  const { raw: response } = request.reply
  const interaction = await provider.interactionDetails(raw, response).catch(unlessNotFound)
  if (interaction === undefined || interaction.uid !== request.params.uid) return undefined
  const { uid, params } = interaction
  const finish = async (result: Parameters<Provider['interactionResult']>[2]) => {
    const { pathname } = new URL(
      await provider.interactionResult(raw, response, result, { mergeWithLastSubmission: false }),
    )
    return { to: pathname }
  }
  return {
    uid,
    target: originOfUri(params.redirect_uri),
    approved: async (shown) =>
      finish({
        login: { accountId: shown.signerId, remember: false },
        consent: { grantId: await grant(provider, uid, params, shown) },
      }),
    refused: (error, description) => finish({ error, error_description: description }),
  }
}

function unlessNotFound(error: unknown): undefined {
  if ((error as { name?: string }).name !== 'SessionNotFound') throw error
}

function originOfUri(uri: unknown): string | undefined {
  return typeof uri === 'string' && URL.canParse(uri) ? new URL(uri).origin : undefined
}

/** What the server has to know of the answer. The approval itself is the worker's, under the same name. */
async function grant(
  provider: Provider,
  uid: string,
  params: Record<string, unknown>,
  shown: ShownApproval,
): Promise<string> {
  const given = new provider.Grant({ accountId: shown.signerId, clientId: shown.clientId })
  given.jti = uid
  given.addResourceScope(params.resource as string, SCOPE_OF_KIND[shown.kind])
  if (typeof params.authorization_details === 'string') {
    const [detail] = JSON.parse(params.authorization_details) as Record<string, unknown>[]
    const { credential, numSignatures } = shown
    given.addRar({
      ...detail,
      ...(credential === undefined ? {} : { credentialID: credential.credentialId }),
      ...(numSignatures === undefined ? {} : { numSignatures }),
    } as never)
  }
  return given.save()
}

function question(
  request: PageRequest,
  action: string,
  shown: ShownApproval,
  target?: string,
  { good, problem }: News = {},
): Page {
  const { texts } = request
  const { title, lead, yes } = wordsOf(request, shown)
  return {
    title,
    formTargets: target === undefined ? [] : [target],
    scripts: shown.passkey === undefined ? [] : [PASSKEY_PATH],
    body: html`<p class="lead">${lead}</p>${message('bad', problem)}${message('good', good)}
${shown.kind === 'credential' ? facts(request, shown) : undefined}
${shown.kind === 'deletion' ? whatGoes(request, shown) : undefined}
${shown.creation === undefined ? undefined : whatComes(request, shown, shown.creation)}
${passkeyForm(request, action, shown)}
${yesForm(request, action, shown, yes)}
<form method="post" action="${action}">${formStart(request)}<div class="actions"><button class="${shown.kind === 'deletion' ? 'quiet' : 'danger'}" name="answer" value="no">${texts.deny}</button></div></form>`,
  }
}

function wordsOf({ texts }: PageRequest, { kind, client }: ShownApproval) {
  return {
    service: { title: texts.letInTitle, lead: texts.letInLead(client), yes: texts.letIn },
    credential: { title: texts.approveTitle, lead: texts.approveLead(client), yes: texts.approve },
    creation: { title: texts.createTitle, lead: texts.createLead(client), yes: texts.createYes },
    deletion: { title: texts.deleteTitle, lead: texts.deleteLead(client), yes: texts.deleteYes },
  }[kind]
}

function whatGoes({ texts }: PageRequest, { credential, client }: ShownApproval): Html {
  return html`<section><dl><dt>${texts.askedBy}</dt><dd>${client}</dd>
<dt>${texts.certificate}</dt><dd>${credential?.subject ?? ''}</dd>
${credential?.description === undefined ? undefined : html`<dt>${texts.calledBy}</dt><dd>${credential.description}</dd>`}</dl>
<p class="hint">${texts.deleteHint}</p></section>`
}

function whatComes({ texts }: PageRequest, { client }: ShownApproval, creation: Creation): Html {
  return html`<section><dl><dt>${texts.askedBy}</dt><dd>${client}</dd>
<dt>${texts.certificateName}</dt><dd>${creation.name}</dd>
<dt>${texts.certificatePolicy}</dt><dd>${texts.testPolicy} (${creation.certificatePolicy})</dd>
<dt>${texts.key}</dt><dd>${texts.keyKind[creation.key]}</dd></dl>
<p class="hint">${texts.createHint}</p></section>`
}

function facts({ texts }: PageRequest, shown: ShownApproval): Html {
  const { credential, numSignatures = 0, labels, description, comparison, client } = shown
  const named = labels.filter((label) => label !== '')
  return html`<section><dl><dt>${texts.askedBy}</dt><dd>${client}</dd>
<dt>${texts.signedWith}</dt><dd>${credential?.description ?? credential?.subject ?? ''}</dd>
<dt>${texts.howMany}</dt><dd>${texts.files(numSignatures)}</dd>
${description === undefined ? undefined : html`<dt>${texts.purpose}</dt><dd>${description}</dd>`}</dl>
${named.length === 0 ? undefined : html`<ul class="files">${named.map((label) => html`<li>${label}</li>`)}</ul>`}
<h2>${texts.comparison}</h2><p class="compare">${comparison}</p><p class="hint">${texts.comparisonHint}</p></section>`
}

/** With nothing that could agree there is no yes, and whoever has only a passkey here is told what that needs. */
function yesForm(request: PageRequest, action: string, shown: ShownApproval, yes: string): Html {
  const { texts } = request
  const { credential } = shown
  if (credential?.code === false && !credential.sends) {
    return shown.passkey === undefined
      ? html`<p class="message bad" role="alert">${texts.noFactor}</p>`
      : html`<noscript><p class="message bad">${texts.needsScript}</p></noscript>`
  }
  const ask = html`<form method="post" action="${action}">${formStart(request)}<div class="actions"><button class="quiet" name="answer" value="send">${texts.sendCode}</button></div></form>`
  return html`${credential?.sends === true ? ask : undefined}<form class="card" method="post" action="${action}">${formStart(request)}
${shown.kind === 'service' ? remember(request) : factors(request, shown)}
<div class="actions"><button${dangerous(shown)} name="answer" value="yes">${yes}</button></div></form>`
}

/** What cannot be taken back does not look like the thing to do. */
const dangerous = ({ kind }: ShownApproval) => (kind === 'deletion' ? html` class="danger"` : undefined)

function factors(request: PageRequest, shown: ShownApproval): Html {
  const { texts } = request
  const { credential } = shown
  const code = field({
    name: 'code',
    label: credential?.sends === true ? texts.oneTimeCode : texts.code,
    ...(credential?.sends === true ? {} : { hint: texts.codeHint }),
    type: 'code',
    autocomplete: 'one-time-code',
  })
  const pin = field({ name: 'pin', label: texts.pin, type: 'password', autocomplete: 'off' })
  return html`${code}${credential?.pin === true ? pin : undefined}${goesOn(request, shown, 'session')}`
}

/** Never ticked for the signer either. What it says of the limits comes back with it, and must still be so. */
function goesOn({ texts }: PageRequest, { session }: ShownApproval, id: string): Html | undefined {
  if (session === undefined) return undefined
  const { ceiling, minutes } = session
  return html`<label class="choice" for="${id}"><input type="checkbox" id="${id}" name="session" value="${ceiling}" aria-describedby="${id}-hint"> ${texts.session}</label>
<p class="hint" id="${id}-hint">${texts.sessionHint(minutes, ceiling)}</p>`
}

/** Without scripts it stays hidden, and the code is the way. */
function passkeyForm(request: PageRequest, action: string, shown: ShownApproval): Html | undefined {
  const { texts } = request
  const { passkey, credential } = shown
  if (passkey === undefined) return undefined
  const pin = field({ name: 'pin', id: 'passkey-pin', label: texts.pin, type: 'password', autocomplete: 'off' })
  return html`<form class="card" method="post" action="${action}" hidden data-passkey="${JSON.stringify(passkey)}">${formStart(request)}
<input type="hidden" name="response" value=""><input type="hidden" name="answer" value="yes">
<p class="message bad" role="alert" data-failed hidden>${texts.passkeyUsed}</p>${credential?.pin === true ? pin : undefined}${goesOn(request, shown, 'passkey-session')}
<div class="actions"><button${dangerous(shown)}>${shown.kind === 'deletion' ? texts.deleteByPasskey : texts.approveByPasskey}</button></div></form>`
}

/** Never ticked for the signer (TS 119 431-1). */
function remember({ texts }: PageRequest): Html {
  return html`<label class="choice" for="remember"><input type="checkbox" id="remember" name="remember" value="yes"> ${texts.rememberClient}</label>`
}

function gone({ texts }: PageRequest): Page {
  const body = html`<p class="message bad" role="alert">${texts.askGone}</p><p><a class="button quiet" href="/portal">${texts.toAccount}</a></p>`
  return { title: texts.errorTitle, body, status: 404 }
}

function notYours(request: PageRequest): Page {
  const { texts } = request
  const body = html`<p class="message bad" role="alert">${texts.askNotYours}</p>
<form method="post" action="/portal/sign-out">${formStart(request)}<div class="actions"><button class="quiet">${texts.signOut}</button></div></form>`
  return { title: texts.errorTitle, body, status: 403 }
}
