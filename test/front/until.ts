/** Resolves once `condition` holds. What never holds ends with the test's own time-out. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve))
}

export interface Gate {
  readonly opened: Promise<void>
  open(): void
}

/** Something to wait for that a test lets happen. */
export function gate(): Gate {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}
