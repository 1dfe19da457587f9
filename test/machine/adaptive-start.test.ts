import { assert, describe, it } from "@effect/vitest"
import * as Adaptive from "../../packages/resilience/src/machine/Adaptive.ts"
import { seeded } from "../support/random.ts"

interface World {
  readonly timeout: number
  /** Calls a second. */
  readonly rate: number
  /** Milliseconds that an attempt takes which is sent at a moment. */
  readonly latency: (at: number) => number
}

/** The calls of the first three seconds of a key. Returns how many of them found no room. */
const refusedOf = ({ latency, rate, timeout }: World, random: () => number): number => {
  const chance: Adaptive.Chance = { nextDoubleUnsafe: random }
  const limits = { timeout, deadline: 2 * timeout }
  const state = new Adaptive.State()
  const sent: Array<{ readonly flight: Adaptive.Flight; readonly endsAt: number; readonly how: Adaptive.How }> = []
  const endUntil = (now: number): void => {
    sent.sort((one, other) => one.endsAt - other.endsAt)
    for (let first = sent[0]; first !== undefined && first.endsAt <= now; first = sent[0]) {
      sent.shift()
      Adaptive.ended(state, limits, first.flight, first.endsAt, first.how, chance)
    }
  }
  let refused = 0
  for (let now = 0; now < 3000; now += (-Math.log(1 - random()) * 1000) / rate) {
    endUntil(now)
    Adaptive.came(state, limits, now, chance)
    if (!Adaptive.admits(state, now)) {
      refused += 1
      continue
    }
    const flight = new Adaptive.Flight()
    Adaptive.sent(state, flight, now, true, true, chance)
    const takes = latency(now)
    sent.push({ flight, endsAt: now + Math.min(takes, timeout), how: takes < timeout ? "ok" : "timeout" })
  }
  return refused
}

/** Worlds of 20 to 400 calls a second and timeouts of 0.5 to 2 seconds; in each, answers take up to 300 ms at first. */
const refusedIn = (latencyOf: (random: () => number) => World["latency"]): ReadonlyArray<number> =>
  Array.from({ length: 100 }, (_, seed) => {
    const random = seeded(seed + 1)
    return refusedOf({ rate: 20 * 20 ** random(), timeout: 500 * 4 ** random(), latency: latencyOf(random) }, random)
  })

const none = Array.from({ length: 100 }, () => 0)

describe("Adaptive: the first calls of a process", () => {
  it("answers take 50 to 300 ms at first, and ever less: no call finds no room", () => {
    const refused = refusedIn((random) => {
      const [first, over, jitter] = [50 + 250 * random(), 1000 + 1000 * random(), 0.3 * random()]
      return (at) => (5 + first * Math.exp((-4 * at) / over)) * (1 + jitter * (random() - 0.5))
    })
    assert.deepStrictEqual(refused, none)
  })

  it("each of the first answers takes a time of its own, up to 300 ms: no call finds no room", () => {
    const refused = refusedIn((random) => {
      const over = 1000 + 1000 * random()
      return (at) => 5 + (50 + 250 * random()) * Math.exp((-4 * at) / over)
    })
    assert.deepStrictEqual(refused, none)
  })

  it("a dependency that hangs from the first call on is not asked for more than a limit", () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = seeded(seed + 1)
      const [rate, timeout] = [50 + 350 * random(), 500]
      // Later than seven tenths of the timeout.
      const sent = 3 * rate - refusedOf({ rate, timeout, latency: () => Infinity }, random)
      assert.isBelow(sent, rate)
    }
  })
})

