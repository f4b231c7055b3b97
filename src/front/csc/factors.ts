import { FACTOR_KINDS, type FactorKind } from '../../factor-kind.js'
import type { CredentialRow } from '../reads.js'
import type { CredentialV2, OtpV1, PinV1 } from '../wire.js'

/** What a signer types into a client; a passkey is nothing that is typed. */
type TypedKind = Exclude<FactorKind, 'passkey'>
type ObjectV2 = NonNullable<CredentialV2['auth']['objects']>[number]

const CODE_LABEL = 'One-time code'
const PIN_TEXTS = { label: 'PIN', description: 'The PIN of this credential' } as const

/** In the order in which they are offered. `sent`: the client has to have a code sent first. */
const WAYS: Readonly<Record<TypedKind, { id: 'OTP' | 'SMS' | 'EMAIL'; label: string; sent: boolean }>> = {
  totp: { id: 'OTP', label: CODE_LABEL, sent: false },
  sms: { id: 'SMS', label: 'Code by text message', sent: true },
  email: { id: 'EMAIL', label: 'Code by mail', sent: true },
}
const KINDS = Object.keys(WAYS) as TypedKind[]

/** The kind of factor that an id of `auth.objects` stands for. */
export function wayOf(id: string): TypedKind | undefined {
  return KINDS.find((kind) => WAYS[kind].id === id)
}

/** A kind of factor that the signer may agree with, and where its codes go. */
interface Way {
  readonly kind: TypedKind
  readonly description: string
}

/** What a description of factors is made of. */
type Agreeable = Pick<CredentialRow, 'factors' | 'accepted' | 'has_pin'>

/** What the signer has and the credential accepts; who has nothing yet is told what will be asked for. */
function waysOf({ factors, accepted }: Agreeable): Way[] {
  const allowed = KINDS.filter((kind) => accepted?.includes(kind) ?? true)
  const enrolled = allowed.filter((kind) => factors.some((factor) => factor.kind === kind))
  const kinds = enrolled.length > 0 ? enrolled : accepted === null ? (['totp'] as const) : allowed
  return kinds.map((kind) => ({ kind, description: describe(kind, factors) }))
}

function describe(kind: TypedKind, factors: CredentialRow['factors']): string {
  if (kind === 'totp') return 'The current code of the authenticator app'
  const label = factors.find((factor) => factor.kind === kind)?.label
  return `The code that is sent${label == null ? '' : ` to ${label}`}`
}

/** CSC v1 §11.5: a PIN, and one code of whatever kind. It is `online` where no kind goes without having it sent. */
export function factorsV1(row: Agreeable): { PIN: PinV1; OTP: OtpV1 } {
  const ways = waysOf(row)
  const way = ways[0]
  const PIN: PinV1 = row.has_pin ? { presence: 'true', format: 'A', ...PIN_TEXTS } : { presence: 'false' }
  if (way === undefined) return { PIN, OTP: { presence: 'false' } }
  const { id, sent } = WAYS[way.kind]
  const description = ways.map((one, i) => (i === 0 ? one.description : lowerFirst(one.description))).join(', or ')
  return {
    PIN,
    OTP: {
      presence: 'true',
      type: sent ? 'online' : 'offline',
      ID: id,
      format: 'N',
      label: ways.length === 1 ? WAYS[way.kind].label : CODE_LABEL,
      description,
    },
  }
}

const lowerFirst = (text: string) => text.charAt(0).toLowerCase() + text.slice(1)

/** The id of the object that stands for an answer on our own pages. */
export const APPROVAL_ID = 'APPROVAL'

const APPROVAL: ObjectV2 = {
  type: 'PasswordOOB',
  id: APPROVAL_ID,
  label: 'Answer on the page of the service',
  description: 'The signer is shown there what shall be signed, and agrees; nothing is typed here',
}

/** Whether the signer can agree on our own pages; who has nothing yet will have what the credential accepts. */
function isApprovable({ factors, accepted }: Agreeable, passkeys: boolean): boolean {
  const kinds = FACTOR_KINDS.filter((kind) => (accepted?.includes(kind) ?? true) && (passkeys || kind !== 'passkey'))
  return factors.length === 0 ? kinds.length > 0 : factors.some(({ kind }) => kinds.includes(kind))
}

/**
 * CSC v2.2 §11.7: the objects, and the expression over their ids. What is typed is typed together; the answer on our own
 * pages, where the PIN is asked for as well, stands alone.
 * @param passkeys whether passkeys can belong to this service
 */
export function factorsV2(row: Agreeable, passkeys: boolean): Pick<CredentialV2['auth'], 'expression' | 'objects'> {
  const typed = typedObjects(row)
  if (!isApprovable(row, passkeys)) return typed
  const { expression, objects } = typed
  if (objects.length === 0) return { expression: APPROVAL_ID, objects: [APPROVAL] }
  const either = expression.includes(' AND ') ? `(${expression})` : expression
  return { expression: `${either} OR ${APPROVAL_ID}`, objects: [...objects, APPROVAL] }
}

/** What a client asks for and sends. A PIN agrees to nothing by itself, so that without a code there is nothing to type. */
function typedObjects(row: Agreeable): { expression: string; objects: ObjectV2[] } {
  const ways = row.factors.every(({ kind }) => kind === 'passkey') && row.factors.length > 0 ? [] : waysOf(row)
  if (ways.length === 0) return { expression: '', objects: [] }
  const pin: ObjectV2[] = row.has_pin ? [{ type: 'Password', id: 'PIN', ...PIN_TEXTS }] : []
  const codes = ways.map(({ kind, description }): ObjectV2 => {
    const { id, label, sent } = WAYS[kind]
    const common = { id, format: 'N', label, description } as const
    return sent ? { type: 'ChallengeResponse', ...common } : { type: 'Password', ...common, generator: 'totp' }
  })
  const anyCode = codes.map(({ id }) => id).join(' OR ')
  const code = pin.length > 0 && codes.length > 1 ? `(${anyCode})` : anyCode
  return { expression: [...pin.map(({ id }) => id), code].join(' AND '), objects: [...pin, ...codes] }
}
