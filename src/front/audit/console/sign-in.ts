import { ServiceError } from '../../../errors.js'
import { type Html, html } from '../../portal/html.js'
import { field, formStart, message, type Page, type PageHandler, type PageRequest } from '../../portal/page.js'
import { lookForPage } from './looking.js'
import { consoleSection } from './section.js'
import { consoleTexts } from './texts.js'

/** Only a page of the console. */
const OWN_PATH = /^\/auditor(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*(\?[A-Za-z0-9._~=&%+:-]*)?$/

function ownPath(path: string | undefined): string {
  return path !== undefined && OWN_PATH.test(path) ? path : '/auditor'
}

const show: PageHandler = async (_services, request) => {
  const { query, lang } = request
  const news = message('bad', query.over === undefined ? undefined : consoleTexts(lang).over)
  return page(request, ownPath(query.next), news)
}

/** As they are given out; what looks otherwise nobody has. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/

const signIn: PageHandler = async (services, request) => {
  const { form, lang } = request
  const next = ownPath(form.next)
  const token = (form.token ?? '').trim()
  try {
    if (!TOKEN.test(token)) throw new ServiceError('operator_unknown')
    await lookForPage(services, { ...request, operator: token }, 'sign_in')
    return { to: next, cookies: [{ name: 'operator', value: token }] }
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    const texts = consoleTexts(lang)
    const problem =
      error.code === 'operator_unknown'
        ? texts.tokenUnknown
        : error.code === 'role_missing'
          ? texts.roleMissing
          : undefined
    if (problem === undefined) throw error
    return { ...page(request, next, message('bad', problem)), status: 400, refusal: error }
  }
}

const signOut: PageHandler = async () => ({
  to: '/auditor/sign-in',
  cookies: [{ name: 'operator', value: undefined }],
})

function page(request: PageRequest, next: string, news: Html | undefined): Page {
  const texts = consoleTexts(request.lang)
  const token = field({
    name: 'token',
    label: texts.token,
    type: 'password',
    hint: texts.tokenHint,
    autocomplete: 'current-password',
  })
  return {
    title: texts.signInTitle,
    section: { ...consoleSection(request), links: undefined },
    body: html`<div class="narrow"><p class="lead">${texts.signInLead}</p>${news}
<form class="card" method="post" action="/auditor/sign-in">${formStart(request)}<input type="hidden" name="next" value="${next}">
${token}<div class="actions"><button>${texts.signIn}</button></div></form></div>`,
  }
}

export const signInPages = {
  'GET /auditor/sign-in': show,
  'POST /auditor/sign-in': signIn,
  'POST /auditor/sign-out': signOut,
} as const
