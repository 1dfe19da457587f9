import { assert, describe, it } from "@effect/vitest"
import type { Figures, Measured, Now } from "../../packages/demo/src/measure.ts"
import { colours, plain } from "../../packages/demo/src/paint.ts"
import { clientsView, type Moment, table } from "../../packages/demo/src/report.ts"
import { Screen } from "../../packages/demo/src/screen.ts"
import type { Script } from "../../packages/demo/src/script.ts"

const script: Script = [
  { name: "down", mode: "down", seconds: 1 },
  { name: "healthy again", mode: "healthy", seconds: 1 }
]

const figures = (goodput: number, recovery?: Figures["recovery"]): Figures => ({
  calls: 1000,
  lost: Math.round(1000 * (1 - goodput)),
  goodput,
  p99: goodput === 0 ? undefined : 1234,
  sent: 3.5,
  received: 0,
  recovery
})

const measured: Measured = {
  phases: [figures(0), figures(0.5, { after: 750, bound: true })],
  all: figures(0.25, { after: 750, bound: true }),
  late: 0
}

const escape = "\u001b"

describe("table", () => {
  const all = { bare: measured, retry: measured, policy: measured, adaptive: measured }
  const text = table(script, all, plain)

  it("has a line for each client in each phase and in all", () => {
    const lines = text.split("\n").filter((line) => /^(\w+ )* +(bare|retry|policy|adaptive) /.test(line))
    assert.deepStrictEqual(lines, [
      "down           bare         0.0 %   1000        -   3.50      0.00",
      "               retry        0.0 %   1000        -   3.50      0.00",
      "               policy       0.0 %   1000        -   3.50      0.00",
      "               adaptive     0.0 %   1000        -   3.50      0.00",
      "healthy again  bare        50.0 %    500   1.23 s   3.50      0.00   > 0.75 s",
      "               retry       50.0 %    500   1.23 s   3.50      0.00   > 0.75 s",
      "               policy      50.0 %    500   1.23 s   3.50      0.00   > 0.75 s",
      "               adaptive    50.0 %    500   1.23 s   3.50      0.00   > 0.75 s",
      "in all         bare        25.0 %    750   1.23 s   3.50      0.00   > 0.75 s",
      "               retry       25.0 %    750   1.23 s   3.50      0.00   > 0.75 s",
      "               policy      25.0 %    750   1.23 s   3.50      0.00   > 0.75 s",
      "               adaptive    25.0 %    750   1.23 s   3.50      0.00   > 0.75 s"
    ])
  })

  it("says so when the machine was too busy", () => {
    assert.notInclude(text, "Note:")
    const busy = table(script, { ...all, retry: { ...measured, late: 0.05 } }, plain)
    assert.include(busy, "Note: 5.0 % of the calls of retry began more than 50 ms late")
  })

  it("has escape codes only where colours are wanted", () => {
    assert.notInclude(text, escape)
    assert.include(table(script, all, colours), escape)
  })
})

describe("Screen", () => {
  const now: Now = { success: 1, p99: 60, sent: 1, inFlight: 3, circuit: undefined }
  const moment = (at: number): Moment => ({
    script,
    phase: Math.floor((at - 500) / 1000),
    at,
    length: 2000,
    clients: { bare: now, retry: now, adaptive: now, policy: { ...now, circuit: "closed" } }
  })
  const shown = (output: { readonly isTTY?: boolean; readonly columns?: number }, env: Record<string, string> = {}) => {
    const written: Array<string> = []
    const screen = new Screen({ ...output, write: (text) => written.push(text) }, env, clientsView)
    for (const at of [-1500, -250, 0, 250, 500, 1000, 2000, 3000, 4000]) screen.show(moment(at))
    return written
  }

  it("writes one plain line a second to a pipe, under a line of titles", () => {
    const written = shown({})
    assert.lengthOf(written, 4)
    assert.notInclude(written.join(""), escape)
    assert.match(written[2] ?? "", /^ +1 s down .*closed\n$/)
    for (const text of written) assert.isAtMost(text.length, 97)
  })

  it("draws over the last block in a terminal", () => {
    const written = shown({ isTTY: true, columns: 80 })
    assert.lengthOf(written, 9)
    assert.isTrue(written[0]?.startsWith("\r"))
    const height = (written[0] ?? "").split("\n").length - 1
    assert.isTrue(written[1]?.startsWith(`${escape}[${height}A`))
  })

  it("is plain where it must be", () => {
    const plainly = shown({})
    assert.deepStrictEqual(shown({ isTTY: true }, { NO_COLOR: "1" }), plainly)
    assert.deepStrictEqual(shown({ isTTY: true }, { TERM: "dumb" }), plainly)
    assert.deepStrictEqual(shown({ isTTY: true, columns: 40 }), plainly)
  })
})
