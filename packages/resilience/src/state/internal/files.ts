/** Files that are written beside others. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"

export type Files = FileSystem.FileSystem

export const isMissing = (error: PlatformError): boolean => error.reason._tag === "NotFound"

/** Writes a file that must not be there yet, for its owner alone, and waits until it is on the disk. */
export const writeNew = (files: Files, path: string, text: string): Effect.Effect<void, PlatformError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const file = yield* files.open(path, { flag: "wx", mode: 0o600 })
      yield* file.writeAll(new TextEncoder().encode(text))
      yield* file.sync
    })
  )
