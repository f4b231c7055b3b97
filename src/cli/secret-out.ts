import { closeSync, fsyncSync, openSync, rmSync, writeFileSync } from 'node:fs'

/** A file that is there already, but empty. */
export interface NewFile {
  /** Writes one text, once, with a line break at its end. Durable on return. */
  write(text: string): void
  /** Takes the file away again. */
  discard(): void
}

/**
 * Takes the place for something that is told only once, before it is made: it must not be lost because a folder was
 * mistyped. Never touches a file that is there.
 * @throws Error saying what to do
 */
export function reserveFile(path: string, mode: 0o600 | 0o644): NewFile {
  const file = open(path, mode)
  let isOpen = true
  const close = () => {
    if (isOpen) closeSync(file)
    isOpen = false
  }
  return {
    write(text) {
      writeFileSync(file, `${text.trimEnd()}\n`)
      fsyncSync(file)
      close()
    },
    discard() {
      close()
      rmSync(path)
    },
  }
}

/**
 * Makes something, and writes a part of it to a new file where one is named.
 * @param textOf what to write; where it is undefined no file stays behind
 */
export async function keptIn<Made>(
  path: string | undefined,
  mode: 0o600 | 0o644,
  make: () => Promise<Made>,
  textOf: (made: Made) => string | undefined,
): Promise<Made> {
  const file = path === undefined ? undefined : reserveFile(path, mode)
  let text: string | undefined
  try {
    const made = await make()
    text = textOf(made)
    return made
  } finally {
    if (text === undefined) file?.discard()
    else file?.write(text)
  }
}

function open(path: string, mode: number): number {
  try {
    return openSync(path, 'wx', mode)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw new Error(`${path} is there already: name a new file`)
    if (code === 'ENOENT') throw new Error(`${path} cannot be made: its folder does not exist`)
    throw error
  }
}
