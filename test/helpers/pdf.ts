import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PDFDocument, PDFHexString, PDFName, PDFNumber, PDFString } from '@cantoo/pdf-lib'
import type { Digest, DigestAlgorithm } from '../../src/digest.js'
import { digestOf } from '../../src/pki/algorithm.js'
import { toPem } from '../../src/pki/pem.js'

const run = promisify(execFile)

/** Room for the container in bytes; RSA-4096 with three certificates stays far below. */
const ROOM = 16 * 1024
const UNKNOWN = 9_999_999_999

/** A document waiting for its signature. */
export interface PreparedPdf {
  /** Over everything but the place of the container (ISO 32000-1 §12.8.1). */
  digest(algorithm: DigestAlgorithm): Digest
  /** The signed document. @param cms a detached container over `digest`, DER, without signing time */
  embed(cms: Uint8Array): Uint8Array
}

/** A page of text with an empty PAdES signature (SubFilter ETSI.CAdES.detached). */
export async function preparePdf(text = 'Signed through the API.'): Promise<PreparedPdf> {
  const document = await PDFDocument.create()
  const page = document.addPage([300, 200])
  page.drawText(text, { x: 20, y: 150, size: 12 })
  const { context } = document
  const signature = context.register(
    context.obj({
      Type: 'Sig',
      Filter: 'Adobe.PPKLite',
      SubFilter: 'ETSI.CAdES.detached',
      ByteRange: [0, UNKNOWN, UNKNOWN, UNKNOWN].map((number) => PDFNumber.of(number)),
      Contents: PDFHexString.of('0'.repeat(2 * ROOM)),
      M: PDFString.fromDate(new Date()),
    }),
  )
  const field = context.register(
    context.obj({
      Type: 'Annot',
      Subtype: 'Widget',
      FT: 'Sig',
      T: PDFString.of('Signature'),
      Rect: [0, 0, 0, 0],
      F: 132,
      V: signature,
      P: page.ref,
    }),
  )
  page.node.set(PDFName.of('Annots'), context.obj([field]))
  document.catalog.set(PDFName.of('AcroForm'), context.obj({ SigFlags: 3, Fields: [field] }))
  const bytes = Buffer.from(await document.save({ useObjectStreams: false }))

  const start = bytes.indexOf(`<${'0'.repeat(2 * ROOM)}>`)
  const end = start + 2 * ROOM + 2
  const range = bytes.toString('latin1').match(/\/ByteRange \[[^\]]*\]/)
  if (start < 0 || range?.index === undefined) throw new Error('the placeholders are not in the document')
  const filled = `/ByteRange [0 ${start} ${end} ${bytes.length - end}`.padEnd(range[0].length - 1)
  bytes.write(`${filled}]`, range.index, 'latin1')

  return {
    digest: (algorithm) => digestOf(algorithm, Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)])),
    embed(cms) {
      if (cms.length > ROOM) throw new RangeError('the container is larger than its place')
      const signed = Buffer.from(bytes)
      signed.write(Buffer.from(cms).toString('hex'), start + 1, 'latin1')
      return new Uint8Array(signed)
    },
  }
}

/** What poppler's pdfsig says about a document when it trusts just this root (DER), in a database of its own. */
export async function pdfsig(pdf: Uint8Array, root: Uint8Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'paraph-pdfsig-'))
  try {
    const [document, certificate, database] = [join(folder, 'a.pdf'), join(folder, 'root.pem'), `sql:${folder}`]
    await writeFile(document, pdf)
    await writeFile(certificate, toPem('CERTIFICATE', root))
    await run('certutil', ['-N', '-d', database, '--empty-password'])
    await run('certutil', ['-A', '-d', database, '-n', 'root', '-t', 'CT,C,C', '-i', certificate])
    // Status 1 is a verdict here; what it says is in the text.
    const { stdout } = await run('pdfsig', ['-nssdir', database, document]).catch((error) => error)
    return String(stdout)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
