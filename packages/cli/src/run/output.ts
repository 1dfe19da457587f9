/** Where the output of a job goes: through, or with `quiet` into files that are shown when the job fails. */
import { closeSync, createReadStream, mkdtempSync, openSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Output {
  /** Descriptors of standard output and standard error. */
  readonly descriptors: readonly [number, number]
  /** Shows what was kept. */
  readonly show: Effect.Effect<void>
}

const through: Output = { descriptors: [1, 2], show: Effect.void }

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

const kept: Effect.Effect<Output, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(Effect.sync(newFolder), (folder) =>
    Effect.sync(() => {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
    })
  )
  // Shown at once is better than a job that does not run.
  if (folder === undefined) return through
  const open = (name: string) =>
    Effect.acquireRelease(
      Effect.sync(() => openSync(join(folder, name), "a")),
      (descriptor) => Effect.sync(() => closeSync(descriptor))
    )
  const descriptors = [yield* open("stdout"), yield* open("stderr")] as const
  return {
    descriptors,
    show: Effect.promise(async () => {
      for (const name of streams) await pipeline(createReadStream(join(folder, name)), process[name], { end: false })
    })
  }
})

export const make = (quiet: boolean): Effect.Effect<Output, never, Scope.Scope> =>
  quiet ? kept : Effect.succeed(through)
