// A job that cron runs: it calls once and ends. Its circuit counts over the runs, and opens at the third.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Console, Effect, Layer } from "effect"
import { CircuitBreaker, Transient, TripPolicy } from "effect-resilience"
import * as State from "effect-resilience/state/State"

class FeedDown extends Transient.TaggedError<FeedDown>()("FeedDown", {}) {}

class Feed extends CircuitBreaker.Service<Feed>()("job/Feed", {
  trip: TripPolicy.consecutive(3),
  openFor: "6 hours"
}) {}

/** One run of the job: a process of its own, with the file as its only memory. */
const job = (path: string) =>
  Effect.fail(new FeedDown()).pipe(
    Feed.protect,
    Effect.catchTags({
      FeedDown: () => Console.log("the feed is down"),
      CircuitOpen: () => Console.log("not called")
    }),
    Effect.andThen(Feed.state()),
    Effect.flatMap((state) => Console.log(`the circuit is ${state._tag}`)),
    Effect.provide(Feed.layer.pipe(Layer.provideMerge(State.layerFile({ path })), Layer.provide(NodeFileSystem.layer)))
  )

const cron = () => {
  const folder = mkdtempSync(join(tmpdir(), "feed-"))
  const run = (): string => {
    const args = [...process.execArgv, import.meta.filename, join(folder, "state.json")]
    const { stderr, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" })
    return (stdout + stderr).trim().replaceAll("\n", ", ")
  }
  const runs = [run(), run(), run()]
  rmSync(folder, { recursive: true })
  for (const [i, said] of runs.entries()) console.log(`run ${i + 1}: ${said}`)
  const down = "the feed is down, the circuit is"
  assert.deepEqual(runs, [`${down} closed`, `${down} closed`, `${down} open`])
}

const [path] = process.argv.slice(2)
if (path === undefined) cron()
else await Effect.runPromise(job(path))
