/** A part of our pages, whose people sign in on a page of its own and have a cookie of their own. */
export interface Area {
  /** What the log calls all of its addresses, and where it begins. */
  readonly home: '/portal' | '/auditor'
  readonly cookie: 'session' | 'operator'
}

const ACCOUNT: Area = { home: '/portal', cookie: 'session' }
const AUDITOR: Area = { home: '/auditor', cookie: 'operator' }

/** Everything that is not for auditors is the signers'. */
export function areaOf(path: string): Area {
  return path === AUDITOR.home || path.startsWith(`${AUDITOR.home}/`) ? AUDITOR : ACCOUNT
}

/** The sign-in page, from which the way leads back to `next`, a path of our own. */
export function signInPath({ home }: Area, next: string, over: boolean): string {
  return `${home}/sign-in?next=${encodeURIComponent(next)}${over ? '&over=1' : ''}`
}
