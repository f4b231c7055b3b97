import { createTransport } from 'nodemailer'
import type { Send } from './message.js'

/**
 * Mail by SMTP (RFC 5321), over TLS everywhere but to this computer itself: `smtps://` at once, `smtp://` by STARTTLS.
 * @param url `smtp[s]://[user@]host[:port]`
 */
export function smtp(url: string, from: string, password: string | undefined, longestMs: number): Send {
  const { protocol, hostname, port, username } = new URL(url)
  const secure = protocol === 'smtps:'
  const local = ['127.0.0.1', '[::1]', 'localhost'].includes(hostname)
  const transport = createTransport({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (secure ? 465 : 587) : Number(port),
    secure,
    requireTLS: !secure && !local,
    ...(username === '' ? {} : { auth: { user: decodeURIComponent(username), pass: password ?? '' } }),
    connectionTimeout: longestMs,
    greetingTimeout: longestMs,
    socketTimeout: longestMs,
    dnsTimeout: longestMs,
    // What is sent is what stands here: no file and no address is read for it.
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return async ({ to, subject, text }) => {
    try {
      await transport.sendMail({ from, to: { name: '', address: to }, subject, text })
    } catch (error) {
      // What a mail server says may hold what was sent to it.
      const { code, responseCode } = error as { code?: unknown; responseCode?: unknown }
      throw new Error(`mail was not taken over (${[code, responseCode].filter(Boolean).join(' ') || 'failed'})`)
    }
  }
}
