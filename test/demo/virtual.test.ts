/** The script of the demo with its clients, in the virtual time of the lab: no machine is too busy for it. */
import { assert, describe, it } from "@effect/vitest"
import { Lab, Scenario, type Sender } from "@effect-resilience/lab"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpClientError } from "effect/http"
import { callers } from "../../packages/demo/src/callers.ts"
import { ends, full, type Script } from "../../packages/demo/src/script.ts"
import { type ClientName, clients, deadline, serviceTime, timeout } from "../../packages/demo/src/settings.ts"
import { queueFor, workersFor } from "../../packages/demo/src/workers.ts"

const rate = 100
const warmUp = 5000

type Phase = Script[number]

/** The fault of a phase, as the lab names it. */
const faultOf = ({ mode, seconds }: Phase, from: number): ReadonlyArray<typeof Scenario.Fault.Encoded> => {
  const when = { at: `${from} millis`, lasts: `${seconds} seconds` } as const
  switch (mode) {
    case "healthy":
      return []
    case "slow":
      return [{ kind: "slow", ...when, factor: 4 }]
    case "hanging":
      return [{ kind: "hang", ...when }]
    case "errors":
      return [{ kind: "errors", ...when, rate: 0.5 }]
    case "down":
      return [{ kind: "down", ...when }]
  }
}

const scenario = Scenario.make({
  name: "demo",
  rate,
  clients: 1,
  workers: workersFor(rate),
  queue: queueFor(rate),
  service: { kind: "trace", samples: Array.from({ length: 41 }, (_, i) => serviceTime / 2 + i) },
  timeout: `${timeout} millis`,
  deadline: `${deadline} millis`,
  warmUp: `${warmUp} millis`,
  after: "4 seconds",
  faults: full.flatMap((phase, index) => faultOf(phase, ends(full)[index - 1] ?? 0))
})

/** The attempt of the call that a fiber makes: a caller is made for one request. */
const Attempt = Context.Reference<Effect.Effect<void, unknown>>("test/Attempt", { defaultValue: () => Effect.void })

// The callers look at no error of HTTP by itself: those of the lab are transient as it is.
const request = Effect.flatMap(Attempt, (attempt) => attempt) as Effect.Effect<void, HttpClientError.HttpClientError>

const sender = (name: ClientName): Sender.Sender => ({
  name,
  title: name,
  make: () =>
    Effect.map(
      callers[name](request, rate),
      ({ call }) =>
        ({ attempt }: Sender.Call) =>
          Effect.provideService(call, Attempt, attempt)
    )
})

/** Calls lost in each phase. */
const lostBy = (name: ClientName): ReadonlyArray<number> => {
  const { series } = Lab.run({ scenario, sender: sender(name), seed: 1, series: true })
  assert.isDefined(series)
  return ends(full).map((end, phase) => {
    const steps = (of: ReadonlyArray<number>) =>
      of
        .slice((warmUp + (ends(full)[phase - 1] ?? 0)) / series.step, (warmUp + end) / series.step)
        .reduce((sum, one) => sum + one, 0)
    return steps(series.offered) - steps(series.good)
  })
}

describe("the script of the demo in virtual time", () => {
  it("the client without numbers loses the fewest calls, and in no phase the most", () => {
    const { adaptive, ...others } = Object.fromEntries(clients.map((name) => [name, lostBy(name)]))
    assert.isDefined(adaptive)
    const sum = (lost: ReadonlyArray<number>): number => lost.reduce((total, one) => total + one, 0)
    for (const [name, lost] of Object.entries(others)) assert.isBelow(sum(adaptive), 0.9 * sum(lost), name)
    full.forEach(({ name }, phase) => {
      const most = Math.max(...Object.values(others).map((lost) => lost[phase] ?? Number.NaN))
      // Four calls of 400 are chance.
      assert.isAtMost(adaptive[phase] ?? Number.NaN, most + 4, name)
    })
  })
})