describe("Adaptive: the caller stands still", () => {
  const limits = { timeout: 500, deadline: 1000 }
  const chance: Adaptive.Chance = { nextDoubleUnsafe: () => 0.5 }
  const send = (state: Adaptive.State, now: number): Adaptive.Flight => {
    const flight = new Adaptive.Flight()
    Adaptive.came(state, limits, now, chance)
    Adaptive.sent(state, flight, now, true, true, chance)
    return flight
  }
  const end = (state: Adaptive.State, flight: Adaptive.Flight, now: number): void =>
    Adaptive.ended(state, limits, flight, now, "ok", chance)
  /** Two seconds of calls that take 10 ms, one each `gap`; then ten of them at once, which have no answer yet. */
  const begun = (gap: number) => {
    const state = new Adaptive.State()
    let now = 0
    for (; now < 2000; now += gap) end(state, send(state, now), now + 10)
    return { state, now, flights: Array.from({ length: 10 }, () => send(state, now)) }
  }

  it("answers that were on their way while neither a call nor an answer came are no evidence", () => {
    const { flights, now, state } = begun(20)
    for (const flight of flights) end(state, flight, now + 400)
    assert.strictEqual(state.latesInRow, 0)
    assert.strictEqual(Adaptive.modeOf(state), Adaptive.Free)
  })

  it("nor when a call is the first that comes afterwards", () => {
    const { now, state } = begun(20)
    send(state, now + 400)
    assert.strictEqual(state.latesInRow, 0)
    assert.strictEqual(Adaptive.modeOf(state), Adaptive.Free)
  })

  it("an answer that came meanwhile shows that it did not: late answers are evidence", () => {
    const { flights, now, state } = begun(20)
    for (const [index, flight] of flights.entries()) end(state, flight, now + 150 + 50 * index)
    assert.strictEqual(Adaptive.modeOf(state), Adaptive.Limited)
  })

  it("callers that wait for their answers hear nothing either when the dependency hangs: a second time in a row counts", () => {
    const { flights, now, state } = begun(20)
    for (const flight of flights) end(state, flight, now + 400)
    // What is sent while the caller works off what has piled up is no evidence either.
    const again = Array.from({ length: 10 }, () => send(state, now + 400))
    for (const flight of again) end(state, flight, now + 1210)
    assert.strictEqual(Adaptive.modeOf(state), Adaptive.Free)
    const third = Array.from({ length: 10 }, () => send(state, now + 1210))
    for (const flight of third) end(state, flight, now + 1610)
    assert.strictEqual(Adaptive.modeOf(state), Adaptive.Limited)
  })

  it("after an answer in time to a call of afterwards, a pause is one again", () => {
    const { flights, now, state } = begun(20)
    for (const flight of flights) end(state, flight, now + 400)
    end(state, send(state, now + 400), now + 410)
    const again = Array.from({ length: 10 }, () => send(state, now + 410))
    for (const flight of again) end(state, flight, now + 810)
    assert.strictEqual(state.latesInRow, 0)
    assert.strictEqual(Adaptive.modeOf(state), Adaptive.Free)
  })

  /** A key under a limit, which is reached when `inFlight` attempts are sent. */
  const limited = (inFlight: number) => {
    const { flights, now, state } = begun(20)
    for (const [index, flight] of flights.entries()) end(state, flight, now + 150 + 50 * index)
    end(state, send(state, now + 600), now + 610)
    const control = state.control!
    control.limit = 12
    return { control, now: now + 610, flights: Array.from({ length: inFlight }, () => send(state, now + 610)), state }
  }

  it("under a limit with room for a call, a pause lowers nothing either", () => {
    const { control, flights, now, state } = limited(11)
    for (const flight of flights) end(state, flight, now + 400)
    assert.strictEqual(control.limit, 12)
    assert.strictEqual(state.latesInRow, 0)
  })

  it("under a limit that is reached no call is sent, so silence says nothing: late answers are evidence", () => {
    const { control, flights, now, state } = limited(12)
    for (const flight of flights) end(state, flight, now + 400)
    assert.isBelow(control.limit, 12)
  })

  it("where calls are few, silence says nothing: late answers are evidence", () => {
    const state = new Adaptive.State()
    for (let now = 0; now < 20_000; now += 1000) end(state, send(state, now), now + 10)
    const flights = Array.from({ length: 4 }, () => send(state, 20_000))
    for (const flight of flights) end(state, flight, 20_450)
    assert.strictEqual(Adaptive.modeOf(state), Adaptive.Limited)
  })
})
