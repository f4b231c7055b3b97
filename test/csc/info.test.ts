import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type TestFront, testFront } from '../front/helpers.js'

let front: TestFront
before(async () => {
  front = await testFront()
})
after(() => front.close())

test('v1 tells what it is', async () => {
  const { status, body } = await front.post('/csc/v1/info', {}, null)
  assert.equal(status, 200)
  assert.deepEqual(body, {
    specs: '1.0.3.0',
    name: 'Paraph',
    logo: 'https://sign.example.test/logo.png',
    region: 'PL',
    lang: 'en',
    description: 'Demo: nothing signed here is worth anything. A remote signing service with keys in a hardware security module.',
    authType: ['basic'],
    methods: ['auth/login', 'auth/revoke', 'credentials/list', 'credentials/info', 'credentials/authorize', 'signatures/signHash'],
  })
})
