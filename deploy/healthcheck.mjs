/** For the HEALTHCHECK of a container with a front: ends with 0 when it answers, else with 1. */
import { get as getHttp } from 'node:http'
import { get as getHttps } from 'node:https'

const { PARAPH_PORT: port = '8080', PARAPH_TLS_CERT: certificate } = process.env
const path = '/health/live'
const request = certificate
  ? // It asks itself; whose name the certificate bears matters to others.
    getHttps({ host: '127.0.0.1', port, path, timeout: 3000, rejectUnauthorized: false })
  : getHttp({ host: '127.0.0.1', port, path, timeout: 3000 })
request.on('response', ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1))
request.on('timeout', () => process.exit(1))
request.on('error', () => process.exit(1))
