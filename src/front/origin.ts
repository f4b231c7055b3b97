import type { FastifyRequest } from 'fastify'
import type { Origin } from '../activation.js'

/** Where a request came from. What is neither under `/csc/v1` nor for auditors is answered in the words of version 2. */
export function originOf(request: Pick<FastifyRequest, 'id' | 'ip' | 'url'>): Origin & { api: 'v1' | 'v2' | 'audit' } {
  const path = pathOf(request.url)
  return {
    requestId: request.id,
    // An IPv4 client on a socket for both families is still that IPv4 client.
    address: request.ip?.replace(/^::ffff:(?=\d+\.)/, '') ?? 'unknown',
    api: path.startsWith('/csc/v1/') ? 'v1' : /^\/audit(\/|or(\/|$))/.test(path) ? 'audit' : 'v2',
  }
}

/** The path as the router sees it: without the query, slashes collapsed, percent-decoded where that is possible. */
export function pathOf(url: string): string {
  const path = url.replace(/[?#;].*$/s, '').replaceAll(/\/{2,}/g, '/')
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
