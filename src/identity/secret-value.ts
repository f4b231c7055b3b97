import { hash, randomBytes } from 'node:crypto'

/** A bearer value: 256 random bits as base64url, so that every door can carry it unescaped. */
export function newSecretValue(): string {
  return randomBytes(32).toString('base64url')
}

/** The only form in which tokens, SADs and client secrets are stored: SHA-256 of the value. */
export function secretHash(value: string): Buffer {
  return hash('sha256', value, 'buffer')
}
