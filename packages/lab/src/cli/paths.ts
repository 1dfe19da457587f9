/** Files by the paths that users pass. */
import { accessSync, constants, existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { basename, dirname, join, resolve } from "node:path"
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

/** More than a report of all scenarios needs. */
const room = 4 * 2 ** 20

/** Writes a file of that size beside it and removes it: only that shows that the disk has room, and within a quota. */
const probe = (path: string): unknown => {
  try {
    writeFileSync(path, Buffer.alloc(room), { flag: "wx" })
    return undefined
  } catch (error) {
    return error
  } finally {
    rmSync(path, { force: true })
  }
}

/** A device takes a byte, or says why not. */
const touch = (path: string): unknown => {
  try {
    writeFileSync(path, "\n")
    return undefined
  } catch (error) {
    return error
  }
}

/** Writes a result, or throws a {@link UsageError} that says why not. */
export const writeResult = (option: string, path: string, text: string): void => {
  try {
    writeFileSync(path, text)
  } catch (error) {
    throw new UsageError({ message: `${option} ${path} cannot be written: ${reasonOf(error)}` })
  }
}

/** Throws a {@link UsageError} if the file cannot be written, before the runs, which may take an hour. */
export const mustBeWritable = (option: string, path: string): void => {
  const file = resolve(path)
  const folder = dirname(file)
  const refuse = (reason: string): never => fail(`${option} ${path} cannot be written: ${reason}`)
  if (!existsSync(folder)) refuse(`there is no folder ${dirname(path)}`)
  const found = statSync(file, { throwIfNoEntry: false })
  if (found === undefined && !isWritable(folder)) refuse(`no permission to write into ${dirname(path)}`)
  if (found?.isDirectory() === true) refuse("it is a folder")
  if (found !== undefined && !isWritable(file)) refuse("no permission to change it")
  const isFile = found === undefined || found.isFile()
  // A file can be written also in a folder that takes no new ones.
  if (isFile ? !isWritable(folder) : !found.isCharacterDevice()) return
  const failed = isFile ? probe(join(folder, `.${basename(file)}.${process.pid}`)) : touch(file)
  if (failed !== undefined) refuse(reasonOf(failed))
}
