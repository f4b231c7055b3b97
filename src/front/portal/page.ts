import type { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Origin } from '../../activation.js'
import type { ServiceError } from '../../errors.js'
import type { FrontServices } from '../services.js'
import { type Html, html } from './html.js'
import { STYLE_PATH } from './style.js'
import { LANGS, type Lang, TEXTS, type Texts } from './texts.js'

/** What a page works with. */
export interface PageRequest {
  readonly lang: Lang
  readonly texts: Texts
  readonly origin: Origin
  /** Fields of the form; empty for GET. Each at most once. */
  readonly form: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
  readonly params: Readonly<Record<string, string>>
  /** Path and query, as they were asked for. */
  readonly url: string
  /** Whether the browser brings the token of a page session, good or not. */
  readonly hasSession: boolean
  /**
   * Token of the page session, once the database knew it: what nobody gave out goes no further, and is counted.
   * @throws ServiceError `token_malformed` for whoever is not signed in; `token_unknown`, `token_expired`, `unavailable`, `overloaded`
   */
  signedIn(): Promise<string>
  /** Token of an operator that the browser brings, good or not. */
  readonly operator: string | undefined
  /** Cookie of a browser that may be known to be its signer's. */
  readonly browser: string | undefined
  /** Goes into every form, and comes back with it. */
  readonly formToken: string
  readonly demo: boolean
  readonly raw: FastifyRequest
  readonly reply: FastifyReply
}

/** A page, the way to another, or a file to be kept. */
export type PageAnswer = (Page | Redirect | Download) & {
  /** What it was that could not be had, and no worker has written down. */
  readonly refusal?: ServiceError
}

export interface Page {
  readonly title: string
  readonly body: Html
  readonly status?: number
  readonly cookies?: readonly Cookie[]
  /** Origins beside our own to which a form of this page may lead in the end. */
  readonly formTargets?: readonly string[]
  /** Scripts of our own, by path. */
  readonly scripts?: readonly string[]
  /** Its address asked for again would not be this page, so that it offers no other language. */
  readonly once?: boolean
  /** What it belongs to, where that is not the account of a signer. */
  readonly section?: Section
  /** The browser asks for it again after so many seconds. */
  readonly refresh?: number
}

/** Pages with links and a style of their own. */
export interface Section {
  readonly links: Html | undefined
  /** Path of the style, which comes after that of all pages. */
  readonly style: string
}

export interface Redirect {
  readonly to: string
  readonly cookies?: readonly Cookie[]
}

export interface Download {
  /** Sent as it comes. */
  readonly file: Readable
  readonly type: string
  readonly fileName: string
  readonly cookies?: readonly Cookie[]
}

/** A cookie by the name it has among ours; without a value it is taken away. */
export interface Cookie {
  readonly name: 'session' | 'browser' | 'lang' | 'operator'
  readonly value: string | undefined
  readonly seconds?: number
}

export type PageHandler = (services: FrontServices, request: PageRequest) => Promise<PageAnswer>

/** The hidden field that every form of ours begins with. */
export function formStart({ formToken }: PageRequest): Html {
  return html`<input type="hidden" name="form" value="${formToken}">`
}

/** What went wrong or right with the form before, read out to those who do not see it. */
export function message(kind: 'bad' | 'good', text: string | undefined): Html | undefined {
  return text === undefined
    ? undefined
    : html`<p class="message ${kind}" role="${kind === 'bad' ? 'alert' : 'status'}">${text}</p>`
}

export interface Field {
  readonly name: string
  /** Where the name is not unique on its page. */
  readonly id?: string
  readonly label: string
  readonly hint?: string
  readonly type?: 'text' | 'password' | 'code'
  readonly autocomplete: string
  readonly value?: string
}

/** A labelled field that must be filled in. */
export function field({ name, id = name, label, hint, type = 'text', autocomplete, value }: Field): Html {
  const described = hint === undefined ? undefined : html` aria-describedby="${id}-hint"`
  const input =
    type === 'code'
      ? html`<input class="code" id="${id}" name="${name}" inputmode="numeric" pattern="[0-9 ]*" maxlength="12" required autocomplete="${autocomplete}"${described}>`
      : html`<input id="${id}" name="${name}" type="${type}" maxlength="1024" required autocomplete="${autocomplete}" autocapitalize="none" spellcheck="false" value="${value}"${described}>`
  return html`<label for="${id}">${label}</label>${input}${hint === undefined ? undefined : html`<p class="hint" id="${id}-hint">${hint}</p>`}`
}

/** The whole document. */
export function document(request: PageRequest, page: Page, name: string): string {
  const { lang, texts, demo, hasSession, query } = request
  const { section, refresh } = page
  const path = request.url.split('?')[0] as string
  const others = page.once === true ? [] : LANGS.filter((other) => other !== lang)
  const links = [
    ...others.map(
      (other) =>
        html`<a href="${path}?${new URLSearchParams({ ...query, lang: other }).toString()}" lang="${other}" hreflang="${other}">${TEXTS[other].language}</a>`,
    ),
    ...(hasSession && section === undefined ? [html`<a href="/portal">${texts.account}</a>`] : []),
  ]
  // The way back after a form was sent is the page itself, so that a change of language asks for it with GET.
  return html`<!doctype html>
<html lang="${lang}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">${refresh === undefined ? undefined : html`<meta http-equiv="refresh" content="${refresh}">`}
<title>${page.title} · ${name}</title><link rel="icon" href="/logo.png">${[STYLE_PATH, ...(section === undefined ? [] : [section.style])].map((style) => html`<link rel="stylesheet" href="${style}">`)}${(page.scripts ?? []).map((script) => html`<script type="module" src="${script}"></script>`)}</head>
<body><a class="skip" href="#content">${texts.skip}</a>
<header><img src="/logo.png" alt=""><strong>${name}</strong>${links.length === 0 ? undefined : html`<nav aria-label="${name}">${links}</nav>`}</header>
${section?.links}
<main id="content"><h1>${page.title}</h1>${page.body}</main>
<footer>${demo ? html`<p>${texts.demo}</p>` : undefined}</footer>
</body></html>
`.toString()
}
