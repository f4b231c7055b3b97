import { randomUUID } from 'node:crypto'
import { secretHash } from '../../src/identity/secret-value.js'
import { keepSecret, type TestService, type TestSigner } from './test-service.js'

/** An access token for 180 seconds, of a session that the signer has through another client than `basic`. */
export async function tokenOfAnotherClient(service: TestService, { login }: TestSigner): Promise<string> {
  const owner = await service.owner()
  const token = randomUUID()
  keepSecret(token)
  await owner.query(`insert into paraph.client (id, name) values ('another', 'Another') on conflict do nothing`)
  const { rows } = await owner.query(
    `insert into paraph.session (id, signer_id, client_id, started_at, ends_at)
       select gen_random_uuid(), id, 'another', at, at + interval '180 seconds'
         from paraph.signer, paraph.now() as at where login = $1
     returning id`,
    [login],
  )
  await owner.query(
    `insert into paraph.token (hash, kind, session_id, signer_id, client_id, scope, family, expires_at)
       select $1, 'access', id, signer_id, client_id, 'service', gen_random_uuid(), ends_at from paraph.session where id = $2`,
    [secretHash(token), rows[0].id],
  )
  return token
}
