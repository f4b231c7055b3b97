import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A time-stamp authority of OpenSSL, under a root of its own; its clock is this machine's. */
export class OpensslTsa {
  readonly #folder: string

  /** @param folder its own, made here */
  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true })
    const put = (name: string, text: string) => writeFileSync(join(folder, name), text)
    const dn = '[req]\ndistinguished_name=dn\nprompt=no\n'
    put('root.conf', `${dn}x509_extensions=ext\n[dn]\nCN=Root\n[ext]\nbasicConstraints=critical,CA:TRUE\n`)
    put('tsa.conf', `${dn}[dn]\nCN=TSA\n`)
    put('ext', 'extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n')
    put(
      'conf',
      `[tsa]\ndefault_tsa=one\n[one]\nserial=${folder}/serial\nsigner_cert=${folder}/tsa.pem\nsigner_key=${folder}/tsa.key\ncerts=${folder}/tsa.pem\ndefault_policy=1.2.3\nother_policies=1.2.4\ndigests=sha256\nsigner_digest=sha256\nordering=yes\ntsa_name=no\n`,
    )
    put('serial', '01\n')
    const newKey = ['-newkey', 'rsa:2048', '-nodes']
    this.#run(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      'root.key',
      '-out',
      'root.pem',
      '-days',
      '2',
      '-config',
      'root.conf',
    )
    this.#run('req', ...newKey, '-keyout', 'tsa.key', '-out', 'tsa.csr', '-config', 'tsa.conf')
    const by = ['-CA', 'root.pem', '-CAkey', 'root.key', '-CAcreateserial', '-days', '2', '-extfile', 'ext']
    this.#run('x509', '-req', '-in', 'tsa.csr', ...by, '-out', 'tsa.pem')
  }

  get root(): string {
    return readFileSync(join(this.#folder, 'root.pem'), 'utf8')
  }

  /** Its own certificate. */
  get certificate(): string {
    return readFileSync(join(this.#folder, 'tsa.pem'), 'utf8')
  }

  /** What it answers to a query. */
  reply(query: Uint8Array): Buffer {
    writeFileSync(join(this.#folder, 'query'), query)
    this.#run('ts', '-reply', '-config', 'conf', '-queryfile', 'query', '-out', 'reply')
    return readFileSync(join(this.#folder, 'reply'))
  }

  stamp(text: string): Buffer {
    writeFileSync(join(this.#folder, 'text'), text)
    this.#run('ts', '-query', '-data', 'text', '-sha256', '-cert', '-out', 'asked')
    return this.reply(readFileSync(join(this.#folder, 'asked')))
  }

  #run(...words: string[]): void {
    execFileSync('openssl', words, { cwd: this.#folder, stdio: 'pipe' })
  }
}
