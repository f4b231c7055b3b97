import type { Finding } from './finding.js'

/** R9: who vouches for a signer is another operator than the one who gave the newest link. */
export class People {
  readonly #fault: (finding: Finding) => void
  readonly #invitedBy = new Map<string, string>()

  constructor(fault: (finding: Finding) => void) {
    this.#fault = fault
  }

  invite(signer: string, operator: string): void {
    this.#invitedBy.set(signer, operator)
  }

  vouch(index: number, signer: string, operator: string): void {
    if (this.#invitedBy.get(signer) !== operator) return
    this.#fault({ rule: 'R9', index, what: `operator ${operator} vouches for a link that he gave himself` })
  }
}
