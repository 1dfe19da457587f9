/** What an attempt of an adaptive policy says by its end, or by having none yet, at the edges of the rules. */
import { assert, describe, it } from "@effect/vitest"
import * as Adaptive from "../../packages/resilience/src/machine/Adaptive.ts"

const { Control, Flight, Free, Limited, Paced, State } = Adaptive

/** Of a key whose calls take 10 ms: an answer is late after 200. */
const limits: Adaptive.Limits = { timeout: 2000, deadline: 5000 }
const alone: Adaptive.Limits = { ...limits, paces: false }
const chance = { nextDoubleUnsafe: () => 0.5 }

const keyWith = (state: Partial<Adaptive.State>, control?: Partial<Adaptive.Control>): Adaptive.State =>
  Object.assign(new State(), {
    mean: 10,
    calls: 100,
    ...state,
    ...(control === undefined ? {} : { control: Object.assign(new Control(), control) })
  })

const send = (state: Adaptive.State, at: number, whole = true): Adaptive.Flight => {
  const flight = new Flight()
  Adaptive.sent(state, flight, at, false, whole, chance)
  return flight
}

/** One attempt that is sent at 1000 and ends after `latency`. */
const attempt = (state: Adaptive.State, latency: number, how: Adaptive.How, whole = true): Adaptive.State => {
  Adaptive.ended(state, limits, send(state, 1000, whole), 1000 + latency, how, chance)
  return state
}

/** What `attempt` has changed, but for the calls that are usually in flight. */
const changedBy = (latency: number, how: Adaptive.How, whole = true): Partial<Adaptive.State> => {
  const before = { failuresInRow: 3, latesInRow: 1, late: 0.5, noAnswer: 0.5, goodAt: 900 }
  const after = attempt(keyWith({ ...before, usualLate: 0.2 }, { mode: Limited, limit: 4 }), latency, how, whole)
  const names = Object.keys(before) as Array<keyof typeof before>
  return Object.fromEntries(names.filter((name) => after[name] !== before[name]).map((name) => [name, after[name]]))
}

