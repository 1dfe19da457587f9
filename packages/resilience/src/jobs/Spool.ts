/**
 * Keeps letters in a directory, which the processes of a machine may share: each letter is a folder that operators can read.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import * as Platform from "../runtime/platform.ts"
import { attempt } from "../runtime/read.ts"
import * as DeadLetter from "./DeadLetter.ts"

type Files = FileSystem.FileSystem

// ---------------------------------------------------------------------------------------------------------------------
// Names
// ---------------------------------------------------------------------------------------------------------------------

/** The longest name of a folder, in bytes: file systems allow 255. */
const longestName = 180

/**
 * The name of a folder for a name or a key: different names have different folders, also where a file system ignores case. Of a long
 * one the end is a hash.
 */
const toFolder = (text: string): Effect.Effect<string> =>
  Effect.suspend(() => {
    let name = ""
    for (const byte of new TextEncoder().encode(text)) {
      const char = String.fromCharCode(byte)
      name += /[a-z0-9_-]/.test(char) ? char : `%${byte.toString(16).padStart(2, "0")}`
    }
    if (name.length <= longestName) return Effect.succeed(name)
    return Effect.map(
      Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
      (hash) => {
        const hex = Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("")
        // No other name has this character.
        return `${name.slice(0, longestName - 65)}~${hex}`
      }
    )
  })

/** The name of a folder as text; `undefined` for one that only a hash tells. */
const fromFolder = (folder: string): string | undefined => {
  if (!/^([a-z0-9_-]|%[0-9a-f]{2})+$/.test(folder)) return undefined
  const bytes = folder
    .match(/%..|./g)
    ?.map((part) => (part.length === 3 ? Number.parseInt(part.slice(1), 16) : part.charCodeAt(0)))
  return new TextDecoder().decode(new Uint8Array(bytes ?? []))
}

/**
 * The name of the one file of a letter that says where it is. Renaming it is the only way to change that, and succeeds in one process:
 * no two markers have one name, because `birth` is of this letter only, and `token` of this claim.
 */
interface Marker {
  readonly file: string
  readonly status: DeadLetter.Status | "done"
  /** Tells a letter from one that had its id before it. */
  readonly birth: string
  readonly replays: number
  readonly at: number
  readonly token: string
}

const markerFile = ({ at, birth, replays, status, token }: Omit<Marker, "file">): string =>
  [status, birth, replays, Math.round(at), token].join(".")

const parse = (file: string): Marker | undefined => {
  const [status, birth = "", replays, at, token = ""] = file.split(".")
  if (status !== "waiting" && status !== "replaying" && status !== "parked" && status !== "done") return undefined
  return { file, status, birth, replays: Number(replays), at: Number(at), token }
}

const random = (): string => SecureRandom.uuidV4Unsafe().replaceAll("-", "")

// ---------------------------------------------------------------------------------------------------------------------
// Files
// ---------------------------------------------------------------------------------------------------------------------

const Body = Schema.fromJsonString(
  Schema.Struct({
    version: Schema.Literal(1),
    id: Schema.String,
    message: Schema.Json,
    putAt: Schema.Number,
    error: Schema.String,
    attempts: Schema.Number
  })
)

const decodeBody = Schema.decodeUnknownResult(Body)

const isMissing = (error: PlatformError): boolean => error.reason._tag === "NotFound"

/** `undefined` when it is missing. */
const ifThere = <A>(effect: Effect.Effect<A, PlatformError>): Effect.Effect<A | undefined, PlatformError> =>
  Effect.catchIf(effect, isMissing, () => Effect.undefined)

/** `false` when it is missing. */
const isDone = (effect: Effect.Effect<void, PlatformError>): Effect.Effect<boolean, PlatformError> =>
  Effect.catchIf(Effect.as(effect, true), isMissing, () => Effect.succeed(false))

const write = (files: Files, path: string, text: string): Effect.Effect<void, PlatformError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const file = yield* files.open(path, { flag: "wx", mode: 0o600 })
      yield* file.writeAll(new TextEncoder().encode(text))
      yield* file.sync
    })
  )

/** Flushes the entries of a folder, where the platform can. */
const flush = (files: Files, folder: string): Effect.Effect<void> =>
  Effect.ignore(Effect.scoped(Effect.flatMap(files.open(folder, { flag: "r" }), (file) => file.sync)))

