// A job that runs on a schedule, skips its turn while the circuit is open, and remembers the circuit over a restart: a
// process that has just started does not learn about an outage all over again.
import assert from "node:assert/strict"
import { NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem, Layer, Schedule } from "effect"
import { CircuitBreaker, Transient, TripPolicy } from "effect-resilience"
import * as State from "effect-resilience/state/State"

class FeedDown extends Transient.TaggedError<FeedDown>()("FeedDown", {}) {}

class Feed extends CircuitBreaker.Service<Feed>()("app/Feed", {
  trip: TripPolicy.consecutive(2),
  openFor: { initial: "2 seconds", jitter: 0 }
}) {}

let isDown = true
let imports = 0
const importFeed = Effect.gen(function* () {
  imports += 1
  if (isDown) return yield* new FeedDown()
})

// One turn never fails: a skipped or failed one waits for the next.
const turn = importFeed.pipe(
  Feed.protect,
  Effect.as("imported"),
  Effect.catchTags({
    CircuitOpen: () => Effect.succeed("skipped"),
    FeedDown: () => Effect.succeed("failed")
  })
)

const job = (turns: number) =>
  Effect.gen(function* () {
    const seen: Array<string> = []
    yield* turn.pipe(
      Effect.tap((result) => Effect.sync(() => seen.push(result))),
      Effect.repeat(Schedule.spaced("10 millis").pipe(Schedule.upTo({ times: turns - 1 })))
    )
    return seen
  })

// What the breaker knows, in a file: read when the layer is built, written while it lives and when it is closed.
const remembered = (file: string) => Feed.layer.pipe(Layer.provideMerge(State.layerFile({ path: file })), Layer.fresh)

const program = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.makeTempFileScoped().pipe(Effect.tap((file) => fs.remove(file)))
  const run = (turns: number) =>
    Effect.suspend(() => {
      imports = 0
      return job(turns).pipe(Effect.provide(remembered(file)))
    })

  const first = yield* run(4)
  yield* Console.log(`first process:  ${first.join(", ")}`)
  assert.deepEqual(first, ["failed", "failed", "skipped", "skipped"])

  const second = yield* run(3)
  yield* Console.log(`second process: ${second.join(", ")}; ${imports} imports tried`)
  assert.equal(imports, 0)

  // By now the open time is over, whether a process ran meanwhile or not: the first turn is the probe.
  isDown = false
  yield* Effect.sleep("2 seconds")
  const third = yield* run(2)
  yield* Console.log(`third process:  ${third.join(", ")}`)
  assert.deepEqual(third, ["imported", "imported"])
}).pipe(Effect.scoped)

await Effect.runPromise(program.pipe(Effect.provide(NodeServices.layer)))
