/** Where the output of a job goes: through, with `quiet` into files that are shown when the job fails, or into a log. */
import { closeSync, createReadStream, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Readable } from "node:stream"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Host from "../host.ts"
import * as Log from "./log.ts"
import type { Settings } from "./settings.ts"

export interface Output {
  /** Descriptors of standard output and standard error. */
  readonly descriptors: readonly [number, number]
  /** Shows what was kept. */
  readonly show: Effect.Effect<void>
  /** The end of what was kept; `undefined` when the output went through. */
  readonly tail: () => string | undefined
  /** Notes in a log what is not output of the job. */
  readonly note: (text: string) => void
}

/** Bytes of the end of the output that go with a record. */
export const tailSize = 10_000

/** The last bytes of a file from a position on, as text. */
const endOf = (descriptor: number, from: number, most: number): string => {
  const { size } = fstatSync(descriptor)
  const begin = Math.max(from, size - most)
  const bytes = Buffer.alloc(Math.max(0, size - begin))
  const read = readSync(descriptor, bytes, 0, bytes.length, begin)
  const text = bytes.toString("utf8", 0, read)
  // A character that is cut in two.
  return begin > from ? `…${text.replace(/^�+/, "")}` : text
}

const nothing = (): void => {}

const through = Effect.map(
  Host.Host,
  ({ stderr, stdout }): Output => ({
    descriptors: [stdout.descriptor, stderr.descriptor],
    show: Effect.void,
    tail: () => undefined,
    note: nothing
  })
)

const streams = ["stdout", "stderr"] as const

/** A new folder; one in memory when the disk is full or read-only; none when that is not possible either. */
const newFolder = (): string | undefined => {
  for (const parent of [tmpdir(), "/dev/shm"]) {
    try {
      return mkdtempSync(join(parent, "resilience-"))
    } catch {}
  }
  return undefined
}

/** A folder that is there until the scope closes. */
const folder = Effect.acquireRelease(Effect.sync(newFolder), (folder) =>
  Effect.sync(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  })
)

const opened = (file: string, flags: "a+" | "r") =>
  Effect.acquireRelease(
    Effect.sync(() => openSync(file, flags)),
    (descriptor) => Effect.sync(() => closeSync(descriptor))
  )

const kept: Effect.Effect<Output, never, Scope.Scope> = Effect.gen(function* () {
  const path = yield* folder
  // Shown at once is better than a job that does not run.
  if (path === undefined) return yield* through
  const host = yield* Host.Host
  const descriptors = [yield* opened(join(path, "stdout"), "a+"), yield* opened(join(path, "stderr"), "a+")] as const
  return {
    descriptors,
    tail: () => descriptors.map((descriptor) => endOf(descriptor, 0, tailSize / 2)).join(""),
    note: nothing,
    show: Effect.promise(async () => {
      for (const name of streams) {
        const stream = createReadStream(join(path, name), "utf8")
        for await (const chunk of stream) host[name].write(String(chunk))
      }
    })
  }
})

const logged = (settings: Settings, log: NonNullable<Settings["log"]>): Effect.Effect<Output, never, Scope.Scope> =>
  Effect.gen(function* () {
    const host = yield* Host.Host
    const found = Log.open(log, settings.name)
    if (typeof found === "string") {
      host.stderr.write(`resilience: ${settings.name}: no log: ${found}\n`)
      return yield* settings.quiet ? kept : through
    }
    const { descriptor, file } = found
    yield* Effect.addFinalizer(() => Effect.sync(() => closeSync(descriptor)))
    const from = fstatSync(descriptor).size
    const tail = () => endOf(descriptor, from, tailSize)
    return {
      descriptors: [descriptor, descriptor],
      tail,
      note: (text) => {
        try {
          writeSync(descriptor, `${text}\n`)
        } catch {
          // On a full disk: what the job writes is lost too.
        }
      },
      show: Effect.sync(() => host.stderr.write(`${tail()}resilience: ${settings.name}: the log is ${file}\n`))
    }
  })

export const make = (settings: Settings): Effect.Effect<Output, never, Scope.Scope> =>
  settings.log !== undefined ? logged(settings, settings.log) : settings.quiet ? kept : through

// ---------------------------------------------------------------------------------------------------------------------
// Input
// ---------------------------------------------------------------------------------------------------------------------

/** The largest input that is kept. */
export const inputLimit = 1024 * 1024

/** All that can be read, up to the limit. */
export const readInput = (stream: Readable): Effect.Effect<Uint8Array | "too large"> =>
  Effect.callback((resume) => {
    const chunks: Array<Buffer> = []
    let size = 0
    const end = (result: Uint8Array | "too large"): void => {
      stream.removeAllListeners()
      // A pipe that stays open would keep the process.
      stream.destroy()
      resume(Effect.succeed(result))
    }
    stream.on("data", (chunk: Buffer | string) => {
      chunks.push(Buffer.from(chunk))
      size += chunk.length
      if (size > inputLimit) end("too large")
    })
    stream.once("end", () => end(Buffer.concat(chunks)))
    // There is no input: it was closed.
    stream.once("error", () => end(Buffer.concat(chunks)))
    return Effect.sync(() => {
      stream.destroy()
    })
  })

/** Opens the standard input of an attempt: each attempt gets all of what was kept, or what is left of that of the command. */
export const makeInput = (input: Uint8Array | undefined): Effect.Effect<() => number | "inherit", never, Scope.Scope> =>
  Effect.gen(function* () {
    if (input === undefined) return () => "inherit"
    const path = yield* folder
    if (path === undefined) return () => "inherit"
    const file = join(path, "stdin")
    const descriptor = yield* opened(file, "a+")
    writeSync(descriptor, input)
    return () => openSync(file, "r")
  })
