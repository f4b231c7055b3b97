import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { prepareCms } from '../../src/pki/cms.js'
import { fromPem } from '../../src/pki/pem.js'
import { pdfsig, preparePdf } from '../helpers/pdf.js'
import { TestService } from '../helpers/test-service.js'

let service: TestService
let root: string
before(async () => {
  service = await TestService.start()
  root = (await service.admin('ca.root', {})).pem
})
after(() => service?.close())

const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))

function run(
  program: string,
  parameters: string[],
  env: Record<string, string> = {},
): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      program,
      parameters,
      { env: { PATH: process.env['PATH'], ...env }, cwd: service.folder },
      (error, stdout, stderr) => {
        resolve({ status: error === null ? 0 : Number(error.code ?? 1), stdout, stderr })
      },
    )
  })
}

for (const [key, mechanism, signAlgo] of [
  ['rsa-2048', { scheme: 'rsa-pkcs1', hash: 'sha-256' }, '1.2.840.113549.1.1.11'],
  ['p-256', { scheme: 'ecdsa', hash: 'sha-256' }, '1.2.840.10045.4.3.2'],
] as const) {
  test(`a PDF signed through the API is valid and trusted for pdfsig (${key})`, async () => {
    const credentialID = service.credentials[key] as string
    const bearer = await service.login()
    const { body } = await service.post('/csc/v2/credentials/info', { credentialID, certificates: 'chain' }, { bearer })
    const certificates = body.cert.certificates.map((base64: string) => Buffer.from(base64, 'base64'))
    const pdf = await preparePdf()
    const cms = prepareCms({ messageDigest: pdf.digest('sha-256'), certificates })
    const hashes = [Buffer.from(cms.toSign.bytes).toString('base64')]
    const sad = await service.authorize(bearer, credentialID, hashes)
    const answer = await service.signHash(bearer, credentialID, sad, hashes, { signAlgo })
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    const document = pdf.embed(cms.finish(Buffer.from(answer.body.signatures[0], 'base64'), mechanism))
    const verdict = await pdfsig(document, fromPem('CERTIFICATE', root)[0] as Uint8Array)
    assert.match(verdict, /Signature Validation: Signature is Valid\./)
    assert.match(verdict, /Certificate Validation: Certificate is Trusted\./)
    assert.match(verdict, /Total document signed/)
  })
}

test('what `paraph sign` writes beside files, `openssl cms -verify` and `paraph verify` accept, and refuse once a file changed', async () => {
  await service.freshCode()
  const rootFile = join(service.folder, 'root.pem')
  writeFileSync(rootFile, root)
  const files = ['contract.txt', 'empty.bin', 'name with spaces.txt']
  writeFileSync(join(service.folder, files[0] as string), 'The parties agree.\r\n'.repeat(5000))
  writeFileSync(join(service.folder, files[1] as string), '')
  writeFileSync(join(service.folder, files[2] as string), Buffer.from([0, 255, 13, 10]))
  const passwordFile = join(service.folder, 'password')
  const codeFile = join(service.folder, 'code')
  writeFileSync(passwordFile, service.signer.password, { mode: 0o600 })
  writeFileSync(codeFile, service.code(), { mode: 0o600 })
  const signed = await run(process.execPath, [
    CLI,
    ...['sign', '--url', service.urls[0] as string, '--login', service.signer.login, '--password-file', passwordFile],
    ...['--code-file', codeFile, '--credential', service.credentials['p-256'] as string, '--json', ...files],
  ])
  assert.equal(signed.status, 0, signed.stderr + signed.stdout)
  for (const file of files) {
    const openssl = [
      'cms',
      '-verify',
      '-binary',
      '-inform',
      'DER',
      '-in',
      `${file}.p7s`,
      '-content',
      file,
      '-CAfile',
      rootFile,
      '-purpose',
      'any',
      '-out',
      '/dev/null',
    ]
    const judged = await run('openssl', openssl)
    assert.equal(judged.status, 0, judged.stderr)
  }
  assert.equal((await run(process.execPath, [CLI, 'verify', '--trust', rootFile, ...files])).status, 0)
  const path = join(service.folder, files[0] as string)
  writeFileSync(path, readFileSync(path, 'utf8').replace('agree', 'argue'))
  assert.equal((await run(process.execPath, [CLI, 'verify', '--trust', rootFile, files[0] as string])).status, 1)
  await service.checkWorld()
})
