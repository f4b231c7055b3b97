import { ServiceError } from '../../errors.js'
import { askWorker } from '../worker.js'
import { html } from './html.js'
import { field, formStart, message, type Page, type PageHandler, type PageRequest } from './page.js'

const show: PageHandler = async (_services, request) => page(request, undefined)

/** For whoever has lost every authenticator: password and recovery code lead to a link that enrols a new one. */
const recover: PageHandler = async ({ sam }, request) => {
  const { form, origin, browser, texts } = request
  try {
    const { link } = await askWorker(sam, 'recover', {
      origin,
      login: form.login ?? '',
      password: form.password ?? '',
      recoveryCode: form.recovery ?? '',
      ...(browser === undefined ? {} : { browser }),
    })
    return { to: `/portal/activate/${link}` }
  } catch (error) {
    const problem =
      error instanceof ServiceError
        ? { login_failed: texts.signInFailed, code_rejected: texts.recoveryWrong, code_locked: texts.codeLocked }[
            error.code as string
          ]
        : undefined
    if (problem === undefined) throw error
    return { ...page(request, problem), status: 400 }
  }
}

function page(request: PageRequest, problem: string | undefined): Page {
  const { texts, form } = request
  return {
    title: texts.recoverTitle,
    body: html`<p class="lead">${texts.recoverLead}</p>${message('bad', problem)}
<form class="card" method="post" action="/portal/recover">${formStart(request)}
${field({ name: 'login', label: texts.login, autocomplete: 'username', ...(form.login === undefined ? {} : { value: form.login }) })}
${field({ name: 'password', label: texts.password, type: 'password', autocomplete: 'current-password' })}
${field({ name: 'recovery', label: texts.recoveryCode, hint: texts.recoveryCodeHint, autocomplete: 'off' })}
<div class="actions"><button>${texts.goOn}</button></div></form>`,
  }
}

/** What a notice leads to. Looking stops nothing, since mail scanners look, too. */
const askToStop: PageHandler = async (_services, request) => {
  const { texts, params } = request
  return {
    title: texts.stopTitle,
    body: html`<p>${texts.stopText}</p><form method="post" action="/portal/stop/${params.token}">${formStart(request)}
<div class="actions"><button class="danger">${texts.stopReplacement}</button></div></form>`,
  }
}

const stop: PageHandler = async ({ sam }, { origin, params, texts }) => {
  await askWorker(sam, 'stopReplacement', { origin, token: params.token ?? '' })
  return { title: texts.stopTitle, body: html`<p class="message good" role="status">${texts.replacementStopped}</p>` }
}

export const recoverPages = {
  'GET /portal/recover': show,
  'POST /portal/recover': recover,
  'GET /portal/stop/:token': askToStop,
  'POST /portal/stop/:token': stop,
} as const
