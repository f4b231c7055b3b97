import { connect, createServer, type Server, type Socket } from 'node:net'

export type ProxyMode =
  /** Everything goes through. */
  | 'pass'
  /** Connections are closed as soon as they are made, and the ones there are cut. */
  | 'refuse'
  /** Bytes go nowhere; connections stay open. */
  | 'hang'
  /** The next message that names the watched statement is not forwarded, and its connection is cut; then all passes again. */
  | 'cut-before'
  /** It is forwarded; the server's answer is swallowed and the connection cut. */
  | 'cut-after'

/** A TCP proxy before a PostgreSQL server that breaks things at the moment a test names. */
export class FaultProxy {
  readonly #server: Server
  readonly #pairs = new Set<[Socket, Socket]>()
  #mode: ProxyMode = 'pass'
  #statement = Buffer.alloc(0)
  #first: Buffer | undefined

  #target: { readonly host: string; readonly port: number }

  private constructor(target: { host: string; port: number }) {
    this.#target = target
    this.#server = createServer((client) => this.#serve(client))
  }

  /** @param url PostgreSQL connection string of the real server */
  static async before(url: string): Promise<FaultProxy> {
    const { hostname, port } = new URL(url)
    const proxy = new FaultProxy({ host: hostname, port: Number(port) })
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  /** The same connection string, through this proxy. */
  through(url: string): string {
    const proxied = new URL(url)
    proxied.hostname = '127.0.0.1'
    proxied.port = String((this.#server.address() as { port: number }).port)
    return proxied.toString()
  }

  /**
   * @param statement text that the watched message contains, for the two cutting modes
   * @param first text of a message that must have gone by before
   */
  set(mode: ProxyMode, statement = '', first?: string): void {
    this.#mode = mode
    this.#statement = Buffer.from(statement)
    this.#first = first === undefined ? undefined : Buffer.from(first)
    if (mode === 'refuse') for (const pair of this.#pairs) cut(pair)
  }

  /** Another server is the database from now on; connections to the former are cut. */
  failOver(url: string): void {
    const { hostname, port } = new URL(url)
    this.#target = { host: hostname, port: Number(port) }
    for (const pair of this.#pairs) cut(pair)
  }

  async close(): Promise<void> {
    for (const pair of this.#pairs) cut(pair)
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(client: Socket): void {
    if (this.#mode === 'refuse') {
      client.destroy()
      return
    }
    const server = connect(this.#target)
    const pair: [Socket, Socket] = [client, server]
    this.#pairs.add(pair)
    let doomed = false
    for (const socket of pair) {
      socket.on('error', () => cut(pair))
      socket.on('close', () => {
        cut(pair)
        this.#pairs.delete(pair)
      })
    }
    client.on('data', (chunk) => {
      if (this.#mode === 'hang') return
      if (this.#first !== undefined && chunk.includes(this.#first)) this.#first = undefined
      else if (
        this.#first === undefined &&
        (this.#mode === 'cut-before' || this.#mode === 'cut-after') &&
        chunk.includes(this.#statement)
      ) {
        const forward = this.#mode === 'cut-after'
        this.#mode = 'pass'
        if (forward) {
          doomed = true
          server.write(chunk)
        } else cut(pair)
        return
      }
      server.write(chunk)
    })
    server.on('data', (chunk) => {
      if (this.#mode === 'hang') return
      if (doomed) {
        cut(pair)
        return
      }
      client.write(chunk)
    })
  }
}

function cut([client, server]: [Socket, Socket]): void {
  client.destroy()
  server.destroy()
}
