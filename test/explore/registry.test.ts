import { assert, describe, it } from "@effect/vitest"
import type { Explore } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Registry from "../../packages/resilience/src/machine/Registry.ts"
import { sample } from "../support/sample.ts"
import { explore, violation } from "./report.ts"

interface Entry extends Registry.Entry {
  held: boolean
}

interface State {
  registry: Registry.Registry<Entry>
  now: number
  last: "used" | "added" | "no room" | "other"
}

const idle = 2
const names = ["a", "b", "c", "d", "e"]

const make = (maxKeys: number, bug?: Bug): Registry.Registry<Entry> =>
  Registry.make<Entry>(maxKeys, idle, (entry) => entry.held && bug === undefined)

type Bug = "nothing is pinned"

/** Where the hand of a registry is: before so many of its entries. An iterator can only be asked by going on with it. */
const handOf = (registry: Registry.Registry<Entry>): number => {
  let ahead = 0
  while (registry.hand.next().done !== true) ahead += 1
  const at = registry.entries.size - ahead
  putHand(registry, at)
  return at
}

const putHand = (registry: Registry.Registry<Entry>, at: number): void => {
  registry.hand = registry.entries.values()
  for (let i = 0; i < at; i++) registry.hand.next()
}

/** Functions and iterators cannot be cloned: the registry is made anew, with the same entries and the hand at the same place. */
const copyOf =
  (bug?: Bug) =>
  ({ last, now, registry }: State): State => {
    const copy = make(registry.maxKeys, bug)
    for (const entry of registry.entries.values()) copy.entries.set(entry.key, { ...entry })
    putHand(copy, handOf(registry))
    return { registry: copy, now, last }
  }

const registry = (maxKeys: number, keys: number, bug?: Bug): Explore.Machine<State> => {
  const action = (name: string, change: (state: State) => void): Explore.Action<State> => ({
    name,
    next: (state) => {
      state.last = "other"
      change(state)
      return state
    }
  })
  const use = (key: string) =>
    action(`use ${key}`, (state) => {
      const found = state.registry.entries.get(key)
      if (found !== undefined) {
        found.lastUsed = state.now
        state.last = "used"
        return
      }
      const added = Registry.add(state.registry, key, state.now, (key) => ({
        key,
        lastUsed: state.now,
        held: false
      }))
      state.last = added === undefined ? "no room" : "added"
    })
  const hold = (key: string) =>
    action(`hold or release ${key}`, (state) => {
      const found = state.registry.entries.get(key)
      if (found !== undefined) found.held = !found.held
    })

  return {
    name: `registry of ${maxKeys}, ${keys} keys`,
    initial: () => ({ registry: make(maxKeys, bug), now: 0, last: "other" }),
    copy: copyOf(bug),
    actions: ({ registry }) => [
      ...names.slice(0, keys).map(use),
      ...[...registry.entries.keys()].flatMap((key) => [
        hold(key),
        action(`remove ${key}`, (state) => {
          state.registry.entries.delete(key)
        })
      ]),
      action("tick", (state) => {
        state.now += 1
      })
    ],
    // Instants only count up: what matters is who is idle, and who was used before whom.
    key: ({ last, now, registry }) => {
      const entries = [...registry.entries.values()]
      const instants = [...new Set(entries.map(({ lastUsed }) => lastUsed))].sort((a, b) => a - b)
      return {
        entries: entries.map(({ held, key, lastUsed }) => [
          key,
          held,
          Math.min(idle, now - lastUsed),
          instants.indexOf(lastUsed)
        ]),
        hand: handOf(registry),
        last
      }
    },
    invariants: {
      "never more than its bound": ({ registry }) => registry.entries.size <= maxKeys,
      "each entry is under its key": ({ registry: { entries } }) =>
        [...entries].every(([key, entry]) => entry.key === key)
    },
    steps: {
      "what is held is never forgotten": ({ action, after, before }) =>
        action.startsWith("remove") ||
        [...before.registry.entries.values()].every(({ held, key }) => !held || after.registry.entries.has(key)),
      "a key that was used is there": ({ action, after }) =>
        after.last === "no room" || !action.startsWith("use") || after.registry.entries.has(action.slice(4)),
      "there is room unless all are held": ({ after, before }) =>
        after.last !== "no room" ||
        (before.registry.entries.size === maxKeys && [...before.registry.entries.values()].every(({ held }) => held)),
      "one that is not idle goes only when there is no other room": ({ after, before }) => {
        const gone = [...before.registry.entries.values()].filter(({ key }) => !after.registry.entries.has(key))
        if (after.last !== "added" || before.registry.entries.size === maxKeys) {
          return gone.length <= 1
        }
        return gone.every(({ lastUsed }) => before.now - lastUsed >= idle)
      }
    }
  }
}

describe("every interleaving of uses, holds, removals and time", () => {
  it.effect("of a registry of two, by three keys, with the key verified", () =>
    explore(registry(2, 3), { verifyKey: true })
  )
  it.effect(`of a registry of ${sample("two", "three")}, by four keys`, () => explore(registry(sample(2, 3), 4)))

  it.effect("a registry that forgets what is held is found", () =>
    Effect.gen(function* () {
      const found = yield* violation(registry(1, 2, "nothing is pinned"))
      assert.strictEqual(found?.law, "what is held is never forgotten")
      assert.deepStrictEqual(found?.trace, ["use a", "hold or release a", "use b"])
    })
  )
})
