import { assert, describe, it } from "@effect/vitest"
import { Explore } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import { endless } from "./machines.ts"

/** Peterson's lock for two: a small machine whose bugs are famous. */
interface Lock {
  readonly wants: [boolean, boolean]
  turn: 0 | 1
  readonly at: ["idle" | "wants" | "waits" | "inside", "idle" | "wants" | "waits" | "inside"]
}

type Bug = "no turn" | "politeness comes first"

const clients = [0, 1] as const

const peterson = (bug?: Bug): Explore.Machine<Lock> => ({
  name: "Peterson's lock",
  initial: () => ({ wants: [false, false], turn: 0, at: ["idle", "idle"] }),
  actions: ({ at, turn, wants }) =>
    clients.flatMap((i): ReadonlyArray<Explore.Action<Lock>> => {
      const other = i === 0 ? 1 : 0
      const step = (name: string, change: (lock: Lock) => void): Explore.Action<Lock> => ({
        name: `${i} ${name}`,
        next: (lock) => {
          change(lock)
          return lock
        }
      })
      const enter = step("enters", (lock) => {
        lock.at[i] = "inside"
      })
      switch (at[i]) {
        case "idle":
          return [
            step("wants", (lock) => {
              if (bug === "politeness comes first") lock.turn = other
              else lock.wants[i] = true
              lock.at[i] = "wants"
            })
          ]
        case "wants":
          return [
            step("lets the other go first", (lock) => {
              if (bug === "politeness comes first") lock.wants[i] = true
              else if (bug === undefined) lock.turn = other
              lock.at[i] = "waits"
            })
          ]
        case "waits":
          return wants[other] && (bug === "no turn" || turn !== i) ? [] : [enter]
        default:
          return [
            step("leaves", (lock) => {
              lock.wants[i] = false
              lock.at[i] = "idle"
            })
          ]
      }
    }),
  invariants: { "one at a time": ({ at }) => !(at[0] === "inside" && at[1] === "inside") },
  steps: {
    "nobody is pushed": ({ action, after, before }) =>
      clients.every((i) => action.startsWith(`${i}`) || before.at[i] === after.at[i])
  },
  goals: {
    "the first gets in": { from: ({ at }) => at[0] === "waits", reached: ({ at }) => at[0] === "inside" },
    "the second gets in": { from: ({ at }) => at[1] === "waits", reached: ({ at }) => at[1] === "inside" }
  }
})

const trace = (found: Effect.Error<ReturnType<typeof Explore.check>>): ReadonlyArray<string> =>
  found._tag === "Violated" ? found.trace.map(({ action }) => action) : []

