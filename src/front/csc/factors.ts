import type { FactorKind } from '../../factor-kind.js'
import type { CredentialRow } from '../reads.js'
import type { CredentialV2, OtpV1, PinV1 } from '../wire.js'

/** What a signer types where he agrees; a passkey is nothing that is typed. */
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

/** What the signer has and the credential accepts; who has nothing yet is told what will be asked for. */
function waysOf({ factors, accepted }: CredentialRow): Way[] {
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
export function factorsV1(row: CredentialRow): { PIN: PinV1; OTP: OtpV1 } {
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

/** CSC v2.2 §11.7: the objects, and the expression over their ids. */
export function factorsV2(row: CredentialRow): Pick<CredentialV2['auth'], 'expression' | 'objects'> {
  const ways = waysOf(row)
  const pin: ObjectV2[] = row.has_pin ? [{ type: 'Password', id: 'PIN', ...PIN_TEXTS }] : []
  const codes = ways.map(({ kind, description }): ObjectV2 => {
    const { id, label, sent } = WAYS[kind]
    const common = { id, format: 'N', label, description } as const
    return sent ? { type: 'ChallengeResponse', ...common } : { type: 'Password', ...common, generator: 'totp' }
  })
  const anyCode = codes.map(({ id }) => id).join(' OR ')
  const terms = [...pin.map(({ id }) => id), ...(pin.length > 0 && codes.length > 1 ? [`(${anyCode})`] : [anyCode])]
  return { expression: terms.filter((term) => term !== '').join(' AND '), objects: [...pin, ...codes] }
}
