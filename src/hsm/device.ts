import { Connection, type Pkcs11Location } from './connection.js'
import { isLost } from './pkcs11.js'

/** One token as the service sees it over its life: connections come and go, the device stays. */
export class Device {
  readonly #location: Pkcs11Location
  #connection: Connection | undefined

  constructor(location: Pkcs11Location) {
    this.#location = location
  }

  /** The connection there is, or a new one. @throws HsmError or an error of the binding */
  connect(): Connection {
    if (this.#connection?.usable) return this.#connection
    this.drop(this.#connection)
    this.#connection = Connection.open(this.#location)
    return this.#connection
  }

  /** Closes a connection that turned out to be lost, so that the next use opens another. */
  drop(connection: Connection | undefined): void {
    connection?.close()
    if (this.#connection === connection) this.#connection = undefined
  }

  /** Runs something that may be done twice, once more when the connection turns out to be lost. */
  async connected<Result>(work: (connection: Connection) => Result | Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt++) {
      let connection: Connection | undefined
      try {
        connection = this.connect()
        return await work(connection)
      } catch (error) {
        if (!isLost(error)) throw error
        this.drop(connection)
        if (attempt > 1) throw error
      }
    }
  }

  /** Logs out with the last session. Nothing may be under way. */
  close(): void {
    this.drop(this.#connection)
    this.#location.module.release()
  }
}
