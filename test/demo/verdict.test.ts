import { assert, describe, it } from "@effect/vitest"
import type { Figures, Measured } from "../../packages/demo/src/measure.ts"
import { isRecovery, type Script } from "../../packages/demo/src/script.ts"
import { distrust, verdict } from "../../packages/demo/src/verdict.ts"

const script: Script = [
  { name: "healthy", mode: "healthy", seconds: 4 },
  { name: "slow", mode: "slow", seconds: 4 },
  { name: "after slow", mode: "healthy", seconds: 4 },
  { name: "hanging", mode: "hanging", seconds: 4 },
  { name: "after hanging", mode: "healthy", seconds: 4 },
  { name: "down", mode: "down", seconds: 4 },
  { name: "healthy again", mode: "healthy", seconds: 4 }
]

/** 1000 calls in each phase: how many of them are lost, and the phases after a fault in which the client was never well. */
const client = (lost: ReadonlyArray<number>, sent = 1, unwell: ReadonlyArray<string> = [], p99 = 60): Measured => {
  const figures = (lost: number, calls: number, recovery?: Figures["recovery"]): Figures => ({
    calls,
    lost,
    goodput: 1 - lost / calls,
    p99,
    sent,
    received: sent,
    recovery
  })
  const phases = script.map(({ name }, index) =>
    figures(
      lost[index] ?? 0,
      1000,
      isRecovery(script, index) ? { after: 500, bound: unwell.includes(name) } : undefined
    )
  )
  const all = lost.reduce((sum, one) => sum + one, 0)
  return { phases, all: figures(all, 1000 * script.length), late: 0 }
}

const bare = client([0, 600, 0, 200, 0, 1000, 0])
const retry = client([0, 700, 0, 300, 0, 900, 0], 3.18)
const policy = client([0, 400, 0, 100, 0, 1000, 50], 0.73)
const adaptive = client([0, 300, 0, 100, 0, 900, 0], 0.8)

const told = (measured: Partial<Parameters<typeof verdict>[1]>) =>
  verdict(script, { bare, retry, policy, adaptive, ...measured }, 1000)

describe("the verdict", () => {
  it("compares the calls lost and the requests sent", () => {
    assert.strictEqual(
      told({})[0],
      "policy lost 14 % fewer calls than bare and 18 % fewer than retry, with 0.73 requests a call instead of 1.00 (bare) and 3.18 (retry)."
    )
  })

  it("says so as plainly when the policy lost more, or as many", () => {
    assert.match(
      told({ policy: client([0, 990, 0, 0, 0, 990]) })[0] ?? "",
      /^policy lost 10 % more calls than bare and 4 % more than retry,/
    )
    assert.match(told({ policy: bare })[0] ?? "", /^policy lost as many calls as bare and 5 % fewer than retry,/)
    assert.match(told({ bare: client([]) })[0] ?? "", /^policy lost 1550 calls instead of bare's 0 and /)
  })

  it("says whether the client without numbers lost the fewest calls, and where it lost the most", () => {
    const toldOf = (lost: ReadonlyArray<number>) => told({ adaptive: client(lost, 0.8) })[1]
    assert.strictEqual(
      told({})[1],
      "adaptive lost 1300 calls, the fewest, in no phase the most, with 0.80 requests a call."
    )
    assert.strictEqual(
      toldOf([11, 300, 0, 311, 0, 1000, 50]),
      "adaptive lost 1672 calls, the most in 'healthy' and 'hanging', with 0.80 requests a call."
    )
    // A difference that the next run may turn round.
    assert.strictEqual(
      toldOf([10, 300, 0, 310, 0, 930, 0]),
      "adaptive lost 1550 calls, in no phase the most, with 0.80 requests a call."
    )
  })

  it("explains the phases in which the policy was not best, and no others", () => {
    const lines = told({})
    assert.deepStrictEqual(lines.slice(2, 5), [
      "policy was not best in:",
      "- down (lost 1000, retry 900): an open circuit refuses calls that a late retry would have saved",
      "- healthy again (lost 50, bare 0, retry 0): it waits up to 500 ms before it probes; no queue held the others up"
    ])
    assert.lengthOf(lines, 6)
    assert.lengthOf(told({ policy: client([0, 400, 0, 100, 0, 900, 0]) }), 3)
  })

  it("does not explain what chance explains", () => {
    const lines = told({ policy: client([0, 400, 9, 100, 0, 900, 0]) })
    assert.include(lines, "- after slow (lost 9, bare 0, retry 0): a difference that the next run may turn round")
  })

  it("names the faults that outlast the time after them, and what ended them", () => {
    const lost = [0, 700, 1000, 1000, 1000, 900, 0]
    const kept = "its retries keep the upstream busy"
    const told2 = (unwell: ReadonlyArray<string>) => told({ retry: client(lost, 3.18, unwell) }).at(-2)
    assert.strictEqual(
      told2(["after slow", "after hanging"]),
      `retry never recovered from 'slow', nor from 'hanging': ${kept} until it restarts at 'down'.`
    )
    assert.strictEqual(told2(["after slow"]), `retry never recovered from 'slow': ${kept}.`)
    assert.strictEqual(told2(["healthy again"]), `retry never recovered from 'down': ${kept}.`)
  })

  it("blames retries only on a client that sent them, and a queue only where answers came late", () => {
    const lost = [0, 600, 0, 200, 0, 1000, 0]
    const what = "bare did not recover from 'hanging' before the next fault"
    assert.include(told({ bare: client(lost, 1, ["after hanging"]) }), `${what}.`)
    assert.include(
      told({ bare: client(lost, 1, ["after hanging"], 1900) }),
      `${what}: what had piled up was answered too late.`
    )
    assert.include(
      told({ bare: client(lost, 1, ["healthy again"]) }),
      "bare did not recover from 'down' before the end."
    )
  })

  it("fits the width", () => {
    const lines = verdict(script, { bare, retry: client([0, 700], 3, ["after slow"]), policy, adaptive }, 60)
    for (const line of lines.flatMap((text) => text.split("\n"))) assert.isAtMost(line.length, 60)
  })
})

describe("figures that cannot be trusted", () => {
  const all = { bare, retry, policy, adaptive }

  it("are those of a client whose calls began late", () => {
    assert.lengthOf(distrust(script, { ...all, retry: { ...retry, late: 0.2 } }), 0)
    const late = { ...all, retry: { ...retry, late: 0.21 } }
    assert.deepStrictEqual(distrust(script, late), ["21.0 % of the calls of retry began more than 50 ms late"])
  })

  it("are those of a run in which calls were lost before anything was wrong", () => {
    assert.lengthOf(distrust(script, { ...all, bare: client([50, 600]) }), 0)
    assert.match(distrust(script, { ...all, bare: client([51, 600]) })[0] ?? "", /\(bare 94\.9 %\)$/)
  })

  it("have no verdict", () => {
    const text = told({ retry: { ...retry, late: 0.5 } }).join("\n")
    assert.match(text, /^THE MACHINE WAS TOO BUSY: THESE FIGURES CANNOT BE TRUSTED\.\n/)
    assert.notMatch(text, /fewer|best|recovered/)
  })
})
