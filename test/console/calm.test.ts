/** A policy whose load hovers at a limit does not move to and fro on the page. */
import { assert, describe, it } from "@effect/vitest"
import type { State } from "@effect-resilience/console"
import { Calm } from "../../packages/console/page/calm.ts"

/** Only what is looked at. */
const policy = (status: State.Status) => ({ name: "app/Mail", instance: 1, status }) as State.Policy

const statusAfter = (...seen: ReadonlyArray<readonly [at: number, status: State.Status]>) => {
  const calm = new Calm()
  for (const [at, status] of seen) calm.look(at, [policy(status)])
  const [at, status] = seen.at(-1) ?? [0, "healthy"]
  return calm.of(at, policy(status))
}

describe("a policy that has become healthy", () => {
  it("stays among those in trouble for 8 seconds after it was at its limit, with what it was", () => {
    assert.deepStrictEqual(statusAfter([0, "strained"], [1000, "healthy"]), { status: "strained", agoMillis: 1000 })
    assert.deepStrictEqual(statusAfter([0, "erring"], [500, "healthy"], [7999, "healthy"]), {
      status: "erring",
      agoMillis: 7999
    })
    assert.isUndefined(statusAfter([0, "strained"], [500, "healthy"], [8000, "healthy"]))
  })

  it("stays from the last time on", () => {
    assert.strictEqual(statusAfter([0, "strained"], [5000, "strained"], [9000, "healthy"])?.agoMillis, 4000)
  })

  it("is healthy at once when a circuit was open or an operator had changed it, and when it was never in trouble", () => {
    for (const status of ["failing", "isolated", "recovering", "disabled", "healthy"] as const) {
      assert.isUndefined(statusAfter([0, status], [100, "healthy"]), status)
    }
    assert.isUndefined(statusAfter([0, "strained"], [100, "failing"], [200, "healthy"]))
  })

  it("is forgotten when it has left", () => {
    const calm = new Calm()
    calm.look(0, [policy("strained")])
    calm.look(1, [])
    assert.isUndefined(calm.of(2, policy("healthy")))
  })
})
