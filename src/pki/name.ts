import * as asn1js from 'asn1js'
import { AttributeTypeAndValue, RelativeDistinguishedNames } from 'pkijs'
import { ServiceError } from '../errors.js'
import { decode } from './der.js'

/** Whom a request or certificate is for. */
export interface Subject {
  /** 1 to 64 characters. */
  readonly commonName: string
  /** 1 to 64 characters. */
  readonly organization?: string
  /** ISO 3166-1 alpha-2, upper case. */
  readonly country?: string
  /** What tells two people of one name apart; 1 to 64 letters, digits and `-.:/`. */
  readonly serialNumber?: string
}

const COUNTRY = '2.5.4.6'
export const ORGANIZATION = '2.5.4.10'
export const COMMON_NAME = '2.5.4.3'
const SERIAL_NUMBER = '2.5.4.5'

/** Registered short names (RFC 4514 §3, RFC 4519); anything else appears as its number. */
const SHORT_NAME: Readonly<Record<string, string>> = {
  [COMMON_NAME]: 'CN',
  '2.5.4.4': 'sn',
  [SERIAL_NUMBER]: 'serialNumber',
  [COUNTRY]: 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'STREET',
  [ORGANIZATION]: 'O',
  '2.5.4.11': 'OU',
  '2.5.4.12': 'title',
  '2.5.4.42': 'givenName',
  '2.5.4.97': 'organizationIdentifier',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
}

/**
 * The subject as a Name, one attribute in each RDN, from the country down to the common name.
 * @throws ServiceError `not_allowed` for what does not fit a certificate (RFC 5280 appendix A.1)
 */
export function toName(subject: Subject): RelativeDistinguishedNames {
  const rdns = [
    ...(subject.country === undefined ? [] : [country(subject.country)]),
    ...(subject.organization === undefined ? [] : [text(ORGANIZATION, 'organization', subject.organization)]),
    ...(subject.serialNumber === undefined ? [] : [serialNumber(subject.serialNumber)]),
    text(COMMON_NAME, 'common name', subject.commonName),
  ]
  // pkijs would write all attributes as one RDN of several values; it takes over a ready encoding unchanged.
  const sequence = new asn1js.Sequence({ value: rdns.map((rdn) => new asn1js.Set({ value: [rdn.toSchema()] })) })
  return new RelativeDistinguishedNames({ typesAndValues: rdns, valueBeforeDecode: sequence.toBER() })
}

function text(type: string, what: string, value: string): AttributeTypeAndValue {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused here
  if (value === '' || [...value].length > 64 || /[\u0000-\u001f\u007f-\u009f]/.test(value)) {
    throw new ServiceError('not_allowed', { detail: `a ${what} has 1 to 64 characters and no control characters` })
  }
  return new AttributeTypeAndValue({ type, value: new asn1js.Utf8String({ value }) })
}

function country(value: string): AttributeTypeAndValue {
  if (!/^[A-Z]{2}$/.test(value)) throw new ServiceError('not_allowed', { detail: 'a country has two capital letters' })
  return new AttributeTypeAndValue({ type: COUNTRY, value: new asn1js.PrintableString({ value }) })
}

function serialNumber(value: string): AttributeTypeAndValue {
  if (!/^[A-Za-z0-9.:/-]{1,64}$/.test(value)) {
    throw new ServiceError('not_allowed', { detail: 'a serial number has 1 to 64 letters, digits and .:/-' })
  }
  return new AttributeTypeAndValue({ type: SERIAL_NUMBER, value: new asn1js.PrintableString({ value }) })
}

/** The text of the first attribute of this type, if there is one. */
export function attributeOf(name: RelativeDistinguishedNames, type: string): string | undefined {
  const attribute = name.typesAndValues.find((one) => one.type === type)
  return attribute === undefined ? undefined : textOf(attribute.value)
}

/** RFC 4514: most specific RDN first, `CN=…,O=…,C=…`; control characters escaped, so that it may stand on a terminal. */
export function distinguishedName(name: RelativeDistinguishedNames): string {
  const sequence = decode(new Uint8Array(name.toSchema().toBER())) as asn1js.Sequence
  return sequence.valueBlock.value
    .map((rdn) =>
      (rdn as asn1js.Set).valueBlock.value
        .map((attribute) => new AttributeTypeAndValue({ schema: attribute }))
        .map(({ type, value }) => attributeText(type, value))
        .join('+'),
    )
    .reverse()
    .join(',')
}

function attributeText(type: string, value: asn1js.AsnType): string {
  const short = SHORT_NAME[type]
  const plain = textOf(value)
  if (short === undefined || plain === undefined) {
    return `${short ?? type}=#${Buffer.from(value.toBER()).toString('hex')}`
  }
  return `${short}=${escaped(plain)}`
}

function textOf(value: asn1js.AsnType): string | undefined {
  return value instanceof asn1js.BaseStringBlock ? value.getValue() : undefined
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is escaped
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

/** RFC 4514 §2.4. */
function escaped(value: string): string {
  const characters = [...value]
  return characters
    .map((character, index) => {
      const atEdge = index === 0 || index === characters.length - 1
      if (UNPRINTABLE.test(character)) return Buffer.from(character).toString('hex').replaceAll(/../g, '\\$&')
      if ('"+,;<>\\'.includes(character)) return `\\${character}`
      if (character === ' ' && atEdge) return '\\ '
      return character === '#' && index === 0 ? '\\#' : character
    })
    .join('')
}
