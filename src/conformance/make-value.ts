import { createHash, randomBytes, randomInt, randomUUID } from 'node:crypto'
import type { Adapter } from './adapter.js'
import { type Documents, isDigestAlgorithm } from './documents.js'
import type { Secrets } from './secrets.js'
import { fill, fillText, type Json, templateOf, type Values } from './values.js'

/** What values are made of. */
export interface Makers {
  readonly values: Values
  readonly documents: Documents
  readonly secrets: Secrets
  readonly adapter: Adapter
  /** An access token of a signer. */
  tokenOf(signer: string): Promise<string>
}

type Groups = readonly (string | undefined)[]
type Maker = (makers: Makers, groups: Groups) => Json | Promise<Json>

/** What may stand after `let name =`, beside JSON. */
const FORMS: readonly (readonly [form: RegExp, make: Maker])[] = [
  [/^fresh digest(?: (sha-256|sha-384|sha-512))?$/, (makers, [hash]) => newDigest(makers, hash)],
  [
    /^(\d+) fresh digests(?: (sha-256|sha-384|sha-512))?$/,
    (makers, [number, hash]) => Array.from({ length: Number(number) }, () => newDigest(makers, hash)),
  ],
  [/^fresh code of signer (\w+)$/, (makers, [signer]) => code(makers, { signer: String(signer), fresh: true })],
  [
    /^code of signer (\w+) (\d+) steps? (ago|ahead)$/,
    (makers, [signer, steps, way]) =>
      code(makers, { signer: String(signer), step: way === 'ago' ? -Number(steps) : Number(steps) }),
  ],
  [/^wrong code of signer (\w+)$/, async (makers, [signer]) => (await wrongCodes(makers, signer, 1))[0] as string],
  [/^(\d+) wrong codes of signer (\w+)$/, (makers, [number, signer]) => wrongCodes(makers, signer, Number(number))],
  [/^token of signer (\w+)$/, (makers, [signer]) => makers.tokenOf(String(signer))],
  [
    /^base64 of "(.+)"$/,
    ({ values, secrets }, [text]) => {
      const encoded = Buffer.from(fillText(String(text), values), 'utf8').toString('base64')
      secrets.add('login and password', encoded)
      return encoded
    },
  ],
  [
    /^base64url of (\{[\w.]+\})$/,
    ({ values }, [name]) => {
      const value = fill(String(name), values)
      // A list as the parameters of an authorization request want it.
      const texts = (Array.isArray(value) ? value : [value]) as readonly Json[]
      return texts.map((text) => Buffer.from(String(text), 'base64').toString('base64url')).join()
    },
  ],
  [
    /^PKCE challenge of (\{[\w.]+\})$/,
    ({ values }, [name]) =>
      createHash('sha256')
        .update(fillText(String(name), values))
        .digest('base64url'),
  ],
  [/^sent code of signer (\w+)$/, (makers, [signer]) => code(makers, { signer: String(signer), sent: true })],
  [
    /^recorded signer of (\{[\w.]+\})$/,
    async ({ values, adapter }, [name]) => {
      const { signer = null } = await adapter.ask({ ask: 'record', of: fill(String(name), values) })
      return signer
    },
  ],
  [/^(\{[\w.]+\}) reversed$/, ({ values }, [name]) => [...(fill(String(name), values) as readonly Json[])].reverse()],
  [/^an id that nobody has$/, () => randomUUID()],
  [/^a secret that nobody has$/, () => randomBytes(32).toString('base64url')],
  [/^(\d+) characters$/, (_, [length]) => 'x'.repeat(Number(length))],
]

/** Whether something may stand after `let name =`. */
export function isValue(text: string): boolean {
  return FORMS.some(([form]) => form.test(text)) || templateOf(text) !== undefined
}

/** @throws Error from the adapter, or when it answers in another shape; UnknownName */
export async function makeValue(makers: Makers, text: string): Promise<Json> {
  for (const [form, make] of FORMS) {
    const groups = form.exec(text)
    if (groups !== null) return await make(makers, groups.slice(1))
  }
  const template = templateOf(text)
  if (template === undefined) throw new Error(`not a value: ${text}`)
  return fill(template, makers.values)
}

function newDigest({ documents, secrets }: Makers, hash = 'sha-256'): string {
  const digest = documents.newDigest(isDigestAlgorithm(hash) ? hash : 'sha-256')
  secrets.addDigest(digest)
  return digest.toString('base64')
}

async function code({ adapter, secrets }: Makers, question: Readonly<Record<string, Json>>): Promise<string> {
  const { code: told } = await adapter.ask({ ask: 'code', ...question })
  if (typeof told !== 'string') throw new Error('the adapter answers code with {"code": "…"}')
  secrets.add('code', told)
  return told
}

/** As long as right ones, and none of those that the adapter knows to be right near this moment. */
async function wrongCodes({ adapter, secrets }: Makers, signer: string | undefined, number: number): Promise<string[]> {
  const { codes } = await adapter.ask({ ask: 'near', signer: String(signer) })
  if (!Array.isArray(codes) || typeof codes[0] !== 'string')
    throw new Error('the adapter answers near with {"codes": ["…", …]}')
  const wrong = new Set<string>()
  while (wrong.size < number) {
    const digits = Array.from(codes[0], () => randomInt(10)).join('')
    if (!codes.includes(digits)) wrong.add(digits)
  }
  secrets.add('code', ...wrong)
  return [...wrong]
}
