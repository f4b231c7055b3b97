/** What a check found. */
export interface Finding {
  readonly check: string
  /** `warn`: it works, and somebody should look; `fail`: it does not work, or is not safe. */
  readonly state: 'ok' | 'warn' | 'fail'
  readonly message: string
  /** What to do. */
  readonly remedy?: string
}

export const ok = (check: string, message: string): Finding => ({ check, state: 'ok', message })
export const warn = (check: string, message: string, remedy: string): Finding => ({
  check,
  state: 'warn',
  message,
  remedy,
})
export const fail = (check: string, message: string, remedy: string): Finding => ({
  check,
  state: 'fail',
  message,
  remedy,
})