/** Milliseconds after which a letter that is being written belongs to a process that was killed. */
const abandonedAfter = 600_000

/** What is used of `node:fs`. */
interface Rmdir {
  /** Removes a folder, only if it is empty. */
  readonly rmdirSync: (path: string) => void
}

/** Where the letters of a name are, and those that are being written. */
interface Place {
  readonly letters: string
  readonly writing: string
}

/** One letter: its folder, its marker, and what is in the folder. */
interface Found {
  readonly folder: string
  readonly marker: Marker
  readonly names: ReadonlyArray<string>
}

class Spool {
  private readonly files: Files
  private readonly directory: string

  constructor(files: Files, directory: string) {
    this.files = files
    this.directory = directory
  }

  private place(letters: string): Effect.Effect<Place> {
    return Effect.map(toFolder(letters), (name) => ({
      letters: `${this.directory}/${name}/letters`,
      writing: `${this.directory}/${name}/writing`
    }))
  }

  private folderOf(letters: string, id: string): Effect.Effect<string> {
    return Effect.zipWith(this.place(letters), toFolder(id), (place, name) => `${place.letters}/${name}`)
  }

  /** The letter in a folder. What is left of one whose removal was not finished is removed. */
  private find(folder: string, reads = 3): Effect.Effect<Found | undefined, PlatformError> {
    return Effect.gen({ self: this }, function* () {
      const names = yield* ifThere(this.files.readDirectory(folder))
      if (names === undefined) return undefined
      const markers = names.map(parse).filter((marker) => marker !== undefined)
      const isGone =
        markers.some(({ status }) => status === "done") || !names.some((name) => name.startsWith("letter."))
      if (isGone) return yield* this.sweep(folder, names)
      const [marker] = markers
      if (marker !== undefined) return { folder, marker, names }
      // Reading a folder while a file in it is renamed may miss both names.
      return reads > 1 ? yield* this.find(folder, reads - 1) : undefined
    })
  }

  /**
   * Removes what a letter that is gone has left, the marker last. The names are of that letter only: another one of its id has other names,
   * and is not put before the folder is empty.
   */
  private sweep(folder: string, names: ReadonlyArray<string>): Effect.Effect<undefined> {
    return Effect.gen({ self: this }, function* () {
      const isMarker = (name: string) => name.startsWith("done.")
      for (const name of [...names.filter((name) => !isMarker(name)), ...names.filter(isMarker)]) {
        yield* this.files.remove(`${folder}/${name}`, { force: true })
      }
      // `remove` of Effect takes a folder with all that is in it, or none. Without Node's an empty folder is left, which does no harm.
      yield* Effect.sync(() => attempt(() => Platform.builtin<Rmdir>("node:fs")?.rmdirSync(folder), undefined))
    }).pipe(Effect.ignore, Effect.as(undefined))
  }

  private body({ folder, marker }: Found) {
    return Effect.map(ifThere(this.files.readFileString(`${folder}/letter.${marker.birth}.json`)), (text) =>
      text === undefined ? undefined : decodeBody(text)
    )
  }

  private reason({ folder, marker, names }: Found): Effect.Effect<string, PlatformError> {
    const name = `reason.${marker.birth}.txt`
    if (!names.includes(name)) return Effect.succeed("")
    return Effect.map(ifThere(this.files.readFileString(`${folder}/${name}`)), (text) => text ?? "")
  }

  private entry(found: Found): Effect.Effect<DeadLetter.Entry | undefined, PlatformError> {
    return Effect.gen({ self: this }, function* () {
      const body = yield* this.body(found)
      const { at, replays, status } = found.marker
      if (body === undefined || status === "done") return undefined
      const reason = yield* this.reason(found)
      const rest = { status, replays, at, reason }
      if (Result.isSuccess(body)) {
        const { version: _, ...letter } = body.success
        return { ...letter, ...rest }
      }
      // A damaged file is shown, and parked when it is replayed: no schema decodes it.
      const id = fromFolder(found.folder.slice(found.folder.lastIndexOf("/") + 1)) ?? found.folder
      return { id, message: null, putAt: at, error: `damaged: ${body.failure.message}`, attempts: 0, ...rest }
    })
  }

  /** Renames the marker; `false` when it is not there any more. */
  private mark(found: Found, to: Partial<Omit<Marker, "file" | "birth">>): Effect.Effect<boolean, PlatformError> {
    const { folder, marker } = found
    return isDone(this.files.rename(`${folder}/${marker.file}`, `${folder}/${markerFile({ ...marker, ...to })}`))
  }

