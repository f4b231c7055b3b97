import { hash } from 'node:crypto'
import { STYLE } from './docs-style.js'
import { type Document, type OperationObject, resolve, type Schema } from './openapi.js'

/** Nothing but this page's own style and the logo. */
export const DOCS_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${hash('sha256', STYLE, 'base64')}'`,
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

interface Entry {
  readonly method: string
  readonly path: string
  readonly operation: OperationObject
}

/** The contract as a page: no scripts, nothing from elsewhere. */
export function docsPage(document: Document): string {
  const entries = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): Entry => ({ method, path, operation })),
  )
  const groups = document.tags.map((tag) => ({
    tag,
    entries: entries.filter(({ operation }) => operation.tags.includes(tag.name)),
  }))
  const { title, version, summary, description } = document.info
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}: ${escapeHtml(summary)}</title><link rel="icon" href="/logo.png"><style>${STYLE}</style></head>
<body>
<nav aria-label="Contents"><img src="/logo.png" alt=""><strong>${escapeHtml(title)}</strong> <small>${escapeHtml(version)}</small>
${groups.map(({ tag, entries }) => `<h2>${escapeHtml(tag.name)}</h2>\n${entries.map(link).join('\n')}`).join('\n')}
</nav>
<main><h1>${escapeHtml(title)}</h1><p>${escapeHtml(summary)} · <a href="/openapi.yaml">openapi.yaml</a></p>
${prose(description)}
${groups.map((group) => section(document, group)).join('\n')}
</main></body></html>
`
}

function link({ path, operation, method }: Entry): string {
  return `<a href="#${operation.operationId}">${escapeHtml(path)}${method === 'get' && path.startsWith('/csc') ? ' <small>GET</small>' : ''}</a>`
}

function section(document: Document, group: { tag: Document['tags'][number]; entries: readonly Entry[] }): string {
  const { tag, entries } = group
  return `<section><h2>${escapeHtml(tag.name)}</h2>${prose(tag.description)}
${entries.map((entry) => article(document, entry)).join('\n')}</section>`
}

function article(document: Document, { method, path, operation }: Entry): string {
  const request = Object.values(operation.requestBody?.content ?? {})[0]?.schema
  return `<article id="${operation.operationId}"><h3><span class="method ${method}">${method.toUpperCase()}</span><code>${escapeHtml(path)}</code>
<span class="access">${access(document, operation)}</span></h3>
<p><strong>${escapeHtml(operation.summary)}</strong></p>${prose(operation.description ?? '')}
${parameters(document, operation)}
${request === undefined ? '' : `<h4>Request</h4>${members(document, request, 'required')}`}
<h4>Answers</h4>${answers(document, operation)}</article>`
}

function parameters(document: Document, { parameters: all = [] }: OperationObject): string {
  const rows = all.map((reference) => {
    const { name, description = '', schema } = resolve(document, reference)
    return `<tr><td><code>${escapeHtml(name)}</code></td><td class="type">${typeOf(document, schema)}</td><td>${inline(description)}</td></tr>`
  })
  return rows.length === 0
    ? ''
    : `<h4>${all.every((one) => resolve(document, one).in === 'header') ? 'Headers' : 'Parameters'}</h4>${table(rows)}`
}

function access(document: Document, operation: OperationObject): string {
  const ways = (operation.security ?? document.security).map((one) => Object.entries(one)[0])
  const words = ways.map((way) => (way === undefined ? 'none' : [way[0], ...way[1]].map(escapeHtml).join(' · ')))
  return words.join(' or ') || 'open'
}

function answers(document: Document, operation: OperationObject): string {
  const rows = Object.entries(operation.responses).map(([status, reference]) => {
    const response = resolve(document, reference)
    const content = Object.entries(response.content ?? {})[0]
    const body =
      content === undefined
        ? 'no body'
        : content[0] === 'application/json'
          ? ''
          : `<code>${escapeHtml(content[0])}</code>`
    return `<tr><td><code>${status}</code></td><td>${inline(response.description)} ${body}${status === '200' ? json(document, content) : ''}</td></tr>`
  })
  return table(rows)
}

function json(document: Document, content: [string, { schema: Schema }] | undefined): string {
  return content?.[0] === 'application/json' ? members(document, content[1].schema, 'always') : ''
}

/** `must` is the word for a member that may not be missing. */
function members(document: Document, schema: Schema, must: 'always' | 'required'): string {
  return table(memberRows(document, schema, must, 0))
}

function memberRows(document: Document, reference: Schema, must: string, depth: number): string[] {
  const schema = resolve(document, reference)
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const member = resolve(document, property)
    const mark = schema.required?.includes(name) ? ` <span class="must">${must}</span>` : ''
    const row = `<tr><td><span class="in${depth}"><code>${escapeHtml(name)}</code></span>${mark}</td><td class="type">${typeOf(document, member)}</td><td>${meaning(member)}</td></tr>`
    const inner = member.items ?? member
    return [row, ...(depth < 2 ? memberRows(document, inner, must, depth + 1) : [])]
  })
}

function typeOf(document: Document, schema: Schema): string {
  if (schema.const !== undefined) return escapeHtml(typeof schema.const)
  const types = [schema.type ?? (schema.enum === undefined ? 'anything' : 'string')]
    .flat()
    .filter((type) => type !== 'null')
  return types
    .map((type) =>
      type === 'array' ? `array of ${typeOf(document, resolve(document, schema.items ?? {}))}` : escapeHtml(type),
    )
    .join(' or ')
}

function meaning(schema: Schema): string {
  const values = schema.const === undefined ? (schema.enum ?? []).filter((value) => value !== null) : [schema.const]
  const listed = values.map((value) => `<code>${escapeHtml(String(value))}</code>`).join(', ')
  return [listed, inline(schema.description ?? '')].filter((part) => part !== '').join(' · ')
}

function table(rows: readonly string[]): string {
  return rows.length === 0 ? '' : `<div class="table"><table>${rows.join('\n')}</table></div>`
}

/** Paragraphs with \`code\` and **bold**: as much of CommonMark as the contract uses. */
function prose(text: string): string {
  return text
    .split(/\n\s*\n/)
    .filter((paragraph) => paragraph.trim() !== '')
    .map((paragraph) => `<p>${inline(paragraph.trim())}</p>`)
    .join('\n')
}

function inline(text: string): string {
  return escapeHtml(text)
    .replaceAll(/`([^`]+)`/g, '<code>$1</code>')
    .replaceAll(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
