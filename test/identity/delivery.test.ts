/** How codes reach a phone or a mailbox: what is sent, to whom, and that nothing hangs or says too much. */
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { ServiceError } from '../../src/errors.js'
import { Delivery } from '../../src/identity/delivery/delivery.js'
import type { Message } from '../../src/identity/delivery/message.js'
import { keepSecret } from '../helpers/test-service.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-delivery-'))
after(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, `${text}\n`, { mode: 0o600 })
  keepSecret(text)
  return path
}

const TEXT = '31415926 is your one-time code'
keepSecret('31415926')
const mail: Message = { channel: 'email', to: 'anna@example.test', subject: 'Your one-time code', text: TEXT }
const message: Message = { channel: 'sms', to: '+48123456789', subject: 'not sent', text: TEXT }

async function listening(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

/** Not delivered, and the cause says why without a word of the message. */
async function notDelivered(sent: Promise<void>, why: RegExp): Promise<void> {
  await assert.rejects(sent, (error: unknown) => {
    assert.ok(error instanceof ServiceError)
    assert.equal(error.code, 'unavailable')
    const cause = error.cause as Error
    assert.match(cause.message, why)
    assert.equal(cause.cause, undefined)
    assert.doesNotMatch(`${cause.stack}`, /31415926|anna|48123456789/)
    return true
  })
}

interface Received {
  readonly from: string
  readonly to: string[]
  readonly user: string | undefined
  readonly text: string
}

async function mailServer(t: TestContext, options: SMTPServerOptions = {}) {
  const received: Received[] = []
  const server = new SMTPServer({
    logger: false,
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onAuth: ({ username, password }, _session, done) =>
      password === 'mail-6dz0qk2v' ? done(null, { user: username }) : done(new Error('wrong')),
    onData(stream, session, done) {
      let text = ''
      stream.on('data', (chunk: Buffer) => {
        text += chunk
      })
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        received.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          user: session.user,
          text,
        })
        done()
      })
    },
    ...options,
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => new Promise<void>((resolve) => server.close(() => resolve())))
  return { received, port: (server.server.address() as AddressInfo).port }
}

test('a mail goes to one address, as plain text, with the password from its file', async (t) => {
  const { received, port } = await mailServer(t, { allowInsecureAuth: true })
  const passwordFile = file('mail', 'mail-6dz0qk2v')
  const delivery = Delivery.open({
    mail: { url: `smtp://me%40example.test@127.0.0.1:${port}`, from: 'sign@example.test', passwordFile },
  })
  assert.deepEqual([delivery.has('email'), delivery.has('sms')], [true, false])
  await delivery.send(mail)
  assert.equal(received.length, 1)
  const [{ from, to, user, text }] = received as [Received]
  assert.deepEqual([from, to, user], ['sign@example.test', ['anna@example.test'], 'me@example.test'])
  assert.match(text, /^Subject: Your one-time code\r$/m)
  assert.match(text, /^Content-Type: text\/plain/m)
  assert.ok(text.includes(TEXT))
  await notDelivered(delivery.send(message), /^nothing delivers by sms$/)
})

test('a mail server that refuses, or breaks off, has delivered nothing', async (t) => {
  const refusing = await mailServer(t, {
    onRcptTo: (_address, _session, done) => done(new Error('no such mailbox: anna@example.test')),
  })
  const open = (port: number) => Delivery.open({ mail: { url: `smtp://127.0.0.1:${port}`, from: 'sign@example.test' } })
  await notDelivered(open(refusing.port).send(mail), /^mail was not taken over \(EENVELOPE 550\)$/)
  const port = await listening(
    t,
    createTcpServer((socket) => socket.destroy()),
  )
  await notDelivered(open(port).send(mail), /^mail was not taken over/)
})

test('a code crosses no network in clear: without TLS a mail server elsewhere gets nothing', async (t) => {
  const { received, port } = await mailServer(t)
  // A name that is not this computer's own to us, though it leads here.
  const delivery = Delivery.open({ mail: { url: `smtp://127.0.0.2:${port}`, from: 'sign@example.test' } })
  await notDelivered(delivery.send(mail), /^mail was not taken over/)
  assert.deepEqual(received, [])
})

type Reply = (request: IncomingMessage, response: ServerResponse) => void

async function gateway(t: TestContext, reply: Reply) {
  const requests: {
    method: string | undefined
    url: string | undefined
    headers: IncomingMessage['headers']
    body: string
  }[] = []
  const port = await listening(
    t,
    createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      requests.push({ method: request.method, url: request.url, headers: request.headers, body })
      reply(request, response)
    }),
  )
  return { requests, url: `http://127.0.0.1:${port}/send?from=paraph` }
}

test('a text message is posted as JSON, with the token from its file', async (t) => {
  const { requests, url } = await gateway(t, (_request, response) => response.writeHead(202).end('accepted'))
  await Delivery.open({ sms: { url, tokenFile: file('sms', 'gateway-93hx1u7c') } }).send(message)
  await Delivery.open({ sms: { url } }).send(message)
  assert.deepEqual(
    requests.map(({ method, url: path, headers, body }) => [method, path, headers.authorization, JSON.parse(body)]),
    ['Bearer gateway-93hx1u7c', undefined].map((authorization) => [
      'POST',
      '/send?from=paraph',
      authorization,
      { to: '+48123456789', text: TEXT },
    ]),
  )
  assert.equal(requests[0]?.headers['content-type'], 'application/json')
})

test('a gateway that refuses, or sends elsewhere, has delivered nothing', async (t) => {
  let elsewhere = 0
  const other = await gateway(t, (_request, response) => {
    elsewhere++
    response.end()
  })
  const answers: [Reply, RegExp][] = [
    [(_request, response) => response.writeHead(500).end(TEXT), /^the message was not taken over \(status 500\)$/],
    [(_request, response) => response.writeHead(307, { location: other.url }).end(), /\(status 307\)$/],
    [(request) => request.socket.destroy(), /\(no connection\)$/],
  ]
  for (const [reply, why] of answers) {
    const { url } = await gateway(t, reply)
    await notDelivered(Delivery.open({ sms: { url } }).send(message), why)
  }
  assert.equal(elsewhere, 0)
})

test('what takes too long is given up', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const delivery = new Delivery({ sms: () => new Promise(() => {}) })
  const sent = notDelivered(delivery.send(message), /^sms took too long$/)
  t.mock.timers.tick(7001)
  await sent
})

test('a demo leaves messages in a folder that only its owner reads', async () => {
  const outbox = join(folder, 'outbox')
  const delivery = Delivery.open({ outbox })
  await delivery.send(message)
  await delivery.send(mail)
  assert.equal(statSync(outbox).mode & 0o777, 0o700)
  const names = readdirSync(outbox).sort()
  assert.deepEqual(
    names.map((name) => JSON.parse(readFileSync(join(outbox, name), 'utf8'))),
    [message, mail],
  )
  for (const name of names) assert.equal(statSync(join(outbox, name)).mode & 0o777, 0o600)
})

test('a secret that others may read stops the start', () => {
  const open = file('open', 'open-4bq8w0ze')
  chmodSync(open, 0o644)
  assert.throws(() => Delivery.open({ sms: { url: 'http://127.0.0.1:9', tokenFile: open } }), /chmod 600/)
})
