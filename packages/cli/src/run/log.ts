/** The log of a job: a file that its output is appended to, and older ones beside it. */
import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { messageOf } from "../host.ts"
import type { LogSettings } from "./settings.ts"

const renamed = (from: string, to: string): void => {
  try {
    renameSync(from, to)
  } catch (error) {
    // Another run of the name may have moved it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
  }
}

/** `sync.log.1` becomes `sync.log.2`, and so on. */
const rotate = (file: string, keep: number): void => {
  rmSync(`${file}.${keep}`, { force: true })
  for (let number = keep - 1; number >= 1; number--) renamed(`${file}.${number}`, `${file}.${number + 1}`)
  if (keep === 0) rmSync(file, { force: true })
  else renamed(file, `${file}.1`)
}

/** Opens the log of a run, with a new file when the present one is large enough; what is wrong, as a text. */
export const open = (
  { folder, keep, size }: LogSettings,
  name: string
): { readonly descriptor: number; readonly file: string } | string => {
  const file = join(folder, `${name}.log`)
  try {
    mkdirSync(folder, { recursive: true })
    const descriptor = openSync(file, "a+")
    if (fstatSync(descriptor).size < size) return { descriptor, file }
    closeSync(descriptor)
    rotate(file, keep)
    return { descriptor: openSync(file, "a+"), file }
  } catch (error) {
    return messageOf(error)
  }
}
