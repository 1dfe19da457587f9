/**
 * A process that puts numbered letters and replays them, and says what it does: `putting n`, `put n`, `handling n`. It says it with a
 * write that a kill does not take back. Arguments: the kind and the place of the store, the first number, and the lease in milliseconds.
 */

import { writeSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { PersistedQueue } from "effect/persistence"
import * as Schema from "effect/Schema"
import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
import * as LetterQueue from "effect-resilience/jobs/PersistedQueue"
import { type Kind, storeOf } from "./stores.ts"

const [kind = "", place = "", first = "0", lease = "100"] = process.argv.slice(2)

const say = (line: string) => Effect.sync(() => writeSync(1, `${line}\n`))

const program = Effect.gen(function* () {
  const letters = yield* DeadLetter.make("crash", { message: Schema.Number, key: String, maxReplays: 1000 })
  const put = Effect.gen(function* () {
    for (let n = Number(first); ; n++) {
      yield* say(`putting ${n}`)
      yield* letters.put(n)
      yield* say(`put ${n}`)
    }
  })
  const replay = Effect.forever(
    letters.replay((n) => say(`handling ${n}`), { concurrency: 2, lease: Number(lease), limit: 20 })
  )
  yield* Effect.all([put, replay], { concurrency: 2 })
})

/** The same with a queue of Effect whose elements are letters. */
const queued = Effect.gen(function* () {
  const queue = yield* PersistedQueue.make({ name: "crash", schema: Schema.Number, maxAttempts: 1000 })
  const put = Effect.gen(function* () {
    for (let n = Number(first); ; n++) {
      yield* say(`putting ${n}`)
      yield* queue.offer(n, { id: String(n) })
      yield* say(`put ${n}`)
    }
  })
  const take = Effect.forever(queue.take((n) => say(`handling ${n}`)))
  yield* Effect.all([put, take, take], { concurrency: 3 })
}).pipe(
  Effect.provide(
    Layer.provide(PersistedQueue.layer, LetterQueue.layerStore({ pollInterval: 10, lease: Number(lease) }))
  )
)

const running: Effect.Effect<unknown, unknown, DeadLetter.Store> = kind === "queue" ? queued : program

await Effect.runPromise(Effect.provide(running, storeOf(kind as Kind, place)))
