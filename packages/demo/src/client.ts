/** A process: one of the four clients under the open-loop load. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { HttpClient } from "effect/http"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { callers } from "./callers.ts"
import { arrivals, openLoop, until, WarmUp, warming } from "./load.ts"
import { type Ended, say, told } from "./messages.ts"
import { serve } from "./metrics.ts"
import { lengthOf, phaseAt } from "./script.ts"
import { type ClientName, deadline, warmUp as growth, now, tick, tooLate } from "./settings.ts"

const program = Effect.gen(function* () {
  const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
  const { begin, start } = told()
  const metrics = process.argv[3] === "--metrics" ? yield* serve : undefined
  say({ _tag: "Ready", metrics })
  const { port, run, warmsUpAt } = yield* Effect.promise(() => start)
  const { script } = run
  const fullFrom = warmsUpAt + growth
  let startsAt = Infinity
  const at = () => now() - startsAt

  const sent = script.map(() => 0)
  let begun = 0
  let late = 0
  let inFlight = 0
  let ended: Array<Ended> = []

  const get = client.get(`http://127.0.0.1:${port}/`).pipe(Effect.flatMap((response) => response.text))
  const request = Effect.suspend(() => {
    const phase = phaseAt(script, at())
    if (sent[phase] !== undefined) sent[phase] += 1
    return get
  })
  const caller = yield* callers[process.argv[2] as ClientName](request, run.rate)

  const warmUp = new WarmUp(run.rate)
  const tell = (last: boolean) =>
    Effect.map(caller.circuit, (circuit) => {
      const keepsUp = warmUp.keepsUp(now())
      say({ _tag: "Tick", sent, begun, late, inFlight, circuit: Option.getOrUndefined(circuit), ended, keepsUp, last })
      ended = []
    })
  yield* tell(false).pipe(Effect.repeat(Schedule.spaced(tick)), Effect.forkChild)

  const measured = (index: number, due: number) => {
    begun += 1
    if (at() - due > tooLate) late += 1
    inFlight += 1
    return Effect.onExit(caller.call, (exit) =>
      Effect.sync(() => {
        inFlight -= 1
        ended.push([index, Math.round((at() - due) * 10) / 10, Exit.isSuccess(exit)])
      })
    ).pipe(Effect.exit)
  }
  const cold = (due: number) => {
    const begunAt = fullFrom + due
    const inTime = now() - begunAt <= tooLate
    return Effect.map(Effect.exit(caller.call), (exit) => {
      warmUp.add(now(), inTime && Exit.isSuccess(exit) && now() - begunAt <= deadline)
    })
  }
  void begin.then((message) => {
    startsAt = message.startsAt
  })
  yield* openLoop(
    until(warming({ rate: run.rate, seed: run.seed + 1, length: growth }), () => startsAt - fullFrom),
    () => now() - fullFrom,
    (_, due) => Effect.suspend(() => cold(due))
  )
  const due = arrivals({ rate: run.rate, seed: run.seed, from: 0, to: lengthOf(script) })
  yield* openLoop(due, at, (index, moment) => Effect.suspend(() => measured(index, moment)))
  yield* Effect.sleep(lengthOf(script) + deadline - at())
  yield* tell(true)
  return yield* Effect.never
}).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))

Effect.runFork(program).addObserver((exit) => {
  if (Exit.isFailure(exit)) console.error(Cause.pretty(exit.cause))
  process.exit(1)
})
