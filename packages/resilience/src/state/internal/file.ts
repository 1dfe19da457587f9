/** A file with the records of several policies, which is never half written. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

type Files = FileSystem.FileSystem

const Content = Schema.fromJsonString(
  Schema.Struct({ version: Schema.Literal(1), policies: Schema.Record(Schema.String, Schema.Json) })
)

const decode = Schema.decodeUnknownResult(Content)

/** Larger than any state: a log that was named by mistake is not read into memory. */
const mostBytes = 256 * 1024 * 1024

const isMissing = (error: PlatformError): boolean => error.reason._tag === "NotFound"

interface Found {
  readonly records: ReadonlyMap<string, string>
  /** What is wrong with the file. */
  readonly wrong: string | undefined
}

const nothing: Found = { records: new Map(), wrong: undefined }

const find = (files: Files, path: string): Effect.Effect<Found, PlatformError> =>
  Effect.gen(function* () {
    const { size } = yield* files.stat(path)
    if (Number(size) > mostBytes) return { ...nothing, wrong: `it has more than ${mostBytes} bytes` }
    const decoded = decode(yield* files.readFileString(path))
    if (Result.isFailure(decoded)) return { ...nothing, wrong: decoded.failure.message }
    const { policies } = decoded.success
    return {
      records: new Map(Object.entries(policies).map(([id, one]) => [id, JSON.stringify(one)])),
      wrong: undefined
    }
  }).pipe(Effect.catchIf(isMissing, () => Effect.succeed(nothing)))

/** What stands after the name of the file in the name of one that is being written. */
const suffix = ".tmp"

/** Milliseconds after which a file that is being written, and a lock, belong to a process that was killed. */
const abandonedAfter = { file: 60_000, lock: 250 }

const isOlder = (files: Files, path: string, millis: number): Effect.Effect<boolean, PlatformError> =>
  Effect.flatMap(files.stat(path), ({ mtime }) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const written = Option.match(mtime, { onNone: () => now, onSome: (date) => date.getTime() })
      // One from the future is that of a clock that was set back.
      return Math.abs(now - written) > millis
    })
  )

const split = (path: string): { readonly folder: string; readonly name: string } => {
  const end = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"))
  return { folder: end < 0 ? "." : path.slice(0, end + 1), name: path.slice(end + 1) }
}

/** Removes what processes that were killed have left. */
const tidy = (files: Files, path: string): Effect.Effect<void> => {
  const { folder, name } = split(path)
  return Effect.gen(function* () {
    const left = (yield* files.readDirectory(folder)).filter(
      (one) => one.startsWith(`${name}.`) && one.endsWith(suffix)
    )
    for (const one of left) {
      const file = folder === "." ? one : folder + one
      if (yield* isOlder(files, file, abandonedAfter.file)) yield* files.remove(file)
    }
  }).pipe(Effect.ignore)
}

export const load = (files: Files, path: string): Effect.Effect<ReadonlyMap<string, string>, PlatformError | Error> =>
  Effect.gen(function* () {
    yield* tidy(files, path)
    const { records, wrong } = yield* find(files, path)
    if (wrong === undefined) return records
    // @effect-diagnostics-next-line globalErrorInEffectFailure:off
    return yield* Effect.fail(new Error(`${path} is no state of policies: ${wrong}`))
  })

/** Tries to be the only one that writes, for some time: two at once lose no more than what one of them writes. */
const lock = (files: Files, path: string): Effect.Effect<Effect.Effect<void>> =>
  Effect.gen(function* () {
    const file = `${path}.lock`
    for (let attempts = 0; attempts < 100; attempts++) {
      const taken = yield* Effect.result(Effect.scoped(files.open(file, { flag: "wx" })))
      if (Result.isSuccess(taken)) return Effect.ignore(files.remove(file))
      if (taken.failure.reason._tag !== "AlreadyExists") return Effect.void
      const isAbandoned = yield* Effect.orElseSucceed(isOlder(files, file, abandonedAfter.lock), () => false)
      yield* isAbandoned ? Effect.ignore(files.remove(file)) : Effect.sleep(10)
    }
    return Effect.void
  })

/** Writes a file beside the other, and puts it in its place. */
const replace = (files: Files, path: string, text: string): Effect.Effect<void, PlatformError> =>
  Effect.gen(function* () {
    const name = `${path}.${(yield* Random.nextInt).toString(36)}${suffix}`
    const write = Effect.scoped(
      Effect.gen(function* () {
        const file = yield* files.open(name, { flag: "wx", mode: 0o600 })
        yield* file.writeAll(new TextEncoder().encode(text))
        yield* file.sync
      })
    )
    yield* Effect.onError(Effect.andThen(write, files.rename(name, path)), () =>
      Effect.ignore(files.remove(name, { force: true }))
    )
  })

/** Text is JSON already: it is put together as it is. */
const textOf = (records: ReadonlyMap<string, string>): string =>
  `{"version":1,"policies":{${Array.from(records, ([id, text]) => `\n${JSON.stringify(id)}:${text}`).join(",")}\n}}\n`

export const save = (
  files: Files,
  path: string,
  records: ReadonlyMap<string, string>
): Effect.Effect<void, PlatformError> =>
  Effect.gen(function* () {
    const target = yield* Effect.orElseSucceed(files.realPath(path), () => path)
    const write = Effect.gen(function* () {
      const { records: before, wrong } = yield* find(files, target)
      if (wrong !== undefined) yield* files.rename(target, `${target}.corrupted`)
      yield* replace(files, target, textOf(new Map([...before, ...records])))
    })
    const locked = Effect.acquireUseRelease(
      lock(files, target),
      () => write,
      (release) => release
    )
    const inNewFolder = Effect.andThen(files.makeDirectory(split(target).folder, { recursive: true }), locked)
    yield* Effect.catchIf(locked, isMissing, () => inNewFolder)
  })
