import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import jsQR from 'jsqr'
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { PNG } from 'pngjs'

const require = createRequire(import.meta.url)
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
const read = jsQR as unknown as typeof jsQR.default

/** Debian's Chromium, without a window. */
export function launch(): Promise<Browser> {
  const path = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'chromium'))
  const executablePath = path.find((file) => {
    try {
      return readFileSync(file).length > 0
    } catch {
      return false
    }
  })
  assert.ok(executablePath, 'chromium is on the path')
  // Its sandbox needs rights that root in a container has not.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] })
}

export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true }
export const DESKTOP = { viewport: { width: 1280, height: 900 } }

/** What the text of the QR code in a picture of the page says, read as a phone reads it. */
export async function readQrCode(page: Page): Promise<string> {
  const { data, width, height } = PNG.sync.read(await page.screenshot({ fullPage: true }))
  const found = read(new Uint8ClampedArray(data), width, height)
  assert.ok(found, 'the page shows a QR code')
  return found.data
}

/** Fails for whatever axe calls serious or critical, and for a page that is wider than its window. */
export async function checkPage(page: Page): Promise<void> {
  await page.evaluate(AXE)
  const { violations } = (await page.evaluate('axe.run()')) as {
    violations: { id: string; impact: string; nodes: { html: string }[] }[]
  }
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
  assert.deepEqual(
    serious.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`),
    [],
    await page.title(),
  )
  const width = (await page.evaluate('document.documentElement.scrollWidth - window.innerWidth')) as number
  assert.ok(width <= 0, `${await page.title()} is ${width} pixels too wide`)
}

/** A browser with a passkey device that verifies its user. */
export async function withPasskeys(context: BrowserContext, page: Page): Promise<void> {
  const session = await context.newCDPSession(page)
  await session.send('WebAuthn.enable')
  await session.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  })
}

export type { Browser, BrowserContext, BrowserContextOptions, Page }
