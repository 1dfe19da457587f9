// Imports the modules it is given, one after another, and tells its parent. The next starts when the event loop is
// empty, so that a block which only starts its work is waited for, as if it were alone in the process.
import { pathToFileURL } from "node:url"

/** Tells which module, by its index, has started, or why it failed. */
export interface Message {
  readonly started: number
  readonly failure?: string
}

const files = process.argv.slice(2)
let started = -1
let settled = true

const tell = (message: Message, then?: () => void) => process.send?.(message, () => then?.())

const fail = (error: unknown) => {
  const failure = error instanceof Error ? (error.stack ?? error.message) : String(error)
  tell({ started, failure }, () => process.exit(1))
}

const next = () => {
  if (!settled) return fail("a top-level await never ends")
  if (process.exitCode !== undefined && process.exitCode !== 0) return fail(`its exit code is ${process.exitCode}`)
  const file = files[++started]
  if (file === undefined) return
  tell({ started })
  // A module that waits for nothing leaves the event loop empty, and Node would end the process without asking again.
  setImmediate(() => {})
  settled = false
  import(pathToFileURL(file).href).then(() => {
    settled = true
  }, fail)
}

process.on("uncaughtException", fail)
process.on("beforeExit", next)
next()
