import { ServiceError } from '../../errors.js'
import { askWorker } from '../worker.js'
import { type Html, html } from './html.js'
import { field, formStart, message, type Page, type PageHandler, type PageRequest } from './page.js'

/** Only a path on this very site, and nothing that a browser could take for another one. */
const OWN_PATH = /^\/(portal|oauth2|csc\/v[12]\/oauth2)(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*(\?[A-Za-z0-9._~=&%+-]*)?$/

function ownPath(path: string | undefined): string {
  return path !== undefined && OWN_PATH.test(path) ? path : '/portal'
}

const show: PageHandler = async (_services, request) => {
  const { query, texts } = request
  const news =
    query.stopped !== undefined
      ? message('good', texts.stoppedAll)
      : message('bad', query.over === undefined ? undefined : texts.sessionOver)
  return page(request, ownPath(query.next), news)
}

const signIn: PageHandler = async ({ sam }, request) => {
  const { form, origin, browser, texts } = request
  const next = ownPath(form.next)
  try {
    const { token, expiresIn } = await askWorker(sam, 'signIn', {
      origin,
      login: form.login ?? '',
      password: form.password ?? '',
      ...(browser === undefined ? {} : { browser }),
    })
    return { to: next, cookies: [{ name: 'session', value: token, seconds: expiresIn }] }
  } catch (error) {
    if (!(error instanceof ServiceError && error.code === 'login_failed')) throw error
    return { ...page(request, next, message('bad', texts.signInFailed)), status: 400 }
  }
}

/** The browser forgets the session, and the service ends it. */
const signOut: PageHandler = async ({ sam }, { hasSession, signedIn, origin }) => {
  const signedOut = { to: '/portal/sign-in', cookies: [{ name: 'session', value: undefined }] } as const
  if (!hasSession) return signedOut
  try {
    const bearer = await signedIn()
    await askWorker(sam, 'revoke', { origin, bearer, token: bearer })
    return signedOut
  } catch (error) {
    // One that is over already is what was wanted; one that could not be ended is not.
    if (!(error instanceof ServiceError) || error.code === 'unavailable' || error.code === 'overloaded') throw error
    return { ...signedOut, refusal: error }
  }
}

function page(request: PageRequest, next: string, news: Html | undefined): Page {
  const { texts, form } = request
  // Whom the client that sent the signer here means; he may be somebody else.
  const login = form.login ?? new URLSearchParams(next.split('?')[1]).get('login') ?? undefined
  return {
    title: texts.signIn,
    body: html`<p class="lead">${texts.signInLead}</p>${news}
<form class="card" method="post" action="/portal/sign-in">${formStart(request)}<input type="hidden" name="next" value="${next}">
${field({ name: 'login', label: texts.login, autocomplete: 'username', ...(login === undefined ? {} : { value: login }) })}
${field({ name: 'password', label: texts.password, type: 'password', autocomplete: 'current-password' })}
<div class="actions"><button>${texts.signIn}</button></div></form>
<p><a href="/portal/recover">${texts.lostPhone}</a></p>`,
  }
}

export const signInPages = {
  'GET /portal/sign-in': show,
  'POST /portal/sign-in': signIn,
  'POST /portal/sign-out': signOut,
} as const
