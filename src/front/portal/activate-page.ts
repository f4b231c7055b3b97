import QRCode from 'qrcode'
import { ServiceError } from '../../errors.js'
import { BROWSER_SECONDS } from '../../identity/known-browser.js'
import type { FrontServices } from '../services.js'
import { Html, html } from './html.js'
import { field, formStart, message, type Page, type PageAnswer, type PageHandler, type PageRequest } from './page.js'
import { instant } from './texts.js'

/** The page behind a one-use link: password where the link sets one, authenticator by QR code. Looking uses nothing up. */
const show: PageHandler = (services, request) => orWhyNot(request, () => activation(services, request, undefined))

const use: PageHandler = (services, request) =>
  orWhyNot(request, async () => {
    const { form, origin, params, texts } = request
    const { password, again, code = '' } = form
    if (password !== again) return { ...(await activation(services, request, texts.passwordsDiffer)), status: 400 }
    try {
      const { recoveryCodes, browser } = await services.sam.call('activate', {
        origin,
        link: params.link ?? '',
        code: code.replaceAll(' ', ''),
        ...(password === undefined ? {} : { password }),
      })
      return {
        ...recoveryCodesPage(request, recoveryCodes.length > 0 ? texts.activated : texts.done, recoveryCodes),
        cookies: [{ name: 'browser', value: browser, seconds: BROWSER_SECONDS }],
      }
    } catch (error) {
      const problem = error instanceof ServiceError ? problemOf(request, error) : undefined
      if (problem === undefined) throw error
      return { ...(await activation(services, request, problem)), status: 400 }
    }
  })

function problemOf({ texts }: PageRequest, { code }: ServiceError): string | undefined {
  if (code === 'code_rejected') return texts.codeWrong
  if (code === 'code_locked') return texts.codeLocked
  return code === 'password_weak' ? texts.passwordWeak : undefined
}

/**
 * A link that does not work gets a page of its own; it says no more than that. A worker writes no entry for it, so that it
 * is the front's to count.
 */
async function orWhyNot(request: PageRequest, work: () => Promise<PageAnswer>): Promise<PageAnswer> {
  const { texts, lang } = request
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    if (error.code === 'link_unknown')
      return { title: texts.linkUnknown, body: html`<p>${texts.linkUnknownText}</p>`, status: 404, refusal: error }
    if (error.code !== 'link_early') throw error
    const text = texts.linkEarlyText(instant(lang, error.detail ?? ''))
    const signIn = html`<p><a class="button" href="/portal/sign-in">${texts.signIn}</a></p>`
    return { title: texts.linkEarly, body: html`<p>${text}</p>${signIn}`, status: 403, refusal: error }
  }
}

async function activation({ sam }: FrontServices, request: PageRequest, problem: string | undefined): Promise<Page> {
  const { texts, origin, params } = request
  const link = params.link ?? ''
  const { name, login, setsPassword, replaces, uri, secret } = await sam.call('openLink', { origin, link })
  const lead =
    uri === undefined
      ? texts.resetLead
      : setsPassword
        ? texts.activateLead
        : replaces
          ? texts.replaceLead
          : texts.addLead
  const password = html`<section><h2>${texts.choosePassword}</h2>
<input type="hidden" name="login" value="${login}" autocomplete="username">
${field({ name: 'password', label: texts.newPassword, type: 'password', hint: texts.passwordHint, autocomplete: 'new-password' })}
${field({ name: 'again', label: texts.repeatPassword, type: 'password', autocomplete: 'new-password' })}</section>`
  const code = field({
    name: 'code',
    label: texts.code,
    type: 'code',
    hint: texts.codeHint,
    autocomplete: 'one-time-code',
  })
  return {
    title: texts.activateTitle(name),
    body: html`<p class="lead">${lead}</p>${message('bad', problem)}
<form method="post" action="/portal/activate/${link}">${formStart(request)}
${setsPassword ? password : undefined}
<section>${uri === undefined ? undefined : await enrolment(request, uri, secret ?? '')}${code}</section>
<div class="actions"><button>${uri === undefined ? texts.confirm : texts.activate}</button></div></form>`,
  }
}

/** The authenticator as a picture to scan, and to type by hand. */
async function enrolment({ texts }: PageRequest, uri: string, secret: string): Promise<Html> {
  const picture = new Html(await QRCode.toString(uri, { type: 'svg', margin: 3, errorCorrectionLevel: 'M' }))
  return html`<h2>${texts.enrol}</h2><p>${texts.enrolText}</p>
<div class="qr" role="img" aria-label="${texts.qrAlt}">${picture}</div>
<details><summary>${texts.enrolByHand}</summary><p>${texts.enrolByHandText}</p><p class="mono">${secret.match(/.{1,4}/g)?.join(' ') ?? ''}</p>
<p><a href="${uri}">${texts.openApp}</a></p></details>`
}

/** Recovery codes, told this once; without any, just that it is done. */
export function recoveryCodesPage({ texts }: PageRequest, title: string, codes: readonly string[]): Page {
  const list = html`<section><h2>${texts.recoveryTitle}</h2><p>${texts.recoveryText}</p>
<ul class="codes">${codes.map((code) => html`<li>${code}</li>`)}</ul></section>`
  return {
    title,
    body: html`${codes.length === 0 ? undefined : list}<div class="actions"><a class="button" href="/portal">${texts.toAccount}</a></div>`,
  }
}

export const activatePages = {
  'GET /portal/activate/:link': show,
  'POST /portal/activate/:link': use,
} as const
