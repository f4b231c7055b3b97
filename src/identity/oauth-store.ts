import { createCipheriv, createDecipheriv, hash, hkdfSync, randomBytes } from 'node:crypto'

/** Runs one statement, prepared under its name. */
export interface StoreDatabase {
  query<Row extends object>(name: string, text: string, values: readonly unknown[]): Promise<Row[]>
}

/** One thing that the OAuth 2 server remembers: a code, a pushed request, an interaction, a grant, a refresh token. */
export interface Item {
  readonly model: string
  /** What names it on the wire. Only its hash is stored. */
  readonly id: string
  readonly payload: object
  readonly client?: string | undefined
  /** What ends together. Only its hash is stored. */
  readonly grant?: string | undefined
  readonly address?: string | undefined
  readonly seconds: number
}

/** How many of one model may wait at once. */
export interface Cap {
  readonly perClient: number
  readonly perAddress: number
}

export interface Stored {
  readonly payload: Record<string, unknown>
  /** Epoch second at which it was used. */
  readonly consumed: number | undefined
  readonly expired: boolean
}

/**
 * What the OAuth 2 server keeps, in table paraph.oauth: rows by the SHA-256 of their id, payloads sealed under a key that
 * only fronts have. So a dump of the database holds nothing that is accepted anywhere, and whoever can write there
 * cannot lead a code elsewhere. Time is the database's.
 */
export class OAuthStore {
  readonly #db: StoreDatabase
  readonly #key: Uint8Array

  /** @param secret the fronts' common one, 32 bytes */
  constructor(db: StoreDatabase, secret: Uint8Array) {
    this.#db = db
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', 'paraph/oauth/payload/v1', 32))
  }

  /** Writes it, or writes it anew. @returns false when as many wait already as the cap allows */
  async put(item: Item, cap?: Cap): Promise<boolean> {
    const values = [...this.#values(item), cap?.perClient ?? null, cap?.perAddress ?? null]
    const rows = await this.#db.query(
      'oauth_put',
      `insert into paraph.oauth as o (model, id_hash, payload, client_id, grant_id, address, expires_at)
       select $1, $2, $3::jsonb, $4, $5, $6, paraph.now() + make_interval(secs => $7)
        where exists (select from paraph.oauth where model = $1 and id_hash = $2)
           or (($8::int is null or $4::text is null or (select count(*) from paraph.oauth
                 where model = $1 and client_id = $4 and expires_at > paraph.now() and consumed_at is null) < $8)
           and ($9::int is null or $6::text is null or (select count(*) from paraph.oauth
                 where model = $1 and address = $6 and expires_at > paraph.now() and consumed_at is null) < $9))
       on conflict (model, id_hash) do update set payload = excluded.payload, expires_at = excluded.expires_at
       returning model`,
      values,
    )
    return rows.length === 1
  }

  /** @returns false where there is one of that id */
  async add(item: Item): Promise<boolean> {
    const rows = await this.#db.query(
      'oauth_add',
      `insert into paraph.oauth (model, id_hash, payload, client_id, grant_id, address, expires_at)
       values ($1, $2, $3::jsonb, $4, $5, $6, paraph.now() + make_interval(secs => $7))
       on conflict do nothing returning model`,
      this.#values(item),
    )
    return rows.length === 1
  }

  async find(model: string, id: string): Promise<Stored | undefined> {
    const [row] = await this.#db.query<Row>(
      'oauth_find',
      `select payload, extract(epoch from consumed_at)::float8 as consumed, expires_at <= paraph.now() as expired
         from paraph.oauth where model = $1 and id_hash = $2`,
      [model, idHash(model, id)],
    )
    return row === undefined ? undefined : this.#stored(model, id, row)
  }

  /** Uses it up and gives it back: to one of all who ask, and while it lives. */
  async take(model: string, id: string): Promise<Stored | undefined> {
    const [row] = await this.#db.query<Row>(
      'oauth_take',
      `update paraph.oauth set consumed_at = paraph.now()
        where model = $1 and id_hash = $2 and consumed_at is null and expires_at > paraph.now()
       returning payload, null as consumed, false as expired`,
      [model, idHash(model, id)],
    )
    return row === undefined ? undefined : this.#stored(model, id, row)
  }

  /** @returns whether it was this call that used it up */
  async consume(model: string, id: string): Promise<boolean> {
    const rows = await this.#db.query(
      'oauth_consume',
      `update paraph.oauth set consumed_at = paraph.now() where model = $1 and id_hash = $2 and consumed_at is null returning model`,
      [model, idHash(model, id)],
    )
    return rows.length === 1
  }

  /** @returns whether it was this call that took it away */
  async remove(model: string, id: string): Promise<boolean> {
    const rows = await this.#db.query(
      'oauth_remove',
      'delete from paraph.oauth where model = $1 and id_hash = $2 returning model',
      [model, idHash(model, id)],
    )
    return rows.length === 1
  }

  async removeGrant(grant: string): Promise<void> {
    await this.#db.query('oauth_remove_grant', 'delete from paraph.oauth where grant_id = $1 returning model', [
      grantHash(grant),
    ])
  }

  #values({ model, id, payload, client, grant, address, seconds }: Item): unknown[] {
    return [
      model,
      idHash(model, id),
      JSON.stringify({ sealed: this.#seal(model, id, payload) }),
      client ?? null,
      grant === undefined ? null : grantHash(grant),
      address ?? null,
      seconds,
    ]
  }

  #stored(model: string, id: string, { payload, consumed, expired }: Row): Stored | undefined {
    const opened = this.#open(model, id, payload.sealed)
    return opened === undefined ? undefined : { payload: opened, consumed: consumed ?? undefined, expired }
  }

  #seal(model: string, id: string, payload: object): string {
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(idHash(model, id))
    const text = cipher.update(JSON.stringify(payload), 'utf8')
    return Buffer.concat([nonce, text, cipher.final(), cipher.getAuthTag()]).toString('base64')
  }

  /** What no front sealed for this id is nothing. */
  #open(model: string, id: string, sealed: unknown): Record<string, unknown> | undefined {
    if (typeof sealed !== 'string') return undefined
    const bytes = Buffer.from(sealed, 'base64')
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, 12), { authTagLength: 16 })
      decipher.setAAD(idHash(model, id)).setAuthTag(bytes.subarray(-16))
      const text = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
      return JSON.parse(text.toString('utf8')) as Record<string, unknown>
    } catch {
      return undefined
    }
  }
}

interface Row {
  readonly payload: { sealed?: unknown }
  readonly consumed: number | null
  readonly expired: boolean
}

function idHash(model: string, id: string): Buffer {
  return hash('sha256', `paraph/oauth/v1\n${model}\n${id}`, 'buffer')
}

function grantHash(grant: string): string {
  return hash('sha256', `paraph/oauth/v1\ngrant\n${grant}`, 'base64url')
}

/** Whether this is the first time in so many seconds that somebody shows this, to whichever front. */
export async function addReplay(db: StoreDatabase, id: string, seconds: number): Promise<boolean> {
  const rows = await db.query(
    'oauth_replay',
    `insert into paraph.oauth (model, id_hash, payload, expires_at)
     values ('Proof', $1, '{}', paraph.now() + make_interval(secs => $2)) on conflict do nothing returning model`,
    [idHash('Proof', id), seconds],
  )
  return rows.length === 1
}