describe("Explore.check", () => {
  it.effect("visits every state, and counts", () =>
    Effect.gen(function* () {
      const explored = yield* Explore.check(peterson())
      assert.deepInclude(explored, { machine: "Peterson's lock", laws: 4 })
      assert.strictEqual(
        Explore.format(explored),
        `Peterson's lock: ${explored.states} states, ${explored.transitions} transitions, depth ${explored.depth}, ` +
          "4 laws hold; the first gets in within 3 steps; the second gets in within 3 steps"
      )
      assert.deepStrictEqual([explored.states, explored.transitions], [20, 34])
    })
  )

  it.effect("finds the interleaving that breaks mutual exclusion, and no shorter one exists", () =>
    Effect.gen(function* () {
      const found = yield* Effect.flip(Explore.check(peterson("politeness comes first")))
      assert.deepInclude(found, { _tag: "Violated", kind: "invariant", law: "one at a time" })
      assert.deepStrictEqual(trace(found), [
        "0 wants",
        "1 wants",
        "1 lets the other go first",
        "1 enters",
        "0 lets the other go first",
        "0 enters"
      ])
    })
  )

  it.effect("finds a deadlock: a goal that is out of reach", () =>
    Effect.gen(function* () {
      const found = yield* Effect.flip(Explore.check(peterson("no turn")))
      assert.deepInclude(found, { _tag: "Violated", kind: "goal", law: "the first gets in" })
      assert.deepStrictEqual(trace(found), ["0 wants", "0 lets the other go first", "1 wants"])
    })
  )

  it.effect("finds what a law throws, and shows the way with every state on it", () =>
    Effect.gen(function* () {
      const machine = peterson()
      const found = yield* Effect.flip(
        Explore.check({
          ...machine,
          invariants: {
            "nobody waits": ({ at }) => {
              if (at.includes("waits")) throw new Error("somebody waits")
              return true
            }
          }
        })
      )
      assert.strictEqual(
        found.message,
        [
          'Peterson\'s lock: the invariant "nobody waits" does not hold after 2 steps',
          "  somebody waits",
          '   0  initial                    {at: ["idle", "idle"], turn: 0, wants: [false, false]}',
          '   1  0 wants                    {at: ["wants", "idle"], turn: 0, wants: [true, false]}',
          '   2  0 lets the other go first  {at: ["waits", "idle"], turn: 1, wants: [true, false]}',
          "(4 states, 3 transitions visited; there is no shorter path)"
        ].join("\n")
      )
    })
  )

  it.effect("finds what is wrong in the initial state, in a step, and an action that throws", () =>
    Effect.gen(function* () {
      const initial = yield* Effect.flip(Explore.check({ ...peterson(), invariants: { no: () => false } }))
      assert.deepStrictEqual(trace(initial), [])
      const step = yield* Effect.flip(
        Explore.check({ ...peterson(), steps: { "no turns": ({ after, before }) => after.turn === before.turn } })
      )
      assert.deepInclude(step, { kind: "step", law: "no turns" })
      assert.deepStrictEqual(trace(step), ["0 wants", "0 lets the other go first"])
      const action = yield* Effect.flip(
        Explore.check<number>({
          name: "throws",
          initial: () => 0,
          actions: () => [
            {
              name: "add",
              next: (n) => {
                if (n === 2) throw new Error("three is too many")
                return n + 1
              }
            }
          ],
          invariants: { counts: (n) => n >= 0 }
        })
      )
      assert.deepInclude(action, { kind: "action", law: "add" })
      assert.strictEqual(trace(action).length, 3)
    })
  )

  it.effect("gives up where there is no end of states", () =>
    Effect.gen(function* () {
      const found = yield* Effect.flip(Explore.check(endless, { maxStates: 100 }))
      assert.deepInclude(found, { _tag: "TooManyStates", states: 100, depth: 100 })
      const modulo = yield* Explore.check({ ...endless, key: (n) => n % 12 }, { maxStates: 100, verifyKey: true })
      assert.strictEqual(modulo.states, 12)
    })
  )

  it.effect("finds a key that leaves out what matters", () =>
    Effect.gen(function* () {
      interface Traffic {
        light: number
        odd: boolean
      }
      const traffic: Explore.Machine<Traffic> = {
        name: "traffic",
        initial: () => ({ light: 0, odd: false }),
        actions: ({ odd }) => [
          { name: "switch", next: ({ light, odd }) => ({ light: (light + 1) % 3, odd: !odd }) },
          ...(odd ? [{ name: "go", next: (state: Traffic) => state }] : [])
        ],
        key: ({ light }) => light,
        invariants: { "has three lights": ({ light }) => light < 3 }
      }
      assert.strictEqual((yield* Explore.check(traffic)).states, 3)
      const found = yield* Effect.flip(Explore.check(traffic, { verifyKey: true }))
      assert.deepInclude(found, { _tag: "Violated", kind: "key" })
    })
  )

  it.effect("never changes a state that it has kept", () =>
    Effect.gen(function* () {
      // Every action changes its copy in place; were it the state itself, the ways would not be as long.
      const found = yield* Effect.flip(
        Explore.check<{ list: Array<number> }>({
          name: "list",
          initial: () => ({ list: [] }),
          actions: ({ list }) =>
            list.length > 3
              ? []
              : [0, 1].map((n) => ({
                  name: `push ${n}`,
                  next: (state) => {
                    state.list.push(n)
                    return state
                  }
                })),
          invariants: { "not 1, 0, 1": ({ list }) => `${list}` !== "1,0,1" }
        })
      )
      assert.deepStrictEqual(trace(found), ["push 1", "push 0", "push 1"])
    })
  )
})
