/** Client processes that stand still. */
import { assert, describe, it } from "@effect/vitest"
import { Lab, Oracle, References, Scenario, type Sender } from "@effect-resilience/lab"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

const world = (lasts: number, more: Partial<Scenario.Input> = {}): Scenario.Scenario =>
  Scenario.make({
    name: "stall",
    rate: 200,
    clients: 4,
    workers: 20,
    service: { kind: "constant", value: "10 millis" },
    timeout: "200 millis",
    deadline: "1 second",
    warmUp: "2 seconds",
    after: "3 seconds",
    faults: [{ kind: "stall", at: "1 second", lasts: `${lasts} millis` }],
    ...more
  })

/** The moments at which the senders of all clients run, and how long their attempts took. */
const watch = (scenario: Scenario.Scenario) => {
  const seen: Array<{ readonly index: number; readonly at: number; readonly what: string; readonly took: number }> = []
  const sender: Sender.Sender = {
    name: "watch",
    title: "",
    make: ({ index }) =>
      Effect.succeed((call) =>
        Effect.gen(function* () {
          const from = yield* Clock.currentTimeMillis
          const note = (what: string) =>
            Effect.map(Clock.currentTimeMillis, (at) => void seen.push({ index, at, what, took: at - from }))
          yield* note("call")
          yield* call.limited.pipe(
            Effect.tap(() => note("answer")),
            Effect.tapError(({ reason }) => note(reason))
          )
          yield* Effect.sleep("7 millis")
          yield* note("slept")
        })
      )
  }
  return { seen, run: Lab.run({ scenario, sender, seed: 1 }) }
}

describe("Lab: a stall", () => {
  const [from, to] = [3000, 3150]

  it("nothing runs in a process that stands still: calls, answers and sleeps are those of its end", () => {
    const { run, seen } = watch(world(to - from))
    assert.isEmpty(seen.filter(({ at }) => at >= from && at < to))
    const atEnd = seen.filter(({ at }) => at === to).map(({ what }) => what)
    // 200 calls a second.
    assert.approximately(atEnd.filter((what) => what === "call").length, 30, 15)
    assert.include(atEnd, "answer")
    assert.strictEqual(run.ended, run.calls)
    assert.isTrue(seen.every(({ at, took, what }) => at === to || what !== "answer" || took < 100))
  })

  it("a timeout that is over meanwhile comes before the answer that is not read", () => {
    const { seen } = watch(world(400))
    const late = seen.filter(({ at, what }) => at === from + 400 && what === "timeout")
    assert.isAbove(late.length, 0)
    assert.strictEqual(seen.filter(({ at, what }) => at === from + 400 && what === "answer").length, 0)
  })

  it("only a share of the processes stand still, rounded up", () => {
    const faults = [{ kind: "stall", share: 0.3, at: "1 second", lasts: "150 millis" }] as const
    const { seen } = watch(world(150, { faults }))
    const running = new Set(seen.filter(({ at }) => at > from && at < to).map(({ index }) => index))
    assert.deepStrictEqual([...running].sort(), [2, 3])
  })

  it("stalls that overlap are one", () => {
    const faults = [0, 100].map((at) => ({ kind: "stall", at: `${1000 + at} millis`, lasts: "150 millis" }) as const)
    const { seen } = watch(world(150, { faults }))
    assert.isEmpty(seen.filter(({ at }) => at >= from && at < from + 250))
    assert.isNotEmpty(seen.filter(({ at }) => at === from + 250))
  })

  it("costs callers of 200 ms nothing when it is short, and what has waited past its deadline when it is long", () => {
    const goodput = (lasts: number): number =>
      Lab.run({ scenario: world(lasts), sender: References.none, seed: 1 }).metrics.goodput
    assert.isAbove(goodput(100), 0.99)
    const long = world(1500)
    // Of the calls of the first half second of a fault of 2.5 s.
    assert.approximately(Oracle.of(long).goodput, 0.8, 0.001)
    assert.isAtMost(goodput(1500), Oracle.of(long).goodput + 0.02)
  })

  it("of no time or of more than all processes is refused", () => {
    const make = (fault: object) => () =>
      Scenario.make({ name: "wrong", faults: [{ kind: "stall", ...fault } as never] })
    assert.throws(make({ lasts: "0 millis" }), /lasts/)
    assert.throws(
      make({ lasts: "1 second", share: 1.5 }),
      /between 0 and 1, got 1\.5\n {2}at \["faults"\]\[0\]\["share"\]/
    )
  })
})
