/**
 * What a signer does on Paraph's pages, done as a browser without scripts does it: cookies, forms with their hidden fields,
 * redirects one at a time.
 *
 * A signer is `{ login, password, code }`, where `code` is a function that gives a fresh one-time code (or a promise of it).
 */

/**
 * Goes where an application sends its signer, signs in there, and answers.
 * @param {string} url of the authorization request
 * @param {'yes' | 'no'} answer
 * @param {(value: string) => void} heard is told every cookie
 * @returns where the browser is sent in the end, away from this service; undefined when it stays on a page
 */
export async function answerRequest(url, signer, answer, heard = () => undefined) {
  const browser = new FormBrowser(url, heard)
  await browser.open(url)
  await signInIfAsked(browser, signer)
  if (browser.left === undefined) await answerQuestion(browser, signer, answer)
  return browser.left
}

/** Answers what waits for the signer on the account page: an application that asked without a browser. */
export async function answerWaiting(url, signer, answer, heard = () => undefined) {
  const browser = new FormBrowser(url, heard)
  await browser.open('/portal')
  await signInIfAsked(browser, signer)
  const page = /href="(\/portal\/answer\/[^"]+)"/.exec(browser.html)?.[1]
  if (page === undefined) throw new Error('nothing waits for an answer')
  await browser.open(page)
  await answerQuestion(browser, signer, answer)
}

const SIGN_IN = '/portal/sign-in'

async function signInIfAsked(browser, { login, password }) {
  if (browser.has(SIGN_IN)) await browser.submit(SIGN_IN, { login, password })
}

async function answerQuestion(browser, signer, answer) {
  const action = browser.path
  if (!browser.has(action)) return
  const asked = (name) => browser.html.includes(`name="${name}"`)
  const code = answer === 'yes' && asked('code') ? { code: await signer.code() } : {}
  await browser.submit(action, { answer, ...code, ...(asked('remember') ? { remember: 'yes' } : {}) })
}

class FormBrowser {
  #origin
  #heard
  #cookies = new Map()
  html = ''
  /** Of the page it is on. */
  path = ''
  /** The address elsewhere that it was sent to. */
  left

  constructor(url, heard) {
    this.#origin = new URL(url).origin
    this.#heard = heard
  }

  async open(path) {
    await this.#follow(await this.#send('GET', path))
  }

  /** Whether the page has a form with this action. */
  has(action) {
    return this.html.includes(`action="${action}"`)
  }

  async submit(action, fields) {
    const form = this.html.split('<form').find((part) => part.includes(`action="${action}"`)) ?? ''
    const hidden = form.split('</form>')[0].matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)
    const all = Object.fromEntries([...hidden].map(([, name, value]) => [name, unescaped(value)]))
    await this.#follow(await this.#send('POST', action, new URLSearchParams({ ...all, ...fields })))
  }

  async #send(method, path, body) {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(new URL(path, this.#origin), {
      method,
      redirect: 'manual',
      headers: { cookie, 'accept-language': 'en' },
      ...(body === undefined ? {} : { body }),
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '') this.#cookies.delete(name)
      else this.#cookies.set(name, value)
      this.#heard(value)
    }
    return response
  }

  async #follow(response) {
    this.html = await response.text()
    this.path = new URL(response.url).pathname
    const location = response.headers.get('location')
    if (location === null || response.status < 300 || response.status > 399) return
    if (location.startsWith('/')) await this.open(location)
    else this.left = location
  }
}

function unescaped(text) {
  const characters = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => characters[name])
}
