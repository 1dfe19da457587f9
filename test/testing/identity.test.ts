import { assert, describe, it } from "@effect/vitest"
import { Explore, Model } from "@effect-resilience/testing"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Hash from "effect/Hash"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { endless } from "./machines.ts"

class Point extends Data.Class<{ readonly n: number }> {}
class Failed extends Data.TaggedError("Failed")<{ readonly n: number }> {}

/** A value of its own equality, with its number where no field shows it. */
class Coin implements Equal.Equal {
  readonly #worth: number
  constructor(worth: number) {
    this.#worth = worth
  }
  [Equal.symbol](that: Equal.Equal): boolean {
    return that instanceof Coin && that.#worth === this.#worth
  }
  [Hash.symbol]() {
    return Hash.hash(this.#worth)
  }
}

/** The same kind of value for two numbers. */
const kinds: Readonly<Record<string, (n: number) => unknown>> = {
  Date: (n) => new Date(n),
  "an invalid Date": (n) => (n === 0 ? new Date(Number.NaN) : new Date(n)),
  RegExp: (n) => new RegExp(`a{${n}}`),
  URL: (n) => new URL(`http://localhost/${n}`),
  URLSearchParams: (n) => new URLSearchParams({ n: String(n) }),
  Error: (n) => new Error(`error ${n}`),
  "an Error of another class": (n) => (n === 0 ? new RangeError("no") : new TypeError("no")),
  "an Error with a cause": (n) => new Error("no", { cause: n }),
  "a tagged error": (n) => new Failed({ n }),
  Map: (n) => new Map([[n, "a"]]),
  Set: (n) => new Set([n]),
  bytes: (n) => new Uint8Array([n]),
  ArrayBuffer: (n) => new Uint8Array([n]).buffer,
  DataView: (n) => new DataView(new Uint8Array([n]).buffer),
  bigint: (n) => BigInt(n),
  "a symbol": (n) => Symbol.for(`identity ${n}`),
  "a field that is a symbol": (n) => ({ [Symbol.for("n")]: n }),
  "a field that is not enumerable": (n) => Object.defineProperty({}, "n", { value: n }),
  "a class": (n) => new Point({ n }),
  "a class with its own Equal": (n) => new Coin(n),
  Duration: (n) => Duration.millis(n),
  DateTime: (n) => DateTime.makeUnsafe(n),
  Option: (n) => Option.some(n),
  "Option of an object": (n) => Option.some({ n: [n] }),
  Result: (n) => (n === 0 ? Result.succeed(0) : Result.fail(0)),
  Exit: (n) => Exit.fail(n),
  Cause: (n) => Cause.die(n),
  Chunk: (n) => Chunk.make(n),
  "a Chunk that was appended to": (n) => Chunk.append(Chunk.make(1), n),
  HashMap: (n) => HashMap.make([n, 1]),
  HashSet: (n) => HashSet.make(n),
  Redacted: (n) => Redacted.make(n)
}

/** How many states a machine has that shows one of three values. */
const states = (value: (n: number) => unknown) =>
  Effect.map(
    Explore.check<{ n: number }>({
      name: "three values",
      initial: () => ({ n: 0 }),
      actions: () => [{ name: "next", next: ({ n }) => ({ n: (n + 1) % 2 }) }],
      key: ({ n }) => ({ shown: value(n) }),
      invariants: { "is a number": ({ n }) => n < 3 }
    }),
    (explored) => explored.states
  )

const shows = (expected: unknown, actual: unknown): Model.Model<null, null> => ({
  name: "shows",
  initial: () => null,
  real: Effect.succeed(null),
  commands: {
    look: Model.command<null, null>()({
      input: Model.none,
      next: () => expected,
      run: () => Effect.succeed(actual)
    })
  },
  expected: () => expected,
  actual: () => Effect.succeed(actual)
})

describe("two values of one kind", () => {
  it.effect.each(Object.entries(kinds).map(([name, value]) => ({ name, value })))(
    "$name: two states, and a difference to a model; equal ones are one state, and no difference",
    ({ value }) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* states(value), 2)
        assert.strictEqual(yield* states(() => value(1)), 1)
        yield* Model.check(shows(value(1), value(1)), { runs: 1 })
        const found = yield* Effect.flip(Model.check(shows(value(0), value(1)), { runs: 1 }))
        assert.strictEqual(found.where, "answer")
        assert.include(found.message, "but the model expects")
      })
  )

  it.effect("a clock that ticks past its bound is found, with its time in a Date, a Duration or a class", () =>
    Effect.gen(function* () {
      const clock = <T>(at: (hour: number) => T, hour: (time: T) => number): Explore.Machine<{ time: T }> => ({
        name: "clock",
        initial: () => ({ time: at(0) }),
        actions: () => [{ name: "tick", next: (state) => ({ time: at((hour(state.time) + 1) % 24) }) }],
        invariants: { "ends at noon": ({ time }) => hour(time) < 12 }
      })
      for (const violated of [
        yield* Effect.flip(
          Explore.check(
            clock(
              (n) => new Date(n),
              (date) => date.getTime()
            )
          )
        ),
        yield* Effect.flip(Explore.check(clock(Duration.millis, Duration.toMillis))),
        yield* Effect.flip(
          Explore.check(
            clock(
              (n) => new Point({ n }),
              ({ n }) => n
            )
          )
        )
      ]) {
        assert.strictEqual(violated._tag === "Violated" && violated.trace.length, 12)
      }
    })
  )
})

class Secret {
  #n = 0
  get n() {
    return this.#n
  }
  next(): Secret {
    this.#n += 1
    return this
  }
}

const state = new WeakMap<object, number>()
class Elsewhere {
  get n() {
    return state.get(this) ?? 0
  }
}

