import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Registry from "../../packages/resilience/src/machine/Registry.ts"

interface Cell extends Registry.Entry {
  pinned: boolean
}

const timeToLive = 1000

const make = (maxKeys: number, count = (_: Cell) => {}): Registry.Registry<Cell> =>
  Registry.make<Cell>(maxKeys, timeToLive, (cell) => {
    count(cell)
    return cell.pinned
  })

/** What the users of a registry do: look up, and add what is not there. */
const use = (registry: Registry.Registry<Cell>, key: string, now: number): Cell | undefined => {
  const found = registry.entries.get(key)
  if (found !== undefined) {
    found.lastUsed = now
    return found
  }
  return Registry.add(registry, key, now, (key) => ({ key, lastUsed: now, pinned: false }))
}

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum), Schema.isLessThanOrEqualTo(maximum))

describe("the number of circuits is bounded", () => {
  it.prop(
    "never holds more than the bound, never removes a pinned entry, and refuses only when full of pinned entries",
    {
      maxKeys: between(1, 12),
      commands: Schema.Array(
        Schema.Struct({ op: Schema.Literals(["use", "use", "use", "pin", "unpin", "wait"]), which: between(0, 20) })
      ).check(Schema.isMaxLength(150))
    },
    ({ commands, maxKeys }) => {
      const registry = make(maxKeys)
      const pinned = new Set<string>()
      let now = 0
      for (const { op, which } of commands) {
        const key = `k${which}`
        if (op === "wait") now += which * 30
        else if (op === "use") {
          const full = pinned.size === maxKeys && !registry.entries.has(key)
          assert.strictEqual(use(registry, key, now) === undefined, full)
        } else {
          const cell = registry.entries.get(key)
          if (cell !== undefined) {
            cell.pinned = op === "pin"
            if (cell.pinned) pinned.add(key)
            else pinned.delete(key)
          }
        }
        assert.isAtMost(registry.entries.size, maxKeys)
        for (const key of pinned) assert.isTrue(registry.entries.has(key), `${key} is pinned`)
      }
    },
    { arbitrary: { runs: 300, size: 150, seed: 1 } }
  )

  it("removes a few idle entries per insertion, also below the bound", () => {
    const registry = make(10_000)
    for (let i = 0; i < 100; i++) use(registry, `old${i}`, 0)
    registry.entries.get("old7")!.pinned = true
    for (let i = 0; i < 40; i++) use(registry, `new${i}`, timeToLive)
    const old = Array.from(registry.entries.keys()).filter((key) => key.startsWith("old"))
    assert.deepStrictEqual(old, ["old7"])
  })

  it("keeps an entry that is used, whatever its age", () => {
    const registry = make(10_000)
    for (let now = 0; now < 10 * timeToLive; now += timeToLive / 2) {
      use(registry, "hot", now)
      for (let i = 0; i < 5; i++) use(registry, `other${now}/${i}`, now)
    }
    assert.isTrue(registry.entries.has("hot"))
  })

  it("removes the entries that were used longest ago first", () => {
    const registry = make(4)
    for (const [key, now] of [
      ["a", 3],
      ["b", 1],
      ["c", 2],
      ["d", 4]
    ] as const) {
      use(registry, key, now)
    }
    use(registry, "e", 5)
    assert.sameMembers(Array.from(registry.entries.keys()), ["a", "c", "d", "e"])
  })

  /** A full registry, whose next look is at `k0`. */
  const full = (used: ReadonlyArray<number>, count = (_: Cell) => {}) => {
    const registry = make(used.length, count)
    used.forEach((lastUsed, i) => {
      Registry.ensure(registry, `k${i}`, (key) => ({ key, lastUsed, pinned: false }))
    })
    return registry
  }
  const gone = (registry: Registry.Registry<Cell>): Array<string> => {
    const before = Array.from(registry.entries.keys())
    use(registry, "new", 100)
    return before.filter((key) => !registry.entries.has(key))
  }

  it.each([
    ["the oldest of the next four goes", [9, 8, 7, 6, 1], "k3"],
    ["at any position among them", [9, 2, 7, 6, 1], "k1"],
    ["of equals, the one that comes first", [9, 5, 5, 5, 1], "k1"]
  ])("%s", (_, used, key) => {
    assert.deepStrictEqual(gone(full(used)), [key])
  })

  it("finds the only removable entry among the next sixty-four, and looks no further", () => {
    for (const [at, found] of new Map([
      [63, ["k63"]],
      [64, []]
    ])) {
      const registry = full(new Array(70).fill(0))
      for (const cell of registry.entries.values()) cell.pinned = cell.key !== `k${at}`
      assert.deepStrictEqual(gone(registry), found)
    }
  })

  it("visits four entries per insertion while there is room, all of them idle and pinned", () => {
    let looked = 0
    const registry = make(100, () => {
      looked += 1
    })
    for (let i = 0; i < 10; i++) Registry.ensure(registry, `k${i}`, (key) => ({ key, lastUsed: 0, pinned: true }))
    use(registry, "new", timeToLive)
    assert.strictEqual(looked, 4)
  })

  it("visits only a few entries per insertion, with 10,000 of them", () => {
    let looked = 0
    const registry = make(10_000, () => {
      looked += 1
    })
    for (let i = 0; i < 10_000; i++) use(registry, `k${i}`, 0)
    for (const [pinned, most] of [
      [false, 4],
      [true, 64]
    ] as const) {
      for (const cell of registry.entries.values()) cell.pinned = pinned
      for (let i = 0; i < 100; i++) {
        looked = 0
        use(registry, `more${pinned}${i}`, 0)
        assert.isAtMost(looked, most)
      }
    }
    looked = 0
    for (const key of Array.from(registry.entries.keys())) use(registry, key, 0)
    assert.strictEqual(looked, 0, "a lookup looks at nothing else")
  })

  it("visits all entries in turn, also while some are removed and others added", () => {
    const looked: Array<string> = []
    const registry = make(5, (cell) => {
      looked.push(cell.key)
      cell.pinned = true
    })
    for (let i = 0; i < 5; i++) use(registry, `k${i}`, 0)
    // Idle and pinned, all of them: what the hand passes is looked at, and stays.
    registry.entries.delete("k3")
    use(registry, "k5", timeToLive)
    registry.entries.delete("k5")
    looked.length = 0
    use(registry, "k6", timeToLive)
    registry.entries.delete("k0")
    use(registry, "k7", timeToLive)
    assert.sameMembers([...new Set(looked)], ["k0", "k1", "k2", "k4"])
  })

  it("visits as many entries per insertion at 100,000 keys as at 1,000", () => {
    const steps = (keys: number): number => {
      const registry = make(1_000_000)
      for (let i = 0; i < keys; i++) use(registry, `k${i}`, 0)
      let steps = 0
      const counted = (hand: Iterator<Cell>): Iterator<Cell> => ({
        next: () => {
          steps += 1
          return hand.next()
        }
      })
      const entries = new Proxy(registry.entries, {
        get: (target, name) => {
          if (name === "values") return () => counted(target.values())
          steps += 1
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === "function" ? value.bind(target) : value
        }
      })
      const watched = { ...registry, entries, hand: counted(registry.hand) }
      for (let i = 0; i < 100; i++) use(watched, `more${i}`, 0)
      return steps
    }
    // One more when the hand begins a new round.
    assert.closeTo(steps(100_000), steps(1000), 1)
  })
})
