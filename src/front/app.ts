import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { ServiceError } from '../errors.js'
import { newId } from '../ids.js'
import { consolePages } from './audit/console/pages.js'
import { CONSOLE_STYLE, CONSOLE_STYLE_PATH } from './audit/console/style.js'
import { lookAtLog } from './audit/look.js'
import { bearerCheck } from './bearer.js'
import { BODY_LIMIT, takeJson } from './body.js'
import { bindDoors, operationsOf } from './contract.js'
import { toCscError } from './csc/errors.js'
import { allDoors } from './doors.js'
import { addressesOf, answerError, dress, type ErrorServices, guardEdge } from './edge.js'
import { watchHealth } from './health.js'
import { approvePages } from './oauth/approve-page.js'
import { mountOAuth, oauthServer } from './oauth/mount.js'
import { readOpenApi } from './openapi.js'
import { mountPortal } from './portal/portal.js'
import { collectRefusals } from './refusals.js'
import type { FrontServices } from './services.js'
import { mountTimeStamps } from './time-stamps.js'

export type { FrontConfig, FrontServices } from './services.js'

/** How long a request may take to arrive, in milliseconds. */
const REQUEST_TIMEOUT = 30_000

/**
 * The whole front as one Fastify instance that listens nowhere yet. Closing it lets what is in flight finish and then
 * writes the refusals that were only counted.
 * @throws Error when contract and doors do not fit, or a TLS file or proxy network cannot be used
 */
export function buildApp(services: FrontServices): FastifyInstance {
  const { config, log, logger } = services
  const contract = readOpenApi()
  const operations = operationsOf(contract.document)
  const addresses = addressesOf(operations)
  const refusals = collectRefusals({ log, logger })
  const errors: ErrorServices = { logger, refusals, addresses }

  const app = Fastify({
    ...tlsOf(config),
    logger: false,
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT,
    return503OnClosing: false,
    trustProxy: config.trustedProxies.length === 0 ? false : [...config.trustedProxies],
    routerOptions: { ignoreDuplicateSlashes: true },
    genReqId: () => newId(),
    frameworkErrors: (error, request, reply) => {
      answerError(errors, error, request, dress(request, reply))
    },
    clientErrorHandler: (error: NodeJS.ErrnoException, socket) => refuseBytes(error, socket),
  })

  app.decorateRequest('caller', undefined)
  guardEdge(app, addresses)
  takeJson(app)
  app.setErrorHandler((error, request, reply) => answerError(errors, error, request, reply))
  app.setNotFoundHandler(() => {
    throw new ServiceError('not_found')
  })
  const bearer = bearerCheck(services)
  const health = watchHealth(services)
  const oauth = oauthServer(services, errors, bearer, health)
  bindDoors(app, operations, allDoors(services, contract, operations, bearer, health, oauth), bearer, (request) =>
    lookAtLog(services.sam, request),
  )
  const portal = { services, errors, bearer, demo: health.demo }
  mountOAuth(app, portal, oauth)
  const pages = { ...approvePages(oauth), ...consolePages(services, operations) }
  mountPortal(app, portal, pages, { [CONSOLE_STYLE_PATH]: CONSOLE_STYLE })
  mountTimeStamps(app, services, health)
  endKeptConnections(app)
  app.addHook('onClose', () => refusals.close())
  return app
}

/** A connection that was kept for a next request would hold up the end for as long as its client likes. */
function endKeptConnections(app: FastifyInstance): void {
  let ending = false
  app.addHook('preClose', (done) => {
    ending = true
    done()
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (ending) reply.header('connection', 'close')
    done(null, payload)
  })
}

function tlsOf({ tls }: FrontServices['config']): FastifyServerOptions {
  if (tls === undefined) return {}
  // No authority has to vouch: a certificate counts when a client is registered with it.
  const asked = tls.clientCertificates ? { requestCert: true, rejectUnauthorized: false } : {}
  const https = { cert: readFileSync(tls.cert), key: readFileSync(tls.key), minVersion: 'TLSv1.2', ...asked }
  return { https } as FastifyServerOptions
}

/** Bytes that are no HTTP request, or one that never ends. */
function refuseBytes(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request'
  const body = JSON.stringify(toCscError('v2', new ServiceError('request_malformed')).body)
  const headers = [
    `HTTP/1.1 ${status}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${newId()}`,
    'Connection: close',
  ]
  socket.end(`${headers.join('\r\n')}\r\n\r\n${body}`)
}
