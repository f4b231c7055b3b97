import { Connection, type Pkcs11Location } from './connection.js'
import { CK, isLost, returnValue } from './pkcs11.js'

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
    this.#connection = openPatiently(this.#location)
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

/**
 * SoftHSM answers CKR_GENERAL_ERROR to whoever looks at a token while another process writes its file, as each login does. It
 * passes within milliseconds, and nothing was counted against the PIN. (At the start processes take turns, see open-hsm.ts;
 * here it is the one that connects again while another starts.)
 */
const COLLISIONS_AT_MOST = 20
const COLLISION_PAUSE_MS = 10

function openPatiently(location: Pkcs11Location): Connection {
  for (let collisions = 0; ; collisions++) {
    try {
      return Connection.open(location)
    } catch (error) {
      if (returnValue(error) !== CK.CKR_GENERAL_ERROR || collisions === COLLISIONS_AT_MOST) throw error
      Atomics.wait(pause, 0, 0, COLLISION_PAUSE_MS)
    }
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4))