  /** `false` when the letter is gone. */
  private writeReason({ folder, marker }: Found, reason: string): Effect.Effect<boolean, PlatformError> {
    const beside = `${folder.slice(0, folder.lastIndexOf("/letters/"))}/writing/${random()}`
    const written = Effect.andThen(
      write(this.files, beside, reason),
      isDone(this.files.rename(beside, `${folder}/reason.${marker.birth}.txt`))
    )
    return Effect.ensuring(written, Effect.ignore(this.files.remove(beside, { force: true })))
  }

  /** What a letter is changed to when it is as `isReady` wants it. Another process may be faster: then it is looked at again. */
  private change(
    letters: string,
    id: string,
    isReady: (marker: Marker) => boolean,
    to: (found: Found) => Effect.Effect<boolean, PlatformError>
  ): Effect.Effect<boolean, PlatformError> {
    return Effect.gen({ self: this }, function* () {
      const folder = yield* this.folderOf(letters, id)
      for (let looks = 0; looks < 3; looks++) {
        const found = yield* this.find(folder)
        if (found === undefined || !isReady(found.marker)) return false
        if (yield* to(found)) return true
      }
      return false
    })
  }

  private remove(found: Found): Effect.Effect<boolean, PlatformError> {
    // What is gone is swept when it is looked for.
    return Effect.tap(this.mark(found, { status: "done" }), (isDone) =>
      isDone ? Effect.ignore(this.find(found.folder)) : Effect.void
    )
  }

  private readonly all = (letters: string) =>
    Effect.gen({ self: this }, function* () {
      const place = yield* this.place(letters)
      const names = (yield* ifThere(this.files.readDirectory(place.letters))) ?? []
      const entries: Array<DeadLetter.Entry> = []
      for (const name of names) {
        const found = yield* this.find(`${place.letters}/${name}`)
        const entry = found && (yield* this.entry(found))
        if (entry !== undefined) entries.push(entry)
      }
      return entries
    })

