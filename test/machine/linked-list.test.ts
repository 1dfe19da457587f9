import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as LinkedList from "../../packages/resilience/src/machine/LinkedList.ts"

interface Item extends LinkedList.Node<Item> {
  readonly id: number
}

const item = (id: number): Item => ({ id, linked: false, previous: undefined, next: undefined })

/** The ids in order, which is the same from both ends. */
const idsOf = (list: LinkedList.LinkedList<Item>): Array<number> => {
  const forward: Array<number> = []
  for (let at = list.first; at !== undefined; at = at.next) forward.push(at.id)
  const backward: Array<number> = []
  for (let at = list.last; at !== undefined; at = at.previous) backward.unshift(at.id)
  assert.deepStrictEqual(forward, backward)
  return forward
}

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

describe("a linked list", () => {
  it("is empty at first, with both of its fields", () => {
    assert.deepStrictEqual(LinkedList.make<Item>(), { first: undefined, last: undefined })
  })

  it("keeps the order in which nodes were added, and marks them as linked", () => {
    const list = LinkedList.make<Item>()
    const items = [1, 2, 3].map(item)
    for (const one of items) LinkedList.append(list, one)
    assert.deepStrictEqual(idsOf(list), [1, 2, 3])
    assert.deepStrictEqual(
      items.map(({ linked }) => linked),
      [true, true, true]
    )
  })

  it.each([
    ["the first", 1, [2, 3]],
    ["one between others", 2, [1, 3]],
    ["the last", 3, [1, 2]]
  ])("removes %s once, and the node can be added again", (_, id, rest) => {
    const list = LinkedList.make<Item>()
    const items = [1, 2, 3].map(item)
    for (const one of items) LinkedList.append(list, one)
    const removed = items[id - 1]!
    assert.isTrue(LinkedList.remove(list, removed))
    assert.deepStrictEqual(idsOf(list), rest)
    assert.deepStrictEqual(removed, item(id), "no reference to its former neighbours")
    assert.isFalse(LinkedList.remove(list, removed))
    assert.deepStrictEqual(idsOf(list), rest)
    LinkedList.append(list, removed)
    assert.deepStrictEqual(idsOf(list), [...rest, id])
  })

  it("is empty after its only node was removed", () => {
    const list = LinkedList.make<Item>()
    const only = item(1)
    LinkedList.append(list, only)
    LinkedList.remove(list, only)
    assert.deepStrictEqual(list, LinkedList.make<Item>())
  })

  it("removes no node that was never added", () => {
    const list = LinkedList.make<Item>()
    LinkedList.append(list, item(1))
    assert.isFalse(LinkedList.remove(list, item(1)))
    assert.deepStrictEqual(idsOf(list), [1])
  })

  it.prop(
    "holds what an array holds, after any additions and removals",
    [Schema.Array(between(0, 9))],
    ([toggled]) => {
      const list = LinkedList.make<Item>()
      const items = Array.from({ length: 10 }, (_, id) => item(id))
      let expected: Array<number> = []
      for (const id of toggled) {
        const held = expected.includes(id)
        assert.strictEqual(items[id]!.linked, held)
        if (held) {
          assert.isTrue(LinkedList.remove(list, items[id]!))
          expected = expected.filter((other) => other !== id)
        } else {
          LinkedList.append(list, items[id]!)
          expected = [...expected, id]
        }
        assert.deepStrictEqual(idsOf(list), expected)
      }
    },
    { arbitrary: { runs: 100, size: 40, seed: 1 } }
  )
})
