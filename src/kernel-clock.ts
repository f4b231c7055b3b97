import { endianness } from 'node:os'
import koffi from 'koffi'

/** What the operating system knows of its clock, in microseconds. */
export interface ClockQuality {
  /** `none` where the system tells nothing. */
  readonly source: 'kernel' | 'none'
  /** Whether something sets this clock right, and has done so lately enough. */
  readonly synchronized: boolean
  /** How far the clock still is from where it is being moved. */
  readonly offset: number
  /** How wrong it may be at most. */
  readonly error: number
}

/** Asks the system; never waits. */
export type ReadClockQuality = () => ClockQuality

const NOTHING: ClockQuality = { source: 'none', synchronized: false, offset: 0, error: 0 }

/** `struct timex` of Linux on 64-bit machines: where its members stand, and its size. */
const TIMEX = { offset: 8, error: 24, status: 40, size: 208 } as const
/** Nothing disciplines the clock, or too long ago; offsets are in nanoseconds. */
const STA_UNSYNC = 0x0040
const STA_NANO = 0x2000

/**
 * adjtimex(2), asked without changing anything. An NTP service tells the kernel when it has set the clock (chrony where it
 * is configured with `rtcsync`); after hours without it the kernel takes that back by itself. A container sees the
 * clock of its host. Systems other than 64-bit Linux tell nothing.
 */
export const readKernelClock: ReadClockQuality = openKernelClock()

function openKernelClock(): ReadClockQuality {
  const wide = /^(x64|arm64|ppc64|s390x|riscv64|loong64)$/.test(process.arch)
  if (process.platform !== 'linux' || !wide || endianness() !== 'LE') return () => NOTHING
  let adjtimex: (timex: Buffer) => number
  try {
    adjtimex = koffi.load(null).func('int adjtimex(void *timex)') as unknown as typeof adjtimex
  } catch {
    return () => NOTHING
  }
  return () => {
    const timex = Buffer.alloc(TIMEX.size)
    if (adjtimex(timex) < 0) return NOTHING
    const status = timex.readInt32LE(TIMEX.status)
    const offset = Number(timex.readBigInt64LE(TIMEX.offset))
    return {
      source: 'kernel',
      synchronized: (status & STA_UNSYNC) === 0,
      offset: Math.round(status & STA_NANO ? offset / 1000 : offset),
      error: Number(timex.readBigInt64LE(TIMEX.error)),
    }
  }
}
