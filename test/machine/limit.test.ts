/** The limit of an adaptive policy and what it is paced by, at the edges of their rules. */
import { assert, describe, it } from "@effect/vitest"
import * as Limit from "../../packages/resilience/src/machine/adaptive/Limit.ts"
import * as Pacing from "../../packages/resilience/src/machine/adaptive/Pacing.ts"
import {
  Control,
  Flight,
  Free,
  Limited,
  type Limits,
  modeOf,
  Paced,
  State
} from "../../packages/resilience/src/machine/adaptive/State.ts"

const limits: Limits = { timeout: 2000, deadline: 5000 }
const alone: Limits = { ...limits, paces: false }
const chance = { nextDoubleUnsafe: () => 0.5 }

/** A key whose calls take 10 ms. */
const keyWith = (state: Partial<State>, control?: Partial<Control>): State =>
  Object.assign(new State(), {
    mean: 10,
    calls: 100,
    ...state,
    ...(control === undefined ? {} : { control: Object.assign(new Control(), control) })
  })

const late = (state: State, times: number, which: Limits = limits, now = 100): void => {
  for (let i = 0; i < times; i++) Limit.weigh(state, which, now, 500, true, chance)
}

describe("Adaptive: the limit", () => {
  it("of a key that was never in trouble is none, and an attempt begins as one that is not late", () => {
    const { hit, failing, mode, limit, probing, ramping } = new Control()
    assert.deepStrictEqual(
      { hit, failing, mode, limit, probing, ramping },
      {
        hit: false,
        failing: false,
        mode: Free,
        limit: Infinity,
        probing: 0,
        ramping: false
      }
    )
    assert.deepStrictEqual(
      { ...new Flight() },
      {
        linked: false,
        previous: undefined,
        next: undefined,
        at: Number.NaN,
        counted: false,
        probe: false,
        whole: true,
        round: 0
      }
    )
    assert.isFalse(new State().lastLate)
  })

  it("begins with the third late answer in a row, of those that are hardly ever late", () => {
    // Nearly all of the last were late, so that these do not become usual.
    const state = keyWith({ usualInFlight: 4, late: 1 })
    late(state, 2)
    assert.strictEqual(modeOf(state), Free)
    late(state, 1)
    assert.strictEqual(modeOf(state), Limited)
    assert.deepStrictEqual([state.control?.limit, state.control?.changedAt, state.control?.hitAt], [8, 100, 100])
    assert.strictEqual(state.latesInRow, 0)
  })

  it("begins at odds of e¹¹: where one answer in sixteen is late, with the fourth in a row", () => {
    const state = keyWith({ usualLate: Math.exp(-2.75), late: 1 })
    late(state, 3)
    assert.strictEqual(modeOf(state), Free)
    late(state, 1)
    assert.strictEqual(modeOf(state), Limited)
  })

  it("is lowered at odds of e⁸, and no more while it grows after an outage", () => {
    const state = keyWith({ usualLate: Math.exp(-4), inFlight: 20 }, { mode: Limited, limit: 10, ramping: true })
    late(state, 1)
    assert.strictEqual(state.control?.limit, 10)
    late(state, 1)
    assert.strictEqual(state.control?.limit, 8)
    assert.isFalse(state.control?.ramping)
  })

  it("is paced below 0.9 calls, and not at them", () => {
    for (const [limit, mode] of [
      [1.125, Limited],
      [1.12, Paced]
    ] as const) {
      const state = keyWith({ usualLate: 0, inFlight: 5 }, { mode: Limited, limit })
      late(state, 2)
      assert.strictEqual(modeOf(state), mode)
    }
  })

  it("alone never falls below one call, and is never paced", () => {
    const state = keyWith({ usualLate: 0, inFlight: 20 }, { mode: Limited, limit: 10 })
    late(state, 2, alone)
    assert.strictEqual(state.control?.limit, 8)
    late(state, 40, alone)
    assert.deepStrictEqual([modeOf(state), state.control?.limit], [Limited, 1])
    const failing = { failuresInRow: 10, failingSince: 0 }
    for (const [which, mode] of [
      [alone, Free],
      [limits, Paced]
    ] as const) {
      const key = keyWith(failing)
      Pacing.afterFailure(key, which, 500, chance)
      assert.strictEqual(modeOf(key), mode)
    }
  })

  it("is full of late attempts: alone they take no place any more, and a policy sends probes", () => {
    const full = () => keyWith({ inFlight: 4, overdue: 3 }, { mode: Limited, limit: 4, ramping: true })
    const state = full()
    Limit.unstick(state, alone, 100, 200, chance)
    assert.deepStrictEqual([modeOf(state), state.overdue, state.strays, state.round], [Limited, 0, 3, 1])
    const paced = full()
    Limit.unstick(paced, limits, 100, 200, chance)
    assert.deepStrictEqual([modeOf(paced), paced.overdue, paced.strays, paced.round], [Paced, 3, 0, 0])
    assert.isFalse(paced.control?.ramping)
    assert.isTrue(paced.lastLate)
    const room = keyWith({ inFlight: 3, overdue: 3 }, { mode: Limited, limit: 4 })
    Limit.unstick(room, alone, 100, 200, chance)
    assert.strictEqual(room.overdue, 3)
  })

  it("a round ends only where attempts are late", () => {
    const state = keyWith({})
    Limit.overtake(state)
    assert.strictEqual(state.round, 0)
    state.overdue = 2
    Limit.overtake(state)
    assert.deepStrictEqual([state.round, state.overdue, state.strays], [1, 0, 2])
  })

  it("what was sent at the moment of a good answer's attempt, or before, is overtaken when it is late", () => {
    const state = keyWith({ goodAt: 50 })
    assert.deepStrictEqual(
      [49, 50, 51].map((at) => Limit.speaks(state, at, true)),
      [false, false, true]
    )
    assert.isTrue(Limit.speaks(state, 50, false))
    const changed = keyWith({}, { mode: Limited, changedAt: 60 })
    assert.deepStrictEqual(
      [59, 60].map((at) => Limit.speaks(changed, at, false)),
      [false, true]
    )
  })

  it("takes a silence for a pause of the caller when it is longer than the odds allow, of a rate that is known", () => {
    const pausedAfter = (silence: number, state: Partial<State>, control?: Partial<Control>): number | undefined => {
      const key = keyWith({ calls: 100, goodAt: 0, lastEventAt: 1000, callsAt: 1000, ...state }, control)
      Limit.afterPause(key, limits, 1000 + silence)
      return key.control?.busyUntil
    }
    // At 100 calls within the memory of 2 s, odds of 11 are 220 ms; the rate fades meanwhile, so that it is 249.2.
    assert.deepStrictEqual(
      [249, 250].map((silence) => pausedAfter(silence, {})),
      [undefined, 1250 + 2 * 250]
    )
    // A rate that has not been counted for a while is less.
    assert.isUndefined(pausedAfter(400, { callsAt: -1000 }))
    // It ends what comes after it for two timeouts at most, …
    assert.strictEqual(pausedAfter(2500, { calls: 1000 }), 3500 + 2 * 2000)
    // … and a rate of fewer than eleven calls is none.
    const limited = { mode: Limited, limit: 4 } as const
    assert.deepStrictEqual(
      [10.999, 11].map((calls) => pausedAfter(9000, { calls, inFlight: 3 }, limited)),
      [-Infinity, 14_000]
    )
    // There is no pause while calls are paced or the limit is reached, and no second one before an answer in time.
    assert.strictEqual(pausedAfter(400, {}, { mode: Paced }), -Infinity)
    assert.deepStrictEqual(
      [4, 3].map((inFlight) => pausedAfter(400, { inFlight }, limited)),
      [-Infinity, 2200]
    )
    assert.deepStrictEqual(
      [499, 500].map((goodAt) => pausedAfter(400, { goodAt }, { pausedAt: 500, busyUntil: 900 })),
      [900, 2200]
    )
    assert.isUndefined(pausedAfter(Number.NaN, {}))
  })

  it("hears nothing of what is late while the caller works off a pause, its first and last moment included", () => {
    const state = keyWith({}, { pausedAt: 100, busyUntil: 200 })
    assert.deepStrictEqual(
      [99, 100, 200, 201].map((at) => Limit.speaks(state, at, true)),
      [true, false, false, true]
    )
    assert.isTrue(Limit.speaks(state, 150, false))
    assert.deepStrictEqual(
      [200, 201].map((now) => Limit.catchesUp(state, now)),
      [true, false]
    )
    assert.isFalse(Limit.catchesUp(keyWith({}), 0))
  })

  it("late is not usual from nine in ten on", () => {
    const at = (share: number): number => {
      const state = keyWith({ late: share })
      Limit.weigh(state, limits, 100, 500, true, chance)
      return state.usualLate
    }
    // What these become with one more late answer is just below 0.9, and 0.9.
    const before = 0.8857142857142858
    assert.strictEqual(before + (1 - before) / 8, 0.9)
    assert.strictEqual(at(0.8857), 0.01)
    assert.strictEqual(at(before), 0)
  })

  it("is lifted when it was not reached for two seconds, and answers are in time", () => {
    const lifted = (state: Partial<State>, now: number): boolean => {
      const key = keyWith(state, { mode: Limited, limit: 8, hitAt: 0 })
      Limit.raise(key, key.control!, now)
      return modeOf(key) === Free
    }
    assert.deepStrictEqual([lifted({}, 2000), lifted({}, 2001)], [false, true])
    // Five means.
    assert.deepStrictEqual([lifted({ mean: 500 }, 2500), lifted({ mean: 500 }, 2501)], [false, true])
    assert.deepStrictEqual([lifted({ late: 0.25 }, 2001), lifted({ late: 0.24 }, 2001)], [false, true])
    assert.isTrue(lifted({ late: 0.25, usualLate: 0.1 }, 2001))
  })

  it("takes over from probes that are no further apart than two calls usually are, or than one answer takes", () => {
    const modeAfter = (gap: number, latency: number) => {
      // A call each 20 ms; an answer in time divides the gap by four.
      const state = keyWith({}, { mode: Paced, gap: 4 * gap })
      Pacing.recovers(state, state.control!, 100, latency, 100 + latency, chance)
      return modeOf(state)
    }
    assert.deepStrictEqual([modeAfter(40.5, 10), modeAfter(40, 10)], [Paced, Limited])
    assert.deepStrictEqual([modeAfter(60.5, 60), modeAfter(60, 60)], [Paced, Limited])
  })
})
