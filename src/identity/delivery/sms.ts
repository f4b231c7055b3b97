import type { Send } from './message.js'

/**
 * Text messages by whatever takes `POST {"to": "+48…", "text": "…"}` as JSON and answers 2xx, with a bearer token where one
 * is set. Follows no redirection, and reads nothing of the answer.
 */
export function sms(url: string, token: string | undefined, longestMs: number): Send {
  return async ({ to, text }) => {
    let status: number
    try {
      const answer = await fetch(url, {
        method: 'POST',
        redirect: 'manual',
        signal: AbortSignal.timeout(longestMs),
        headers: {
          'content-type': 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body: JSON.stringify({ to, text }),
      })
      status = answer.status
      await answer.body?.cancel()
    } catch (error) {
      const { name } = error as { name?: unknown }
      throw new Error(`the message was not taken over (${name === 'TimeoutError' ? 'too late' : 'no connection'})`)
    }
    if (status < 200 || status > 299) throw new Error(`the message was not taken over (status ${status})`)
  }
}
