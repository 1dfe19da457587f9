/** A process: all clients of a scenario, each with a sender and connections of its own, in real time. */
import { Agent, get } from "node:http"
import { Sender } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { nextCall } from "../../../../lab/src/internal/arrivals.ts"
import { Ledger } from "../../../../lab/src/internal/ledger.ts"
import { streamOf } from "../../../../lab/src/internal/random.ts"
import { timelineOf } from "../../../../lab/src/internal/timeline.ts"
import { now as clock } from "./clock.ts"
import { Lateness } from "./lateness.ts"
import { type Called, say, told } from "./messages.ts"
import * as Senders from "./senders.ts"

const { begin } = told()
say<Called>({ _tag: "Ready" })

const { port, scenario, seed, sender: name, startsAt } = await begin
const sender = Senders.all.find((sender) => sender.name === name)
if (sender === undefined) throw new Error(`no such sender: ${name}`)
const now = () => clock() - startsAt
const ledger = new Ledger(scenario)
const lateness = new Lateness()

/** One request, which is reset when it is interrupted. */
const request = (agent: Agent): Effect.Effect<void, Sender.Failure> =>
  Effect.callback((resume) => {
    const fail = (reason: Sender.Reason) => resume(Effect.fail(new Sender.Failure(reason)))
    const request = get({ agent, host: "127.0.0.1", port }, (response) => {
      response.on("error", () => fail("refused"))
      response.on("end", () => {
        if (response.statusCode === 200) resume(Effect.void)
        else fail(response.statusCode === 429 ? "full" : "failed")
      })
      response.resume()
    })
    request.on("error", () => fail("refused"))
    return Effect.sync(() => {
      // A reset leaves nothing behind; thousands of connections closed in order would use up the ports.
      request.socket?.resetAndDestroy()
      request.destroy()
    })
  })

const client = (index: number) => {
  const agent = new Agent({ keepAlive: true })
  const send = Effect.runSync(
    sender.make({ index, tier: 1, scenario, now, random: streamOf(seed, `client ${index}`), circuits: () => {} })
  )
  return (at: number): void => {
    let sent = 0
    let served = false
    const attempt = Effect.suspend(() => {
      sent += 1
      ledger.add(ledger.attempts, now())
      return Effect.tap(request(agent), () =>
        Effect.sync(() => {
          served = true
        })
      )
    })
    const limited = Effect.timeoutOrElse(attempt, {
      duration: scenario.timeout,
      orElse: () => Effect.fail(new Sender.Failure("timeout"))
    })
    Effect.runFork(send({ key: "default", due: at + scenario.deadline, attempt, limited })).addObserver((exit) => {
      ledger.ended += 1
      const latency = now() - at
      const isInFault = at >= ledger.from && at < ledger.clear
      if (Exit.isSuccess(exit) && latency <= scenario.deadline) {
        ledger.add(served ? ledger.good : ledger.degraded, at)
        if (served && isInFault) ledger.latencies.push(latency)
      } else if (isInFault) {
        ledger.failed += 1
        ledger.failWait += Math.min(latency, scenario.deadline)
      }
      if (Exit.isFailure(exit) && sent === 0) ledger.add(ledger.rejected, at)
      tellWhenDone()
    })
  }
}

const timeline = timelineOf(scenario)
const chance = streamOf(seed, "arrivals")
const spread = streamOf(seed, "spread")
const clients = Array.from({ length: scenario.clients }, (_, index) => client(index))

let allCame = false
const tellWhenDone = (): void => {
  if (allCame && ledger.ended === ledger.calls) say<Called>({ _tag: "Done", report: { lag: lateness.lag, ledger } })
}

/** Calls are due at the same moments as in the lab, whether or not the clients keep up. */
const goOn = (due: number): void => {
  let at = due
  for (; at <= now() && at < ledger.until; at = nextCall(timeline, at, chance())) {
    lateness.add(now() - at)
    ledger.calls += 1
    ledger.add(ledger.offered, at)
    clients[Math.floor(spread() * scenario.clients)]?.(at)
  }
  if (at < ledger.until) {
    setTimeout(goOn, Math.max(0, at - now()), at)
  } else {
    allCame = true
    tellWhenDone()
  }
}
goOn(nextCall(timeline, 0, chance()))
