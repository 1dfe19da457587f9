import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { claimsOf } from "../../packages/demo/src/fleet/claims.ts"
import { type Member, nothingSeen, type Record } from "../../packages/demo/src/fleet/record.ts"
import { type Act, scriptOf, span, usualSeconds } from "../../packages/demo/src/fleet/script.ts"
import { fleetView, table } from "../../packages/demo/src/fleet/view.ts"
import { plain } from "../../packages/demo/src/paint.ts"

const script = scriptOf(usualSeconds)
const start = (act: Act) => span(script, act).from

/** What a fleet of four does when all claims hold; process 1 is killed. */
const exemplary = (): Record => {
  const commands = [0, 1, 2, 3].map((index) => ({
    to: index % 2 === 0 ? "isolated" : "closed",
    at: start("commands") + 1000 * index
  }))
  const members = [0, 1, 2, 3].map((index): Member => {
    const member = nothingSeen()
    if (index === 1) member.killedAt = start("killed") + 2000
    const went = (act: Act, after: number, to: string) =>
      member.transitions.push({ at: start(act) + after + index, to, cause: "fleet" })
    went("down", 500, "open")
    went("back", 300, "closed")
    for (const { at, to } of commands) member.transitions.push({ at: at + 5 * index, to, cause: "control" })
    went("down, alone", 2100, "open")
    went("back, alone", 400, "closed")
    member.held.push({ from: 1000 + 100 * index, to: 1300 + 100 * index })
    for (let probe = 0; probe < 3; probe++) member.sent.push(start("down") + 1000 + 450 * (4 * probe + index))
    for (let at = 0; at < usualSeconds * 1000 && at < member.killedAt; at += 100) {
      const isCut = at > start("board stopped") + 2500 && at < start("board back") + 500
      member.samples.push({
        at,
        state: "closed",
        inTouch: !isCut,
        hasLease: false,
        members: at > start("killed") + 5100 ? 3 : 4,
        calls: at / 100,
        retries: Math.floor(at / 500),
        rejected: [0.1],
        late: 1
      })
    }
    return member
  })
  return { members, commands }
}

const broken = (change: (record: Record) => void): ReadonlyArray<string> => {
  const record = exemplary()
  change(record)
  return claimsOf(record, script)
    .filter(({ holds }) => !holds)
    .map(({ claim }) => claim)
}

const third = ({ members }: Record): Member => members[2] ?? nothingSeen()

describe("the claims of the fleet", () => {
  it("hold for a fleet that does what is promised", () => {
    assert.deepStrictEqual(
      broken(() => {}),
      []
    )
  })

  it("fail one by one", () => {
    const move = (to: string, from: Act, by: number) => (record: Record) => {
      const { transitions } = third(record)
      const index = transitions.findIndex((one) => one.to === to && one.at >= start(from))
      transitions[index] = { at: transitions[index]!.at + by, to, cause: "fleet" }
    }
    assert.match(broken(move("open", "down", 600))[0] ?? "", /^One opening/)
    assert.match(broken((record) => third(record).sent.push(start("down") + 1010))[0] ?? "", /^One probe at a time/)
    assert.match(broken(move("closed", "back", 2000))[0] ?? "", /^All close together/)
    const crowded = (record: Record) => {
      for (let i = 0; i < 17; i++) third(record).held.push({ from: 9000 + 30 * i, to: 9900 })
    }
    assert.match(broken(crowded)[0] ?? "", /^Permits of the fleet/)
    const fast = (record: Record) => {
      for (let i = 0; i < 11; i++) third(record).held.push({ from: 9000, to: 9001 })
    }
    assert.match(broken(fast)[0] ?? "", /^Rate of the fleet/)
    const slow = (record: Record) => {
      const { transitions } = third(record)
      for (const [index, one] of transitions.entries())
        if (one.cause === "control") transitions[index] = { ...one, at: one.at + 60 }
    }
    assert.match(broken(slow)[0] ?? "", /^An operator's command/)
    const retrying = (record: Record) => {
      const { samples } = third(record)
      for (const [index, one] of samples.entries())
        if (one.at > start("killed") + 1000) samples[index] = { ...one, retries: one.retries + 200 }
    }
    assert.match(broken(retrying)[0] ?? "", /^Retries keep within the budget/)
    const unaware = (record: Record) => {
      const { samples } = third(record)
      for (const [index, one] of samples.entries()) samples[index] = { ...one, members: 4 }
    }
    assert.match(broken(unaware)[0] ?? "", /^The others notice/)
    assert.match(broken(move("open", "down, alone", 30_000))[0] ?? "", /^With the board stopped/)
    const waiting = (record: Record) => {
      const { samples } = third(record)
      for (const [index, one] of samples.entries()) samples[index] = { ...one, rejected: [250] }
    }
    assert.match(broken(waiting)[0] ?? "", /^No call waits/)
    const opening = (record: Record) =>
      third(record).transitions.push({ at: start("board back") + 600, to: "open", cause: "fleet" })
    assert.match(broken(opening)[0] ?? "", /^The board comes back/)
  })

  it("allow for a machine that kept the processes waiting, and say so", () => {
    const record = exemplary()
    const { samples, transitions } = third(record)
    transitions[0] = { at: start("down") + 1200, to: "open", cause: "fleet" }
    const index = samples.findIndex(({ at }) => at > start("down") + 500)
    samples[index] = { ...samples[index]!, late: 300 }
    const [opening] = claimsOf(record, script)
    assert.isTrue(opening?.holds)
    assert.strictEqual(opening?.bound, "1.00 s, and 300 ms for which the machine was busy")
  })

  it("are a table without escape codes, within its width", () => {
    const text = table(claimsOf(exemplary(), script), plain, 80)
    assert.notInclude(text, "\u001b")
    assert.strictEqual(text.match(/^✓ /gm)?.length, 11)
    for (const line of text.split("\n")) assert.isAtMost(line.length, 80)
  })
})

describe("the live view", () => {
  const moment = { script, at: start("down") + 900, length: usualSeconds * 1000, last: "the service goes down" }

  it("has a line for each process, within its width", () => {
    const lines = fleetView.block({ ...moment, members: exemplary().members }, plain)
    assert.lengthOf(lines, 6)
    for (const line of lines) assert.isAtMost(line.length, fleetView.width)
    assert.match(lines[3] ?? "", /^2 +killed/)
  })

  it("says in a line where the fleet is", () => {
    const text = fleetView.log({ ...moment, members: exemplary().members })
    assert.match(text, /^ +2 s {2}down +3 closed, 1 killed; 3 in touch; /)
  })
})

const main = fileURLToPath(new URL("../../packages/demo/src/main.ts", import.meta.url))

describe("npm run demo -- --fleet", () => {
  it("says how to get Redis where there is none", async () => {
    const demo = spawn(process.execPath, ["--conditions=@effect-resilience/source", main, "--fleet", "3", "--redis"], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: "" }
    })
    let output = ""
    demo.stderr.on("data", (chunk) => {
      output += chunk
    })
    const [code] = await once(demo, "close")
    assert.strictEqual(code, 1)
    assert.match(output, /demo: redis-server is not installed \(on Debian: apt-get install redis-server\)/)
  })
})
