/** No letter is lost and none is done twice beyond at-least-once, wherever a process is killed. */
import { readdirSync, rmSync } from "node:fs"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
import * as Spool from "effect-resilience/jobs/Spool"
import { isEach, killedAgain, kills } from "./support/crashes.ts"
import { killedAt, spoolIn, temporary } from "./support/stores.ts"

const make = DeadLetter.make("crash", { message: Schema.String, delay: 0, maxReplays: 100 })

const leftIn = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? [entry.name] : []
  )

/** What a process does that is killed; what it has been told about each letter. */
interface Told {
  readonly put: Set<string>
  readonly handled: Array<string>
}

/** Puts two, replays one that fails, replays both, puts one of them again, parks, retries and drops one. */
const life = (told: Told) =>
  Effect.gen(function* () {
    const letters = yield* make
    const handle = (letter: string) => Effect.sync(() => void told.handled.push(letter))
    const put = (id: string) => Effect.map(letters.put(id, { key: id }), () => void told.put.add(id))
    yield* put("a")
    yield* put("b")
    yield* letters.replay((letter) => (letter === "a" ? Effect.fail("no") : handle(letter)))
    yield* put("b")
    yield* put("c")
    yield* letters.drop("c")
    yield* letters.retry("a")
    yield* letters.replay(handle)
  })

/** Runs `life` until it is killed at a step, then another process that replays everything. */
const killedAtStep = (at: number, after: boolean) =>
  Effect.gen(function* () {
    const directory = temporary()
    const told: Told = { put: new Set(), handled: [] }
    const disk = killedAt(yield* FileSystem.FileSystem, at, after)
    const store = Spool.layer({ directory }).pipe(Layer.provide(Layer.succeed(FileSystem.FileSystem, disk.files)))
    const fiber = yield* Effect.forkDetach(Effect.provide(life(told), store), { startImmediately: true })
    const ended = yield* Effect.raceFirst(
      Effect.as(disk.killed, false),
      Effect.as(Effect.exit(Fiber.join(fiber)), true)
    )
    const before = [...told.handled]
    yield* TestClock.adjust("1 hour")
    const rest = yield* Effect.gen(function* () {
      const letters = yield* make
      const there = (yield* letters.list).map(({ id }) => id)
      yield* letters.replay((letter) => Effect.sync(() => void told.handled.push(letter)))
      assert.deepStrictEqual(yield* letters.list, [], `step ${at}`)
      // A letter that was half removed is not in the way of the next of its key.
      for (const id of ["a", "b", "c"]) assert.isTrue((yield* letters.put(id, { key: id })).added, `step ${at}`)
      yield* letters.replay(() => Effect.void)
      return there
    }).pipe(Effect.provide(spoolIn(directory)))
    for (const id of told.put) {
      // `c` may have been dropped.
      if (id !== "c") assert.include(told.handled, id, `step ${at}: ${id} is lost`)
    }
    const again = rest.filter((id) => before.includes(id))
    assert.isAtMost(again.length, 2, `step ${at}: done again after one kill`)
    const files = leftIn(directory)
    rmSync(directory, { recursive: true, force: true })
    return { ended, files }
  })

const stride = isEach ? 1 : 9

describe("a process that is killed", () => {
  it.effect.each([
    { when: "before", after: false, first: stride === 1 ? 1 : 3 },
    { when: "after", after: true, first: stride === 1 ? 1 : 8 }
  ])(
    "$when any step that it makes on the disk: nothing is lost, nothing is half there",
    ({ after, first }) =>
      Effect.gen(function* () {
        let at = first
        for (; ; at += stride) {
          const { ended, files } = yield* killedAtStep(at, after)
          // What was being written may be left, until it is swept by age.
          assert.isAtMost(files.length, 2, `step ${at}: ${files}`)
          if (ended) break
        }
        assert.isAbove(at, 100)
      }).pipe(Effect.provide(NodeFileSystem.layer)),
    600_000
  )

  it("at any moment, again and again: all that was put is handled", { timeout: 600_000 }, async () => {
    for (const kind of ["spool", "queue", "sqlite"] as const) {
      const directory = temporary()
      await killedAgain(kind, directory, kills)
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
