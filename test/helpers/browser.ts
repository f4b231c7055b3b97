import { keepSecret, type TestService } from './test-service.js'

/** A browser without scripts: cookies, forms with their hidden fields, redirects one at a time. */
export class FormBrowser {
  readonly cookies = new Map<string, string>()
  readonly #service: TestService
  readonly #front: number
  readonly #headers: Record<string, string>
  html = ''
  url = ''

  constructor(service: TestService, front = 0, headers: Record<string, string> = { 'accept-language': 'en' }) {
    this.#service = service
    this.#front = front
    this.#headers = headers
  }

  /** GET, and on through redirects. @returns the status of the last answer */
  async open(path: string): Promise<number> {
    return this.#follow(await this.send('GET', path))
  }

  /** Fills in the form of the page whose action this is, with its hidden fields, and sends it. */
  async submit(action: string, fields: Record<string, string>): Promise<number> {
    return this.#follow(await this.send('POST', action, { ...this.hidden(action), ...fields }))
  }

  /** The hidden fields of a form. */
  hidden(action: string): Record<string, string> {
    const form = this.html.split('<form').find((part) => part.includes(`action="${action}"`)) ?? ''
    const inputs = form.split('</form>')[0]?.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g) ?? []
    return Object.fromEntries([...inputs].map(([, name, value]) => [name, unescaped(value ?? '')]))
  }

  async send(
    method: 'GET' | 'POST',
    path: string,
    fields?: Record<string, string>,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const response = await fetch(new URL(path, this.#service.urls[this.#front]), {
      method,
      redirect: 'manual',
      headers: {
        ...this.#headers,
        cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(fields === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
        ...headers,
      },
      ...(fields === undefined ? {} : { body: new URLSearchParams(fields).toString() }),
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '') this.cookies.delete(name)
      else this.cookies.set(name, value)
      if (name !== 'paraph-lang') keepSecret(value)
    }
    return response
  }

  async #follow(response: Response): Promise<number> {
    this.html = await response.text()
    this.url = new URL(response.url).pathname
    const to = response.headers.get('location')
    return response.status === 303 && to?.startsWith('/') ? this.open(to) : response.status
  }
}

function unescaped(text: string): string {
  return text
    .replaceAll('&amp;', '&')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
}
