/**
 * A process that fails a call again and again, and says what it knows: `begins n`, `failed n` after each call, and `saved n` when the
 * store has it. Arguments: `file` or `sqlite`, the path, and the name of the policy.
 */

import { writeSync } from "node:fs"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import * as Sqlite from "effect-resilience/state/Sqlite"
import * as State from "effect-resilience/state/State"

const [kind, path = "", name = "counter", times = "1000000"] = process.argv.slice(2)

const say = (line: string) => writeSync(1, `${line}\n`)

const savedIn = (text: string | undefined): number => Number(/"failures":(\d+)/.exec(text ?? "")?.[1] ?? 0)

const told = (store: State.Store): State.Store => ({
  load: store.load,
  save: (records) =>
    Effect.andThen(
      store.save(records),
      Effect.sync(() => say(`saved ${savedIn(records.get(`CircuitBreaker ${name}`))}`))
    )
})

const keeping = <R>(store: Effect.Effect<State.Store, never, R>) =>
  Layer.unwrap(Effect.map(store, (store) => State.layer({ store: told(store), every: "20 millis" })))

const kept =
  kind === "sqlite"
    ? keeping(Sqlite.make(path))
    : keeping(State.makeFile(path)).pipe(Layer.provide(NodeFileSystem.layer))

const program = Effect.gen(function* () {
  const breaker = yield* CircuitBreaker.make(name, { trip: TripPolicy.consecutive(1_000_000) })
  const failures = Effect.map(breaker.state(), (state) =>
    state._tag === "closed" ? (state.figures?.["failures"] ?? 0) : -1
  )
  say(`begins ${yield* failures}`)
  for (let i = 0; i < Number(times); i++) {
    yield* Effect.ignore(Effect.fail({ _tag: "Down" as const }).pipe(breaker.protect({ failures: ["Down"] })))
    say(`failed ${yield* failures}`)
    yield* Effect.sleep("2 millis")
  }
}).pipe(Effect.scoped)

await Effect.runPromise(Effect.provide(program, kept))
