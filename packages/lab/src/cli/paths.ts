/** Files by the paths that users pass. */
import { accessSync, constants, existsSync, readFileSync, statSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { fail, UsageError } from "./options.ts"

const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  // The message of the system names a missing file by another path than the user did.
  return "code" in error && error.code === "ENOENT" && "syscall" in error ? "there is no such file" : error.message
}

export const unreadable = (path: string, error: unknown): UsageError =>
  new UsageError({ message: `${path} cannot be read: ${reasonOf(error)}` })

/** Reads a file; throws a {@link UsageError} if it cannot be read. */
export const textOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    throw unreadable(path, error)
  }
}

const isWritable = (path: string): boolean => {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Throws a {@link UsageError} if the file cannot be written, before the runs, which may take an hour. */
export const mustBeWritable = (option: string, path: string): void => {
  const file = resolve(path)
  const folder = dirname(file)
  const refuse = (reason: string): never => fail(`${option} ${path} cannot be written: ${reason}`)
  if (!existsSync(folder)) refuse(`there is no folder ${dirname(path)}`)
  if (!existsSync(file)) {
    if (!isWritable(folder)) refuse(`no permission to write into ${dirname(path)}`)
    return
  }
  if (statSync(file).isDirectory()) refuse("it is a folder")
  if (!isWritable(file)) refuse("no permission to change it")
}