describe("what cannot be told apart", () => {
  const refused: Readonly<Record<string, readonly [value: () => unknown, why: string]>> = {
    "private fields": [() => new Secret(), "Secret has private fields"],
    "getters over state that is elsewhere": [() => new Elsewhere(), "Elsewhere has getters but no fields"],
    "a function": [() => ({ read: () => 1 }), "two functions cannot be compared: read"],
    "a promise": [() => Promise.resolve(1), "Promise is built in, and its state cannot be read"],
    "a WeakMap": [() => new WeakMap(), "WeakMap is built in, and its state cannot be read"],
    "a generator": [() => [1][Symbol.iterator](), "a value of Array Iterator cannot be read"]
  }
  it.effect.each(Object.entries(refused).map(([name, [value, why]]) => ({ name, value, why })))(
    "$name: refused, with the option that helps",
    ({ value, why }) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(states(value))
        const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.instanceOf(defect, RangeError)
        assert.include(
          defect.message,
          `Explore.check: three values: a key cannot be told apart from others: ${why}, in {shown: `
        )
        const compared = yield* Effect.exit(Model.check(shows(value(), value()), { runs: 1 }))
        const refusal = Exit.isFailure(compared) ? Cause.squash(compared.cause) : undefined
        assert.instanceOf(refusal, RangeError)
        assert.include(refusal.message, `Model: shows: the result of "look" cannot be compared: ${why}`)
      })
  )

  it.effect("`key` of a machine and of a model says what counts", () =>
    Effect.gen(function* () {
      const machine: Explore.Machine<Secret> = {
        name: "secret",
        initial: () => new Secret(),
        actions: (secret) => (secret.n < 3 ? [{ name: "next", next: (one) => one.next() }] : []),
        copy: (secret) => {
          const copy = new Secret()
          for (let i = 0; i < secret.n; i++) copy.next()
          return copy
        },
        invariants: { "ends at three": ({ n }) => n <= 3 }
      }
      const exit = yield* Effect.exit(Explore.check(machine))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", "Give `key` to the machine")
      assert.strictEqual((yield* Explore.check({ ...machine, key: ({ n }) => n })).states, 4)
      const { copy: _, ...uncopied } = { ...machine, key: ({ n }: Secret) => n }
      const copying = yield* Effect.exit(Explore.check(uncopied))
      assert.include(Exit.isFailure(copying) ? Cause.pretty(copying.cause) : "", "Give `copy` to the machine")
      const model: Model.Model<null, null> = {
        ...shows(new Secret(), new Secret().next()),
        key: (value) => (value instanceof Secret ? value.n : value)
      }
      assert.deepInclude(yield* Effect.flip(Model.check(model)), { where: "answer" })
    })
  )

  it.effect("a copy keeps classes, dates and shared parts, and shares nothing with its state", () =>
    Effect.gen(function* () {
      class Box {
        readonly at = new Date(0)
        readonly list: Array<number> = []
        readonly same = this.list
        readonly named = new Map([["a", { n: 0 }]])
        add() {
          this.list.push(1)
          this.at.setTime(this.at.getTime() + 1)
          const named = this.named.get("a")
          if (named !== undefined) named.n += 1
          return this
        }
      }
      const explored = yield* Explore.check<Box>({
        name: "box",
        initial: () => new Box(),
        actions: ({ list }) => (list.length < 4 ? [{ name: "add", next: (box) => box.add() }] : []),
        invariants: {
          "is a Box with one list": (box) => box instanceof Box && box.same === box.list,
          "counts the same everywhere": ({ at, list, named }) =>
            at.getTime() === list.length && named.get("a")?.n === list.length
        }
      })
      assert.strictEqual(explored.states, 5)
    })
  )
})

describe("an exploration that would prove nothing", () => {
  const machine: Explore.Machine<number> = {
    name: "switch",
    initial: () => 0,
    actions: (n) => [{ name: "switch", next: () => 1 - n }],
    invariants: { "on or off": (n) => n < 2 }
  }
  it.effect.each([
    ["no laws", { ...machine, invariants: {} }, "it has no laws, so an exploration proves nothing"],
    ["no actions", { ...machine, actions: () => [] }, "no action is possible in the initial state"],
    [
      "a goal that is never asked for",
      { ...machine, goals: { off: { from: (n: number) => n > 1, reached: () => true } } },
      'the goal "off" was never asked for'
    ]
  ] as const)("%s: refused", ([_, vacuous, why]) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Explore.check<number>(vacuous))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", `Explore.check: switch: ${why}`)
    })
  )

  it.effect("a law that returns an effect, or nothing, is broken", () =>
    Effect.gen(function* () {
      // JavaScript would let it.
      for (const answer of [Effect.succeed(false), undefined, 1] as ReadonlyArray<unknown>) {
        const found = yield* Effect.flip(Explore.check({ ...machine, invariants: { odd: () => answer as boolean } }))
        assert.include(found.message, "it must return true or false, got ")
      }
    })
  )
})

describe("the time limit of an exploration", () => {
  it.effect("stops one without an end, and names it", () =>
    Effect.gen(function* () {
      const found = yield* Effect.flip(Explore.check(endless, { maxStates: 1e9, timeLimit: "20 millis" }))
      assert.strictEqual(found._tag, "TimeLimitExceeded")
      assert.match(
        found.message,
        /^Explore: stopped the exploration of endless, at the action "tick" after [\d,]+ states and [\d,]+ transitions, which had not ended after 20ms$/
      )
      assert.throws(() => Effect.runSync(Explore.check(endless, { timeLimit: 0 })), "timeLimit must be above zero")
    })
  )
})
