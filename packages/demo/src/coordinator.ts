/** Starts four upstreams and four clients, follows them, and measures. */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { type ChildEnded, spawn } from "./children.ts"
import { arrivals } from "./load.ts"
import { addEnded, type Measured, measure, measureNow, nothingSeen, span } from "./measure.ts"
import type { Begin, FromClient, FromUpstream, Start } from "./messages.ts"
import type { Moment } from "./report.ts"
import { lengthOf, phaseAt, type Script } from "./script.ts"
import { type ClientName, clients, longestWarmUp, now, tick, warmUp } from "./settings.ts"

export class TookTooLong extends Data.TaggedError("TookTooLong")<{ readonly message: string }> {}

export interface Options {
  readonly script: Script
  readonly rate: number
  readonly seed: number
  /** Gets the address of the metrics of the protected client. Without it they are not served. */
  readonly onMetrics?: ((url: string) => void) | undefined
}

/** Between the message about a moment and the moment. */
export const lead = 300

export const within = (millis: number, what: string) =>
  Effect.timeoutOrElse({
    duration: millis,
    orElse: () => Effect.fail(new TookTooLong({ message: `${what} did not come within ${millis / 1000} s` }))
  })

/** One client, the upstream of its own, and what was seen of both. */
const pair = Effect.fnUntraced(function* (
  name: ClientName,
  due: ReadonlyArray<number>,
  onMetrics: Options["onMetrics"]
) {
  const seen = nothingSeen(due)
  let keepsUp = false
  const port = yield* Deferred.make<number>()
  const ready = yield* Deferred.make<void>()
  const upstreamDone = yield* Deferred.make<void>()
  const clientDone = yield* Deferred.make<void>()
  const upstream = yield* spawn<FromUpstream, Start | Begin>("upstream", [], `the upstream of ${name}`, (message) => {
    if (message._tag === "Ready") return void Deferred.doneUnsafe(port, Effect.succeed(message.port))
    seen.received = message.received
    if (message.last) Deferred.doneUnsafe(upstreamDone, Effect.void)
  })
  const args = [name, ...(name === "policy" && onMetrics !== undefined ? ["--metrics"] : [])]
  const client = yield* spawn<FromClient, Start | Begin>("client", args, `the client ${name}`, (message) => {
    if (message._tag === "Ready") {
      if (message.metrics !== undefined) onMetrics?.(message.metrics)
      return void Deferred.doneUnsafe(ready, Effect.void)
    }
    addEnded(seen, message.ended)
    seen.sent = message.sent
    seen.begun = message.begun
    seen.late = message.late
    seen.inFlight = message.inFlight
    seen.circuit = message.circuit
    keepsUp = message.keepsUp
    if (message.last) Deferred.doneUnsafe(clientDone, Effect.void)
  })
  return {
    name,
    seen,
    ready: Effect.andThen(Deferred.await(ready), Deferred.await(port)),
    tell: (message: Start | Begin) =>
      Effect.forEach([upstream, client], (child) => child.tell(message), { discard: true }),
    keepsUp: () => keepsUp,
    done: Effect.andThen(Deferred.await(upstreamDone), Deferred.await(clientDone)),
    ended: Effect.raceFirst(upstream.ended, client.ended)
  }
})

type Pair = Effect.Success<ReturnType<typeof pair>>

const follow = Effect.fnUntraced(function* (
  options: Options,
  pairs: ReadonlyArray<Pair>,
  show: (moment: Moment) => void
) {
  const { rate, script, seed } = options
  const length = lengthOf(script)
  const ports = yield* Effect.forEach(pairs, ({ ready }) => ready).pipe(within(60_000, "the start of the processes"))
  const warmsUpAt = now() + lead
  yield* Effect.forEach(pairs, ({ tell }, index) =>
    tell({ _tag: "Start", run: { script, rate, seed }, port: ports[index] ?? 0, warmsUpAt })
  )
  let startsAt = Infinity
  const at = () => now() - startsAt
  const showing = Effect.sync(() =>
    show({
      script,
      at: at(),
      length,
      // The phase that the figures are about, which is not always the one that has just begun.
      phase: phaseAt(script, at() - span / 2),
      clients: byName(pairs, ({ seen }) => measureNow(seen, at()))
    })
  )
  yield* Effect.forkChild(Effect.repeat(showing, Schedule.spaced(tick)))
  yield* Effect.sleep(lead + warmUp)
  // On a machine that is busy for good, it begins nevertheless, and the report says what the figures are worth.
  yield* Effect.sleep(tick).pipe(
    Effect.repeat({ while: () => !pairs.every(({ keepsUp }) => keepsUp()) && now() < warmsUpAt + longestWarmUp })
  )
  startsAt = now() + lead
  yield* Effect.forEach(pairs, ({ tell }) => tell({ _tag: "Begin", startsAt }))
  yield* Effect.forEach(pairs, ({ done }) => done).pipe(within(lead + length + 30_000, "the end of the run"))
  return byName(pairs, ({ seen }): Measured => measure(script, seen))
})

const byName = <A>(pairs: ReadonlyArray<Pair>, of: (pair: Pair) => A): Record<ClientName, A> =>
  // One pair for each name.
  Object.fromEntries(pairs.map((pair) => [pair.name, of(pair)])) as Record<ClientName, A>

/** One run. Its processes end with it, however it ends. */
export const run = (
  options: Options,
  show: (moment: Moment) => void
): Effect.Effect<Record<ClientName, Measured>, ChildEnded | TookTooLong> =>
  Effect.scoped(
    Effect.gen(function* () {
      const due = arrivals({ ...options, from: 0, to: lengthOf(options.script) })
      const pairs = yield* Effect.forEach(clients, (name) => pair(name, due, options.onMetrics))
      const anyEnded = Effect.raceAllFirst(pairs.map(({ ended }) => ended))
      return yield* Effect.raceFirst(follow(options, pairs, show), anyEnded)
    })
  )
