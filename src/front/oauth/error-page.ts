import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors } from 'oidc-provider'
import { noteRefusal } from '../edge.js'
import { html } from '../portal/html.js'
import type { Page } from '../portal/page.js'
import { errorInWords, type PortalServices, type Rendered, renderPage, retryAfterOf } from '../portal/portal.js'
import type { Texts } from '../portal/texts.js'

/** Whether a browser asks: a client that takes JSON, or anything, is told in JSON. */
export function wantsPage(accept: string | undefined): boolean {
  return weightOf('text/html', accept) > weightOf('application/json', accept)
}

/** Of a media type that is named itself (RFC 9110 §12.4.2, §12.5.1); 0 where it is not. */
function weightOf(type: string, accept = ''): number {
  const weights = accept.split(',').map((part) => {
    const [name = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase())
    const q = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
    return name === type ? Number(q ?? 1) || 0 : 0
  })
  return Math.max(...weights)
}

/**
 * The page for an authorization request that leads nowhere: who is there may not be sent to an address that nobody has
 * registered. It says nothing that came with the request.
 */
export function renderFailure(
  portal: PortalServices,
  request: FastifyRequest,
  reply: FastifyReply,
  failure: Error,
): Promise<Rendered> {
  return renderPage(portal, request, reply, (texts) => {
    const word = failure instanceof errors.OIDCProviderError && failure.expose ? failure.error : 'server_error'
    return page(texts, inWords(failure, word, texts), word)
  })
}

/** What never came to the server, such as when it is busy. */
export async function answerFailure(
  portal: PortalServices,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const error = noteRefusal(portal.errors, thrown, request, '/oauth2/authorize')
  let status = 500
  const { headers, body } = await renderPage(portal, request, reply, (texts) => {
    const [code, words] = errorInWords(error, texts)
    status = code
    return page(texts, words, code === 503 ? 'temporarily_unavailable' : 'server_error')
  })
  if (status === 503) reply.header('retry-after', retryAfterOf(error))
  return reply.code(status).headers(headers).send(body)
}

function inWords(failure: Error, word: string, texts: Texts): string {
  if (failure instanceof errors.SessionNotFound) return texts.askGone
  return (
    {
      invalid_client: texts.strangeClient,
      unauthorized_client: texts.strangeClient,
      invalid_redirect_uri: texts.strangeAddress,
      invalid_request_uri: texts.askGone,
      slow_down: texts.errorBusy,
      temporarily_unavailable: texts.errorBusy,
      server_error: texts.errorOther,
    }[word] ?? texts.strangeRequest
  )
}

function page(texts: Texts, words: string, word: string): Page {
  const body = html`<p class="message bad" role="alert">${words}</p><p>${texts.nothingDone}</p>
<p class="faint">${texts.forWhoeverRuns} <code>${word}</code></p>`
  return { title: texts.errorTitle, body, once: true }
}