  /** Removes what processes that were killed have left of letters that were never put. */
  private tidy({ writing }: Place): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const now = yield* Clock.currentTimeMillis
      for (const name of yield* this.files.readDirectory(writing)) {
        const { mtime } = yield* this.files.stat(`${writing}/${name}`)
        const age = Option.match(mtime, { onNone: () => 0, onSome: (date) => now - date.getTime() })
        if (age > abandonedAfter) yield* this.files.remove(`${writing}/${name}`, { recursive: true, force: true })
      }
    }).pipe(
      Effect.ignore,
      // The age of a file is by the time of the disk, which no test clock knows.
      Effect.provideService(Clock.Clock, Time.liveClock)
    )
  }

  private publish(place: Place, id: string, text: string, at: number) {
    const { files } = this
    const birth = random()
    const written = `${place.writing}/${birth}`
    return Effect.gen({ self: this }, function* () {
      const folder = `${place.letters}/${yield* toFolder(id)}`
      yield* files.makeDirectory(written, { recursive: true, mode: 0o700 })
      yield* write(files, `${written}/letter.${birth}.json`, text)
      const marker = markerFile({ status: "waiting", birth, replays: 0, at, token: "" })
      yield* files.writeFileString(`${written}/${marker}`, "", { flag: "wx", mode: 0o600 })
      yield* flush(files, written)
      yield* files.makeDirectory(place.letters, { recursive: true, mode: 0o700 })
      for (let renames = 1; ; renames++) {
        // The moment from which the letter is there. A folder with a letter in it is not replaced.
        const renamed = yield* Effect.result(files.rename(written, folder))
        if (Result.isSuccess(renamed)) break
        if ((yield* this.find(folder)) !== undefined) return false
        // Its letter has just left.
        if (renames === 5) return yield* Effect.fail(renamed.failure)
      }
      yield* flush(files, place.letters)
      return true
    }).pipe(Effect.ensuring(Effect.ignore(files.remove(written, { recursive: true, force: true }))))
  }

  readonly store: DeadLetter.Store["Service"] = {
    put: (letters, { attempts, error, id, message, putAt }) =>
      Effect.gen({ self: this }, function* () {
        const place = yield* this.place(letters)
        const text = JSON.stringify({ version: 1, id, putAt, attempts, error, message })
        const folder = `${place.letters}/${yield* toFolder(id)}`
        if ((yield* this.find(folder)) !== undefined) return false
        const added = yield* this.publish(place, id, text, putAt)
        yield* this.tidy(place)
        return added
      }),
    list: this.all,
    get: (letters, id) =>
      Effect.flatMap(this.folderOf(letters, id), (folder) =>
        Effect.flatMap(this.find(folder), (found) => (found === undefined ? Effect.undefined : this.entry(found)))
      ),
    claim: (letters, id, { now, token, until }) =>
      Effect.gen({ self: this }, function* () {
        const found = yield* this.find(yield* this.folderOf(letters, id))
        if (found === undefined || found.marker.status === "parked" || found.marker.at > now) return undefined
        const claim = { status: "replaying", replays: found.marker.replays + 1, at: until, token } as const
        const entry = yield* this.entry(found)
        if (entry === undefined || !(yield* this.mark(found, claim))) return undefined
        const { token: _, ...rest } = claim
        return { ...entry, ...rest }
      }),
    renew: (letters, id, token, until) =>
      this.change(letters, id, isClaim(token), (found) => this.mark(found, { at: until })),
    settle: (letters, id, token, to) =>
      this.change(letters, id, isClaim(token), (found) => {
        if (to._tag === "Done") return this.remove(found)
        const { at, reason } = to
        const marked =
          to._tag === "Parked"
            ? this.mark(found, { status: "parked", at, token: "" })
            : this.mark(found, { status: "waiting", at, replays: to.replays, token: "" })
        return Effect.flatMap(this.writeReason(found, reason), (isThere) => (isThere ? marked : Effect.succeed(false)))
      }),
    retry: (letters, id) =>
      this.change(
        letters,
        id,
        ({ status }) => status !== "replaying",
        (found) =>
          Effect.flatMap(this.body(found), (body) => {
            if (body === undefined) return Effect.succeed(false)
            const at = Result.isSuccess(body) ? body.success.putAt : found.marker.at
            return this.mark(found, { status: "waiting", replays: 0, at, token: "" })
          })
      ),
    drop: (letters, id) =>
      this.change(
        letters,
        id,
        () => true,
        (found) => this.remove(found)
      ),
    names: Effect.suspend(() =>
      Effect.map(ifThere(this.files.readDirectory(this.directory)), (names) =>
        (names ?? []).map(fromFolder).filter((name) => name !== undefined)
      )
    )
  }
}

const isClaim =
  (token: string) =>
  (marker: Marker): boolean =>
    marker.status === "replaying" && marker.token === token

/**
 * Where the letters are.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Created when there is none. It must be on a local disk. */
  readonly directory: string
}

/**
 * Keeps letters in a directory.
 *
 * **Details** A letter is a folder `NAME/letters/KEY`, with its message in `letter.*.json`, the reason of its last failure in
 * `reason.*.txt`, and one empty file whose name says where it is. It is written beside, flushed to the disk, and put in its place by one
 * rename; each later step is one rename too. So a process may be killed at any moment: a letter is there as a whole or not at all, and one
 * that was being replayed is claimed again when its lease ends. Many processes may put, replay, list and drop at once.
 *
 * Files can be read by their owner only. `FileSystem` is that of `@effect/platform-node`, or of another platform.
 *
 * **Gotchas** Leases are compared with the wall clock. A network file system on which a rename is not atomic is not safe.
 *
 * **Example** (Letters of a service)
 *
 * ```ts no-run
 * import { NodeFileSystem } from "@effect/platform-node"
 * import { Layer, Schema } from "effect"
 * import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
 * import * as Spool from "effect-resilience/jobs/Spool"
 *
 * class Later extends DeadLetter.Service<Later>()("app/Later", { message: Schema.String }) {}
 *
 * const live = Later.layer.pipe(
 *   Layer.provide(Spool.layer({ directory: "/var/spool/app" })),
 *   Layer.provide(NodeFileSystem.layer)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<DeadLetter.Store, never, FileSystem.FileSystem> => {
  const where = "Spool.layer"
  Check.noUnknown(where, options, ["directory"])
  const directory = Check.nonEmpty(where, "directory", options.directory)
  return Layer.effect(
    DeadLetter.Store,
    Effect.map(FileSystem.FileSystem, (files) => new Spool(files, directory).store)
  )
}
