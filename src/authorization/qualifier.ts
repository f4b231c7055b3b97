/** OIDs of qualified certificates (ETSI EN 319 412-5): compliance with the regulation, and a key in a qualified device. */
const COMPLIANCE = '0.4.0.1862.1.1'
const DEVICE = '0.4.0.1862.1.4'

/** What signatures with a certificate are, in the words of CSC API v2.2 §11.7, as its own statements say. */
export function qualifierOf(statements: readonly string[]): string {
  if (!statements.includes(COMPLIANCE)) return 'eu_eidas_aes'
  return statements.includes(DEVICE) ? 'eu_eidas_qes' : 'eu_eidas_aesqc'
}
