/** People who run the service: one role each, and no role reaches what another's is for (EN 419 241-1, SRG_M.1). */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ADMIN_ROLE, type AdminVerb, type OperatorRole } from '../../src/activation.js'
import { ServiceError } from '../../src/errors.js'
import { TestService } from '../helpers/test-service.js'

const ROLES: readonly OperatorRole[] = ['registration', 'system', 'security', 'auditor']

let service: TestService
const tokens = {} as Record<OperatorRole, string>
before(async () => {
  service = await TestService.start({ keys: [] })
  for (const role of ROLES)
    tokens[role] = (await service.admin('operator.create', { name: `Person ${role}`, role })).token
})
after(() => service.close())

const codeOf = (error: unknown) => (error instanceof ServiceError ? error.code : String(error))

test('a command of another role is refused before its arguments are looked at, and the log says so', async () => {
  let refused = 0
  for (const verb of Object.keys(ADMIN_ROLE) as AdminVerb[]) {
    for (const role of ROLES) {
      const answer = await service.adminAs(tokens[role], verb, { nonsense: true } as never).then(() => 'done', codeOf)
      const allowed = ADMIN_ROLE[verb] === 'any' || ADMIN_ROLE[verb] === role
      assert.equal(answer, allowed ? 'not_allowed' : 'role_missing', `${role} ${verb}`)
      if (!allowed) refused++
    }
  }
  const { rows } = await (await service.owner()).query(
    `select count(*)::int as n from audit.entry e join audit.event_type t on t.ev = e.ev where t.name = 'operator.refused'`,
  )
  assert.equal(rows[0]?.n, refused)
  await service.checkWorld()
})

test('a person has one role, however the name is written', async () => {
  for (const name of ['Person auditor', 'person AUDITOR', 'Person  auditor']) {
    await assert.rejects(service.admin('operator.create', { name, role: 'security' }), { code: 'already_exists' })
  }
})

test('whoever makes operators can neither invite, vouch, nor set a password', async () => {
  for (const verb of ['authenticator.invite', 'authenticator.vouch', 'signer.resetPassword'] as const) {
    await assert.rejects(service.adminAs(tokens.security, verb, { signer: service.signer.login }), {
      code: 'role_missing',
    })
  }
})
