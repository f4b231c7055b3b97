import { relyingPartyOf } from '../../identity/relying-party.js'
import type { CredentialRow } from '../reads.js'
import type { FrontConfig } from '../services.js'
import type { CertificateV1, CertificateV2, CredentialV1, CredentialV2, Key } from '../wire.js'
import { factorsV1, factorsV2 } from './factors.js'
import { keyOf } from './oids.js'

/** How much of a credential is told, with the defaults of the texts filled in. */
export interface Detail {
  readonly certificates: 'none' | 'single' | 'chain'
  readonly certInfo: boolean
  readonly authInfo: boolean
  /** Language of the texts. */
  readonly lang: string
  /** Whether passkeys can belong to this service. */
  readonly passkeys: boolean
}

/** Fills in what a request leaves out. */
export function detailOf(
  request: {
    certificates?: Detail['certificates'] | undefined
    certInfo?: boolean | undefined
    authInfo?: boolean | undefined
  },
  { lang, publicUrl }: Pick<FrontConfig, 'lang' | 'publicUrl'>,
): Detail {
  const { certificates = 'single', certInfo = false, authInfo = false } = request
  return { certificates, certInfo, authInfo, lang, passkeys: relyingPartyOf(publicUrl) !== undefined }
}

/** CSC v1 §11.5. */
export function credentialV1(row: CredentialRow, detail: Detail): CredentialV1 {
  return {
    ...description(row),
    key: key(row),
    cert: certificate(row, detail),
    authMode: 'explicit',
    SCAL: row.scal,
    ...(detail.authInfo ? factorsV1(row) : {}),
    multisign: row.multisign,
    lang: detail.lang,
  }
}

/** CSC v2.2 §11.7. */
export function credentialV2(row: CredentialRow, detail: Detail): CredentialV2 {
  return {
    ...description(row),
    key: key(row),
    cert: certificateV2(row, detail),
    auth: { mode: 'explicit', ...(detail.authInfo ? factorsV2(row, detail.passkeys) : {}) },
    SCAL: row.scal,
    multisign: row.multisign,
    lang: detail.lang,
  }
}

function description(row: CredentialRow): { description?: string } {
  return row.description === null ? {} : { description: row.description.slice(0, 255) }
}

function key(row: CredentialRow): Key {
  const { algo, len, curve } = keyOf(row.spec)
  const usable = row.state === 'active' && row.expired === false && row.early === false
  return { status: usable ? 'enabled' : 'disabled', algo: [...algo], len, ...(curve === undefined ? {} : { curve }) }
}

function certificate(row: CredentialRow, detail: Detail): CertificateV1 {
  const shown = { none: 0, single: 1, chain: row.chain.length }[detail.certificates]
  return {
    ...certificateStatus(row),
    ...(detail.certificates === 'none'
      ? {}
      : { certificates: row.chain.slice(0, shown).map((der) => der.toString('base64')) }),
    ...(detail.certInfo ? certificateFields(row) : {}),
  }
}

function certificateV2(row: CredentialRow, detail: Detail): CertificateV2 {
  return {
    ...certificate(row, detail),
    qcStatements: [...row.qc_statements],
    ...(row.policies.length === 0 ? {} : { policy: [...row.policies] }),
  }
}

function certificateStatus(row: CredentialRow): Pick<CertificateV1, 'status'> {
  if (row.state === 'pending' || row.chain.length === 0) return {}
  if (row.state === 'revoked') return { status: 'revoked' }
  if (row.expired === true) return { status: 'expired' }
  return { status: row.state === 'suspended' ? 'suspended' : 'valid' }
}

function certificateFields(row: CredentialRow): Omit<CertificateV1, 'status' | 'certificates'> {
  const { issuer_dn, serial_number, subject_dn, not_before, not_after } = row
  return {
    ...(issuer_dn === null ? {} : { issuerDN: issuer_dn }),
    ...(serial_number === null ? {} : { serialNumber: serial_number.toUpperCase() }),
    ...(subject_dn === null ? {} : { subjectDN: subject_dn }),
    ...(not_before === null ? {} : { validFrom: generalizedTime(not_before) }),
    ...(not_after === null ? {} : { validTo: generalizedTime(not_after) }),
  }
}

/** `YYYYMMDDHHMMSSZ`. */
function generalizedTime(time: Date): string {
  return `${time.toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`
}
