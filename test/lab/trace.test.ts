import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Distribution, Scenario, Trace } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"

/** 522 calls to a server on loopback: four good seconds, four bad ones, four good ones. */
const recorded = readFileSync("test/lab/calls.csv", "utf8")

const count = (trace: Trace.Trace, outcome: Trace.Outcome): number =>
  trace.filter((call) => call.outcome === outcome).length

const csv = (...rows: ReadonlyArray<string>): string => ["time,latency,outcome", ...rows].join("\n")

describe("a recording", () => {
  const trace = Trace.make(recorded)

  it("is read from CSV, in the order of time", () => {
    assert.deepStrictEqual(
      (["ok", "error", "timeout"] as const).map((outcome) => count(trace, outcome)),
      [410, 84, 28]
    )
    assert.deepStrictEqual(
      trace,
      trace.toSorted((a, b) => a.time - b.time)
    )
    assert.deepStrictEqual(trace[0], { time: 1_795_276_655_070, latency: 46.8, outcome: "ok" })
  })

  it("is the same from JSON lines", () => {
    assert.deepStrictEqual(Trace.make(trace.map((call) => JSON.stringify(call)).join("\r\n")), trace)
  })

  it.each<readonly [string, string]>([
    ["commas", "time,latency,outcome\n1,2.5,ok\n"],
    ["semicolons", "time;latency;outcome\n1;2.5;ok"],
    ["tabs, and lines of another system", "time\tlatency\toutcome\r\n1\t2.5\tok\r\n"],
    ["quotes, which hold separators and lines", '"a,b",time,"latency",outcome\n"x ""y"",\n\nz","1",2.5,"ok"'],
    ["a mark of its order of bytes, and empty lines", "\uFEFFtime,latency,outcome\n\n1,2.5,ok\n\n"],
    ["further columns, in any order", "status,who,Duration_MS,TimeStamp\n200,me,2.5,1"],
    ["JSON lines", '\n{"ts":1,"latency":"2.5","success":true,"more":{"a":[]}}\n']
  ])("may have %s", (_, text) => {
    assert.deepStrictEqual(Trace.make(text), [{ time: 1, latency: 2.5, outcome: "ok" }])
  })

  it("knows times with a zone and without, and as numbers", () => {
    const times = [
      "2026-01-31T13:00:00.250+01:00",
      "2026-01-31 12:00:00.250",
      "2026-01-31T12:00:00.25Z",
      "1769860800250"
    ]
    for (const time of times) assert.strictEqual(Trace.make(csv(`${time},1,ok`))[0]?.time, 1_769_860_800_250)
  })

  it("has numbers that look like seconds when not all do", () => {
    assert.deepStrictEqual(
      Trace.make(csv("999999999,1,ok", "1769860800,1,ok")).map(({ time }) => time),
      [999_999_999, 1_769_860_800]
    )
  })

  it("knows outcomes by word and by status", () => {
    const cases: Readonly<Record<Trace.Outcome, ReadonlyArray<string>>> = {
      ok: ["ok", "OK", "success", "succeeded", "true", "200", "301", "404"],
      error: ["error", "Failure", "failed", "false", "408", "429", "500", "503", "599"],
      timeout: ["timeout", "timed out", "TIMED_OUT"]
    }
    for (const [outcome, texts] of Object.entries(cases)) {
      for (const text of texts) assert.strictEqual(Trace.make(csv(`1,1,${text}`))[0]?.outcome, outcome, text)
    }
  })

  it.effect.each<readonly [string, string, number, string, string, string]>([
    ["an outcome", csv("1,1,ok", "2,2,maybe"), 3, "outcome", "one of ok, success", '"maybe"'],
    ["a status that is none", csv("1,1,600"), 2, "outcome", "an HTTP status between 100 and 599", '"600"'],
    ["a latency below 0", csv("1,-1,ok"), 2, "latency", "between 0 and 86400000", '"-1"'],
    ["a comma in a number", "time;duration;outcome\n1;1,5;ok", 2, "duration", "milliseconds", '"1,5"'],
    ["an empty cell", csv(",1,ok"), 2, "time", "milliseconds since 1970, or a date", '""'],
    ["a date without a time", csv("2026-01-31,1,ok"), 2, "time", "2026-01-31T12:00:00.000Z", '"2026-01-31"'],
    ["a month that is none", csv("2026-13-31T12:00:00Z,1,ok"), 2, "time", "milliseconds since 1970", "2026-13-31"],
    ["a line after a cell of two", csv('"\n1",1,ok', "x,1,ok"), 4, "time", "milliseconds since 1970", '"x"'],
    [
      "a column that is missing",
      "time,outcome\n1,ok",
      1,
      "latency",
      "one column named latency or",
      '["time","outcome"]'
    ],
    ["two columns that may be it", "time,ts,latency,outcome\n1,1,1,ok", 1, "time", "one column named time or", '"ts"'],
    ["a short row", csv("1,1"), 2, "3", "3 cells", "2"],
    ["a quote that does not end", csv("1,1,ok", '2,"1,ok'), 3, "2", "RFC 4180", "Unterminated"],
    ["a header without calls", csv(), 1, "1", "at least one call", "outcome"],
    ["nothing", "", 1, "1", "a header row and at least one call", '""'],
    ["broken JSON", '{"time":1,"latency":1,"outcome":"ok"}\n\n{"time":', 3, "1", "a JSON object", "time"],
    ["an array", '[{"time":1,"latency":1,"outcome":"ok"}]', 1, "1", "one JSON object per line, not an array", "[{"],
    [
      "seconds since 1970",
      "latency,ts,outcome\n1,1769860800,ok\n1,1769860801.5,ok",
      2,
      "ts",
      "milliseconds since 1970 (all times here look like seconds",
      '"1769860800"'
    ],
    [
      "a key that is missing",
      '{"time":1,"latency":1}',
      1,
      "outcome",
      "one column named outcome or",
      '["time","latency"]'
    ],
    ["a key with nothing", '{"time":1,"latency":null,"outcome":"ok"}', 1, "latency", "between 0 and", "null"]
  ])("says where %s is wrong, what may stand there and what does", ([, text, line, column, expected, found]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Trace.decode(text, { file: "calls.csv" }))
      assert.include(error.message, `calls.csv, line ${line}, column ${column}: expected `)
      assert.include(error.message.split(", got ")[0], expected)
      assert.include(error.message.split(", got ").slice(1).join(", got "), found)
      assert.throws(() => Trace.make(text), RangeError, /^Trace\.make: trace, line/)
    })
  )
})

