import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Subject, soak } from "../../packages/tools/src/soak.ts"
import { subjects } from "../soak/subjects.ts"

const fine: Subject = { name: "fine", run: () => Effect.succeed(2) }
const broken: Subject = {
  name: "broken at 12",
  run: (seed) => (seed === 12 ? Effect.fail(new Error("no")) : Effect.succeed(1))
}

describe("npx tool soak", () => {
  it("takes the next seed in every round, until it may not go on", async () => {
    const seeds: Array<number> = []
    const one: Subject = { name: "one", run: (seed) => Effect.sync(() => seeds.push(seed)) }
    const soaked = await soak([one, fine], { seed: 7, goesOn: (rounds) => rounds < 3 })
    assert.deepStrictEqual(seeds, [7, 8, 9])
    assert.deepStrictEqual([soaked.rounds, soaked.runs, soaked.cases, soaked.failure], [3, 6, 12, undefined])
  })

  it("ends at the first failure, with the seed that shows it again", async () => {
    const soaked = await soak([fine, broken], { seed: 10, goesOn: () => true })
    assert.deepStrictEqual(soaked.failure, { subject: "broken at 12", seed: 12, message: "no" })
    const again = await soak([fine, broken], { seed: 12, only: "broken", goesOn: (rounds) => rounds === 0 })
    assert.deepStrictEqual(again.failure, soaked.failure)
  })

  it("takes a defect and what throws for a failure too", async () => {
    for (const run of [
      () => Effect.die("no"),
      () => {
        throw new Error("no")
      }
    ]) {
      const soaked = await soak([{ name: "x", run }], { seed: 1, goesOn: () => true })
      assert.strictEqual(soaked.failure?.message, "no")
    }
  })

  it("has subjects with names of their own, and runs what is asked for only", async () => {
    const names = subjects.map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
    const asked: Array<string> = []
    await soak(subjects, {
      seed: 1,
      only: "retry budget",
      goesOn: (rounds) => rounds === 0,
      progress: ({ subject }) => asked.push(subject)
    })
    assert.deepStrictEqual(asked, ["model: retry budget"])
  })
})
