import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startFront } from '../../src/front/main.js'
import type { FrontSettings } from '../../src/front/settings.js'
import { RECEIPT } from './fake-sam.js'
import { CONFIG, digestOf, SHA256, type TestFront, testFront } from './helpers.js'
import { gate, until } from './until.js'

let front: TestFront
before(async () => {
  front = await testFront()
  const { seed, sam } = front
  await seed.query(`insert into audit.log (id, origin, generation, instance, demo, retention_policy, created_at)
    values (1, 'test', 1, gen_random_uuid(), true, 'test', now())`)
  await seed.query('insert into audit.head (id, size) values (1, 0)')
  await seed.query('select audit.ensure_partitions(1000)')
  sam.on('announce', async ({ bootId, node, publicKey }) => {
    await seed.query(
      `insert into audit.boot (id, kind, node, public_key, announced_at) values ($1, 'front', $2, $3, now())`,
      [bootId, node, Buffer.from(publicKey, 'base64')],
    )
    return {}
  })
})
after(() => front.close())

const start = (change: Partial<FrontSettings> = {}) =>
  startFront({
    settings: {
      databaseUrl: front.database.frontUrl,
      samSockets: [front.sam.path],
      host: '127.0.0.1',
      port: 0,
      publicUrl: CONFIG.publicUrl,
      trustedProxies: [],
      basicLogin: true,
      auditPublic: false,
      demo: true,
      name: CONFIG.name,
      region: CONFIG.region,
      logLevel: 'info',
      node: 'test',
      ...change,
    },
    logger: front.logs.logger,
  })

/** What stands in the log, in its order. */
async function logged(type: string): Promise<Record<string, unknown>[]> {
  const rows = await front.seed.query(`select convert_from(leaf, 'UTF8')::json as leaf from audit.entry order by idx`)
  return rows.map(({ leaf }) => leaf as Record<string, unknown>).filter(({ ev }) => ev === type)
}

const ask = (url: string, path: string, body: unknown) =>
  fetch(new URL(path, url), {
    method: 'POST',
    headers: { authorization: `Bearer ${front.token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

test('a start to its end: reads, signs, lets what is in flight finish, and writes what was only counted', {
  timeout: 30_000,
}, async () => {
  const credentialID = await front.seed.credential(front.signer)
  const running = await start()
  await until(async () => (await fetch(new URL('/health/ready', running.url))).status === 200)
  assert.deepEqual(await (await ask(running.url, '/csc/v1/credentials/list', {})).json(), {
    credentialIDs: [credentialID],
  })

  for (let i = 0; i < 3; i++) await (await ask(running.url, '/csc/v1/credentials/info', {})).arrayBuffer()
  const hold = gate()
  front.sam.on('sign', async ({ digests }) => {
    await hold.opened
    return { operation: 'op', signatures: digests, receipt: RECEIPT }
  })
  const signing = ask(running.url, '/csc/v2/signatures/signHash', {
    SAD: 's',
    credentialID,
    hashes: [digestOf('a')],
    hashAlgorithmOID: SHA256,
    signAlgo: '1.2.840.113549.1.1.1',
  })
  await until(() => front.sam.asked('sign').length === 1)
  const closed = running.close()
  hold.open()
  const answer = await signing
  assert.deepEqual([answer.status, await answer.json()], [200, { signatures: [digestOf('a')] }])
  await closed
  await assert.rejects(fetch(running.url))
  assert.deepEqual(
    (await logged('access.refused')).map(({ f, why }) => [why, (f as { count: number }).count]),
    [
      ['parameter_invalid', 1],
      ['parameter_invalid', 2],
    ],
  )
  assert.equal((await logged('credential.listed')).length, 1)
  assert.equal((await logged('audit.stop')).length, 1)
})

test('the end of a session ends a remembered caller', { timeout: 30_000 }, async () => {
  const running = await start()
  try {
    const { token, session } = await front.seed.session(front.signer)
    const list = () =>
      fetch(new URL('/csc/v1/credentials/list', running.url), {
        method: 'POST',
        headers: { authorization: `Bearer ${token}` },
      })
    assert.equal((await list()).status, 200)
    await front.seed.query('update paraph.session set ended_at = now() where id = $1', [session])
    await front.seed.query(`select pg_notify('paraph_session', $1)`, [session])
    await until(async () => (await list()).status === 401)
  } finally {
    await running.close()
  }
})

test('it starts without database and workers, and says so', { timeout: 30_000 }, async () => {
  const running = await start({
    databaseUrl: 'postgres://paraph_front@127.0.0.1:1/none',
    samSockets: ['/nowhere/sam.sock'],
  })
  try {
    assert.equal((await fetch(new URL('/health/live', running.url))).status, 200)
    const ready = await fetch(new URL('/health/ready', running.url))
    assert.deepEqual(
      [ready.status, await ready.json()],
      [
        503,
        {
          status: 'unavailable',
          parts: { database: 'down', worker: 'down', device: 'unknown', clock: 'unknown', log: 'unknown' },
        },
      ],
    )
    for (const path of ['/csc/v1/info', '/csc/v2/credentials/list', '/csc/v1/signatures/signHash']) {
      const answer = await ask(running.url, path, {})
      assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '1'], path)
      assert.equal(((await answer.json()) as { error: string }).error, 'temporarily_unavailable')
    }
  } finally {
    await running.close()
  }
})

test('TLS by certificate and key files, from version 1.2', { timeout: 30_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'front-tls-'))
  try {
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' })
    const running = await start({ tls: { certFile: cert, keyFile: key, clientCertificates: false } })
    try {
      const statusOver = (maxVersion: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3') =>
        new Promise<number | string>((resolve) => {
          const ask = request(new URL('/health/live', running.url), {
            ca: readFileSync(cert),
            maxVersion,
            minVersion: 'TLSv1',
            agent: false,
          })
          ask.on('response', (response) => resolve(response.resume().statusCode ?? 0))
          ask.on('error', () => resolve('refused'))
          ask.end()
        })
      assert.match(running.url, /^https:/)
      assert.deepEqual(
        [await statusOver('TLSv1.1'), await statusOver('TLSv1.2'), await statusOver('TLSv1.3')],
        ['refused', 200, 200],
      )
    } finally {
      await running.close()
    }
    await assert.rejects(
      start({ tls: { certFile: join(folder, 'missing.pem'), keyFile: key, clientCertificates: false } }),
      /missing\.pem/,
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a proxy network that is none stops the start', async () => {
  await assert.rejects(start({ trustedProxies: ['10.0.0.0/33x'] }))
})
