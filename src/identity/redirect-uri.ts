const LOOPBACK = ['127.0.0.1', '[::1]', 'localhost']

/** Whether an address is that of a program on the signer's own computer (RFC 8252 §7.3). */
export function isLoopback(uri: string): boolean {
  if (!URL.canParse(uri)) return false
  const { protocol, hostname } = new URL(uri)
  return protocol === 'http:' && LOOPBACK.includes(hostname)
}

/** Whether it is exactly a registered address, or a registered one of this computer with another port. */
export function redirectAllowed(registered: readonly string[], uri: string): boolean {
  if (registered.includes(uri)) return true
  if (!isLoopback(uri)) return false
  const wanted = withoutPort(uri)
  return registered.some((one) => isLoopback(one) && withoutPort(one) === wanted)
}

function withoutPort(uri: string): string {
  const url = new URL(uri)
  url.port = ''
  return url.href
}