describe("service times from a recording", () => {
  it("are its quantiles, of the calls that ended well", () => {
    const trace = Trace.make(csv("1,40,ok", "2,10,ok", "3,1,error", "4,250,timeout", "5,20,ok", "6,30,200"))
    const { service } = Scenario.make({ name: "recorded", service: Trace.service(trace) })
    assert.deepStrictEqual(
      [0, 0.24, 0.25, 0.5, 0.999].map((share) => Distribution.quantile(service, share)),
      [10, 10, 20, 30, 40]
    )
    assert.deepStrictEqual(Distribution.cut(service, 30), { done: 0.75, held: 22.5, mean: 25 })
  })

  it("are refused when there are none, or none above 0", () => {
    for (const samples of [[], [0, 0], [-1]]) {
      assert.throws(
        () => Scenario.make({ name: "wrong", service: { kind: "trace", samples } }),
        RangeError,
        /\["service"\]\["samples"\]/
      )
    }
  })
})

describe("a scenario that names files", () => {
  const files: Readonly<Record<string, string>> = { "a.csv": csv("1,5,ok", "2,6,error"), "b.csv": csv("0,1,nope") }
  const asked: Array<string> = []
  const load = (input: unknown) =>
    Trace.load(input, (file) => {
      asked.push(file)
      const text = files[file]
      return text === undefined ? Effect.fail(`no ${file}`) : Effect.succeed(text)
    })

  it.effect("has the recordings in their place, each read once", () =>
    Effect.gen(function* () {
      const written = {
        name: "recorded",
        service: { kind: "trace", samples: "a.csv" },
        arrivals: { times: "a.csv", factor: 2 },
        replay: { calls: "a.csv", nearest: 3 }
      }
      const { arrivals, replay, service } = yield* Effect.flatMap(load(written), Scenario.decode)
      assert.deepStrictEqual(service, { kind: "trace", samples: [5] })
      assert.deepStrictEqual(arrivals, { times: [1, 2], factor: 2 })
      assert.deepStrictEqual(replay, { calls: Trace.make(files["a.csv"] ?? ""), nearest: 3, within: 1000 })
      assert.deepStrictEqual(asked, ["a.csv"])
    })
  )

  it.effect("says which file is wrong, and leaves alone what names none", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.flip(load({ replay: { calls: "c.csv" } })), "no c.csv")
      assert.include(String(yield* Effect.flip(load({ replay: { calls: "b.csv" } }))), "b.csv, line 2, column outcome")
      for (const input of [null, 3, "a.csv", { name: "none", service: 3, replay: { calls: [] } }]) {
        assert.deepStrictEqual(yield* load(input), input)
      }
    })
  )

  it("is refused with calls out of order, none, or a fault of workers that a replay has not", () => {
    const call = (time: number): Trace.Call => ({ time, latency: 1, outcome: "ok" })
    const half = [{ kind: "capacity", factor: 0.5, lasts: "1 second" }] as const
    for (const [input, part] of [
      [{ replay: { calls: [call(2), call(1)] } }, 'order of time, got 1 after 2\n  at ["replay"]["calls"][1]'],
      [{ replay: { calls: [] } }, 'at least 1, got []\n  at ["replay"]["calls"]'],
      [{ replay: { calls: [call(1)], nearest: 0 } }, 'at ["replay"]["nearest"]'],
      [{ arrivals: { times: [1, 0] } }, 'order of time, got 0 after 1\n  at ["arrivals"]["times"][1]'],
      [{ arrivals: { times: [0], factor: 0 } }, 'between 0.001 and 1000, got 0\n  at ["arrivals"]["factor"]'],
      [{ replay: { calls: [call(1)] }, faults: half }, 'no workers\n  at ["faults"][0]["kind"]']
    ] as const) {
      const result = Result.try(() => Scenario.make({ name: "wrong", ...input }))
      const error = Result.getOrThrow(Result.flip(result))
      assert.instanceOf(error, RangeError)
      assert.include(String(error), part)
    }
  })
})