describe("Adaptive: what an attempt says", () => {
  it("it is late after the bound and not at it, answered or not", () => {
    for (const [latency, isLate] of [
      [200, false],
      [200.5, true]
    ] as const) {
      assert.strictEqual(attempt(keyWith({}), latency, "ok").lastLate, isLate)
      const waits = keyWith({})
      send(waits, 1000)
      Adaptive.look(waits, limits, 1000 + latency, chance)
      assert.strictEqual(waits.overdue, Number(isLate))
    }
  })

  it("nothing, when it ends and its end is unknown", () => {
    for (const latency of [1, 1999]) assert.deepStrictEqual(changedBy(latency, "unknown"), {})
  })

  it("nothing, when its caller or a deadline ends it early; that it was late without an answer, when it was late by then", () => {
    const late = { latesInRow: 2, late: 0.5625, noAnswer: 0.515625 }
    assert.deepStrictEqual(changedBy(200, "cut"), {})
    assert.deepStrictEqual(changedBy(201, "cut"), late)
    // It had too little of the timeout left for one of its own.
    assert.deepStrictEqual(changedBy(200, "timeout", false), {})
    assert.deepStrictEqual(changedBy(201, "timeout", false), late)
    assert.deepStrictEqual(changedBy(201, "timeout"), { ...late, failuresInRow: 4 })
  })

  it("a timeout that ends it before an answer would be late is a failure without an answer, and no answer in time", () => {
    assert.deepStrictEqual(changedBy(100, "timeout"), { failuresInRow: 4, noAnswer: 0.515625 })
    const reached = () => keyWith({ lastLate: true }, { mode: Limited, limit: 4, hit: true, hitAt: 1000 })
    const after = attempt(reached(), 100, "timeout")
    assert.deepStrictEqual([after.control?.limit, after.lastLate], [4, true])
    // A failure is an answer.
    assert.strictEqual(attempt(reached(), 100, "failed").control?.limit, 4.25)
    const probed = attempt(keyWith({ late: 0.5 }, { mode: Paced, gap: 100 }), 100, "timeout")
    assert.deepStrictEqual([probed.late, probed.control?.gap], [0.5, 200])
  })

  it("that the dependency is asked too much counts as late, however quick or overtaken, and as no failure", () => {
    assert.deepStrictEqual(changedBy(1, "overloaded"), { latesInRow: 2, late: 0.5625, noAnswer: 0.484375 })
    assert.strictEqual(attempt(keyWith({ goodAt: 2000 }), 1, "overloaded").late, 0.125)
    // Ten failures in a row, which took less than half a second, are one event.
    const burst = { failuresInRow: 10, failingSince: 500 }
    assert.strictEqual(Adaptive.modeOf(attempt(keyWith(burst), 1, "overloaded")), Free)
    assert.strictEqual(Adaptive.modeOf(attempt(keyWith(burst), 1, "failed")), Paced)
  })

  it("in time under a limit that is reached raises it, from the moment on at which it changed", () => {
    const limitAfter = (changedAt: number): number =>
      attempt(keyWith({}, { mode: Limited, limit: 4, hit: true, hitAt: 1000, changedAt }), 10, "ok").control?.limit ??
      NaN
    assert.deepStrictEqual([limitAfter(1000), limitAfter(1001)], [4.25, 4])
  })

  it("a timeout that lowers the limit below one call paces for what is late, although it is the tenth failure in a row", () => {
    const state = attempt(
      keyWith({ failuresInRow: 9, failingSince: 0, latesInRow: 1 }, { mode: Limited, limit: 1 }),
      2000,
      "timeout"
    )
    assert.deepStrictEqual([state.failuresInRow, Adaptive.modeOf(state), state.control?.failing], [10, Paced, false])
    assert.isTrue(Adaptive.admits(state, 3000, 1, true), "a more important call does not wait for the gap")
  })

  it("the first probe after late attempts is as far away as the one that lowered the limit had waited", () => {
    const state = keyWith({ calls: 10, latesInRow: 1 }, { mode: Limited, limit: 1 })
    send(state, 1000)
    Adaptive.look(state, limits, 1250, chance)
    assert.strictEqual(Adaptive.modeOf(state), Paced)
    assert.deepStrictEqual([state.control?.gap, state.control?.nextAt], [250, 1500])
  })

  it("of attempts that were sent at one moment, the second good answer overtakes no more than the first", () => {
    const state = keyWith({})
    const flights = [send(state, 1000), send(state, 1000), send(state, 1001)]
    const end = (flight: Adaptive.Flight | undefined): void =>
      flight === undefined ? assert.fail() : Adaptive.ended(state, limits, flight, 1010, "ok", chance)
    state.overdue = 2
    end(flights[0])
    assert.deepStrictEqual([state.strays, state.overdue, state.goodAt], [2, 0, 1000])
    state.overdue = 1
    end(flights[1])
    assert.deepStrictEqual([state.strays, state.overdue], [2, 1])
    end(flights[2])
    assert.deepStrictEqual([state.strays, state.overdue, state.goodAt], [3, 0, 1001])
  })
})

describe("Adaptive: a key", () => {
  it("that is limited alone by calls which were late before is free for as many more when another one comes", () => {
    const full = () => keyWith({ inFlight: 4, overdue: 4 }, { mode: Limited, limit: 4 })
    const state = full()
    Adaptive.came(state, alone, 1000, chance)
    assert.deepStrictEqual([state.strays, Adaptive.isFree(state, 1000)], [4, true])
    // Those of a policy have a timeout.
    const policy = full()
    Adaptive.came(policy, limits, 1000, chance)
    assert.deepStrictEqual([policy.strays, Adaptive.modeOf(policy), Adaptive.isFree(policy, 1000)], [0, Limited, false])
  })

  it("that is restarted has no limit and no evidence; what is usual is kept unless that is to be forgotten too", () => {
    const evidence = { failuresInRow: 10, latesInRow: 2, late: 0.5, noAnswer: 0.25, lastLate: true }
    const usual = { mean: 10, usualLate: 0.1, usualInFlight: 4, tokens: 20 }
    const forgotten = { failuresInRow: 0, latesInRow: 0, late: 0, noAnswer: 0, lastLate: false }
    for (const forgets of [false, true]) {
      const state = keyWith({ ...evidence, ...usual }, { mode: Limited, limit: 4, ramping: true })
      const flight = send(state, 1000)
      const inFlight = state.usualInFlight
      Adaptive.restart(state, forgets)
      const learned = forgets
        ? { mean: Number.NaN, usualLate: 0, usualInFlight: 0, tokens: 2 }
        : { ...usual, usualInFlight: inFlight }
      assert.deepInclude(state, { ...forgotten, ...learned, inFlight: 1, first: flight })
      assert.deepInclude({ ...state.control }, { mode: Free, limit: Infinity, ramping: false })
    }
    const quiet = keyWith(evidence)
    Adaptive.restart(quiet, false)
    assert.deepInclude(quiet, { ...forgotten, mean: 10, control: undefined })
  })
})
