/**
 * What the operator's log may know of an error: its kind, code and where it was thrown. Messages are left out, since
 * parsers and drivers quote in them what they were given.
 */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { name: typeof error }
  const code = (error as { code?: unknown }).code
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return {
    name: error.name,
    ...(typeof code === 'string' ? { code } : {}),
    ...(frames.length === 0 ? {} : { at: frames.slice(0, 8).map((line) => line.trim()) }),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  }
}
