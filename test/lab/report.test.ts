import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Lab, References, Scenario, Sender, Table } from "@effect-resilience/lab"
import { commandOf, read } from "../../packages/lab/src/cli/options.ts"
import { frontier, summary } from "../../packages/lab/src/report/matrices.ts"
import { type Input, reportOf } from "../../packages/lab/src/report/report.ts"
import { isOurs, standingOf } from "../../packages/lab/src/report/standing.ts"

const evil = `</script><script>alert("1")</script>`

const common = { rate: 100, clients: 2, warmUp: "1 second", after: "4 seconds" } as const

const scenarios = [
  Scenario.make({ ...common, name: "tiny", title: evil, faults: [{ kind: "errors", rate: 0.3, lasts: "2 seconds" }] }),
  Scenario.make({ ...common, name: "<b>&amp;", title: "down", faults: [{ kind: "down", lasts: "10 seconds" }] })
]

const senders: ReadonlyArray<Sender.Sender> = [
  Sender.ours,
  Sender.oursRetryOnly,
  References.none,
  { ...References.naive, name: "<i>", title: evil }
]

const make = (): Input => ({
  comparisons: scenarios.map((scenario) => Lab.compare({ scenario, senders, seeds: 2, series: true })),
  senders,
  yours: [],
  frontier: {
    senders: ["ours"],
    triggers: [{ name: "down", title: "outage of 10 s" }],
    loads: [0.5, 0.95],
    seeds: 4,
    cells: [
      { sender: "ours", trigger: "down", load: 0.5, times: [1, 1, 2, 3], healed: 1, time: 1.5 },
      {
        sender: "ours",
        trigger: "down",
        load: 0.95,
        times: [1, Infinity, Infinity, Infinity],
        healed: 0.25,
        time: Infinity
      }
    ]
  },
  seeds: 2,
  first: 1,
  command: "npm run lab -- --seeds 2"
})

describe("the report", () => {
  let report = ""
  let input: Input
  beforeAll(async () => {
    input = make()
    report = await reportOf(input)
  })

  /** The document without its scripts and styles. */
  const body = () => report.replaceAll(/<(script|style)[\s\S]*?<\/\1>/g, "")

  const data = () => {
    const [, json = ""] = /<script type="application\/json" id="data">([\s\S]*?)<\/script>/.exec(report) ?? []
    return JSON.parse(json)
  }

  it("has every scenario with every sender, its figures and its picture", () => {
    const { pictures, senders: names } = data()
    assert.deepStrictEqual(names, ["ours", "ours-budget", "none", "<i>"])
    assert.strictEqual(pictures.length, 2)
    for (const [index, { rows }] of input.comparisons.entries()) {
      const picture = pictures[index]
      assert.deepInclude(picture, { begin: -1, end: index === 0 ? 6 : 14, step: 1 })
      const [, section = ""] = body().split(`id="scenario-${index + 1}"`)
      for (const [place, row] of rows.entries()) {
        const goodput = row.series?.goodput.map((share) => Math.round(1000 * share))
        assert.deepStrictEqual(picture.lines[place].goodput, goodput)
        assert.include(section, `<th scope="row">${row.sender.replace("<i>", "&lt;i&gt;")}</th>`)
        assert.include(section, `data-sender="${place}"`)
        for (const column of Table.columns) {
          assert.include(section, `<td>${Table.cell(column, row).median.replaceAll(/-(?=\d)/g, "−")}</td>`)
        }
      }
      assert.strictEqual("circuits" in picture.lines[0], true)
      assert.strictEqual("circuits" in picture.lines[2], false)
    }
    assert.deepStrictEqual(pictures[0].faults, [{ from: 0, to: 2, label: "30 % errors" }])
  })

  it("explains every figure and every sender, and how it was made", () => {
    const text = body()
    for (const { meaning, title } of Table.columns)
      assert.include(text, `<dt>${title}</dt><dd>${meaning.replaceAll("'", "&#39;")}</dd>`)
    for (const { title } of senders.slice(0, 3)) assert.include(text, title)
    for (const part of ["seeds 1 to 2", "npm run lab -- --seeds 2", "effect-resilience 0.", "effect 4."]) {
      assert.include(text, part)
    }
  })

  it("shows where a sender heals", () => {
    const [, map = ""] = body().split(`id="frontier"`)
    assert.match(map, /outage of 10 s[\s\S]*heals up to[\s\S]*0\.50[\s\S]*0\.95/)
    assert.match(map, /<td class="edge">0\.50<\/td>[\s\S]*<span>1\.5 s<\/span>[\s\S]*<span>25 %<\/span>/)
    const [soon, late] = [1, 25].map((time) => {
      const cell = { sender: "ours", trigger: "down", load: 0.5, times: [time], healed: 1, time }
      const { text } = frontier({ ...input.frontier!, loads: [0.5], cells: [cell] })
      return Number(/--level:(\d+)%"><span>\d+ s<\/span><\/td>/.exec(text)?.[1])
    })
    assert.isAbove(late!, soon! + 40)
  })

  it("needs nothing from anywhere, and lets nothing be fetched", () => {
    assert.notMatch(report, /\b(?:src|href|action|srcset)\s*=\s*["']?(?:https?:)?\/\//i)
    assert.notMatch(report, /<(?:link|img|iframe|object|embed|base)\b/i)
    assert.notMatch(report, /@import|url\(\s*["']?(?:https?:)?\/\//i)
    assert.include(report, `http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;;`)
    assert.include(report, "Apache License, Version 2.0")
    // ECharts, the page's own code, and little else.
    assert.isBelow(report.length, 1_000_000)
  })

  it("takes names and titles as text", () => {
    assert.notInclude(report, evil)
    assert.notInclude(body(), "<i>")
    assert.notInclude(body(), "<b>")
    assert.include(body(), "&lt;/script&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;")
    assert.include(body(), "&lt;b&gt;&amp;amp;")
    // The data and the code of the page; nothing of a title has become a third.
    assert.strictEqual(report.match(/<script/g)?.length, 2)
    assert.strictEqual(report.match(/<\/script/g)?.length, 2)
  })

  it("is the same to the byte from the same seeds", async () => {
    assert.strictEqual(await reportOf(make()), report)
  })

  it("highlights ours, and what the user brought", async () => {
    assert.deepStrictEqual(data().chosen, ["ours", "ours-budget"])
    const other = await reportOf({ ...input, yours: ["none"] })
    assert.include(other, `"chosen":["ours","ours-budget","none"]`)
    assert.include(other, "The best of yours here is none: from the fault on, ")
  })

  it("says what was run, and links to nothing that is not there", async () => {
    assert.include(body(), "4 senders through 2 scenarios and 1 short fault at 2 loads each, 2 seeds each: ")
    const map = await reportOf({ ...input, comparisons: [], senders: [Sender.ours], seeds: 1 })
    assert.include(map, "<p>1 sender through 1 short fault at 2 loads each, 1 seed each: real policies")
    const one = await reportOf({ ...input, comparisons: input.comparisons.slice(0, 1), frontier: undefined })
    assert.include(one, "4 senders through 1 scenario, 2 seeds each: ")
    for (const text of [report, map, one]) {
      for (const [, id] of text.matchAll(/href="#([^"]*)"/g)) assert.include(text, `id="${id}"`)
    }
  })

  it("shows what is sent to where nobody can be served, and frames nobody for it", () => {
    const [, down] = input.comparisons
    const { text } = summary(input.comparisons)
    assert.strictEqual(down?.oracle, 0)
    const [regret = "", effort = ""] = text.split("Load on the dependency")
    const rows = (table: string) => table.split("<tr").filter((row) => row.includes(`href="#scenario-2"`))
    for (const { summary } of down?.rows ?? []) {
      for (const table of [regret, effort])
        assert.include(rows(table)[0], `<small>leak ${summary.leak.median.toFixed(3)}`)
    }
    assert.notInclude(rows(regret)[0], "G 0.000")
    const cells = [...(rows(regret)[0] ?? "").matchAll(/<td class="(heat[^"]*)"[\s\S]*?leak (\d\.\d+)/g)]
    assert.strictEqual(cells.length, senders.length)
    const framed = cells.filter(([, classes = ""]) => classes.includes("best"))
    assert.isAbove(framed.length, 0)
    for (const [, , leak] of framed) assert.isBelow(Number(leak), 1)
  })
})

describe("the sentence on how far ours is from the oracle", () => {
  const of = (
    regrets: Readonly<Record<string, number>>,
    oracle = 0.5,
    { leaks = {}, yours = [] }: { leaks?: Readonly<Record<string, number>>; yours?: ReadonlyArray<string> } = {}
  ): string => {
    const comparison = Lab.compare({ scenario: scenarios[0]!, senders: [References.none], seeds: 1 })
    const [row] = comparison.rows
    const rows = Object.entries(regrets).map(([sender, median]) => ({
      ...row!,
      sender,
      summary: {
        ...row!.summary,
        goodput: { median: 0.4, low: 0.4, high: 0.4, worst: 0.4 },
        shortfall: { median, low: median, high: median + 0.1, worst: median },
        leak: { ...row!.summary.leak, median: leaks[sender] ?? NaN }
      }
    }))
    return standingOf({ ...comparison, oracle, rows }, new Set(yours))
  }

  it("knows ours by their names, and not by how they begin", () => {
    const names = ["ours", "ours-bulkhead", "ours-budget", "ours-breaker", "ours-2", "none"]
    assert.deepStrictEqual(names.map(isOurs), [true, true, true, true, false, false])
  })

  it("names the best of the user's first", () => {
    const regrets = { mine: 0.3, "ours-mine": 0.2, ours: 0.1, none: 0.05 }
    assert.strictEqual(
      of(regrets, 0.5, { yours: ["mine", "ours-mine"] }),
      "The best of yours here is ours-mine: from the fault on, 20.0 % fewer calls answered in time than the oracle " +
        "(between 20.0 % and 30.0 %); while something is wrong 0.400 of all calls, where 0.500 is possible. " +
        "The best of effect-resilience is ours: 10.0 % fewer than the oracle. The best of the others is none: 5.0 % fewer than the oracle."
    )
    assert.match(of({ ours: 0.1 }, 0.5, { yours: ["ours"] }), /^The best of yours here is ours: [^.]*\.[^T]*$/)
  })

  it("says what the best sends into an outage, and takes nobody for it who sends everything", () => {
    const leaks = { ours: 0.05, "ours-budget": 1.2, none: 1 }
    assert.strictEqual(
      of({ ours: 0.01, "ours-budget": 0, none: 0 }, 0, { leaks }),
      "The best of effect-resilience here is ours: from the fault on, 1.0 % fewer calls answered in time than the oracle " +
        "(between 1.0 % and 11.0 %); while nothing can be reached it sends 0.050 attempts per call " +
        "(ours-budget, which sends 1.200: as many as the oracle). " +
        "The best of the others is none: as many as the oracle, with 1.000 attempts per call."
    )
  })

  it("names the best of effect-resilience and of the others", () => {
    assert.strictEqual(
      of({ ours: 0.3, "ours-budget": 0.1, ourselves: 0.05, none: 0.2 }),
      "The best of effect-resilience here is ours-budget: from the fault on, 10.0 % fewer calls answered in time than the oracle " +
        "(between 10.0 % and 20.0 %); while something is wrong 0.400 of all calls, where 0.500 is possible. " +
        "The best of the others is ourselves: 5.0 % fewer than the oracle."
    )
  })

  it("knows none, equals, and those ahead of the oracle", () => {
    const equal = of({ ours: 0.0001, jitter: -0.029 }, 0)
    assert.include(equal, "ours: from the fault on, as many calls answered in time as the oracle (")
    assert.notInclude(equal, "possible")
    assert.include(equal, "jitter: 2.9 % more than the oracle.")
    assert.match(of({ none: 0.2 }), /^The best here is none: from the fault on, 20.0 % fewer/)
    assert.strictEqual(of({}), "")
  })
})

describe("the command in the report", () => {
  it.each([
    [[], "npm run lab -- --seeds 2"],
    [["--full", "--workers", "1", "--no-html"], "npm run lab -- --full --seeds 30"],
    [
      ["--scenario", "S1", "--sender", "a b", "--first", "7"],
      'npm run lab -- --scenario S1 --sender "a b" --seeds 2 --first 7'
    ],
    [["--file", "my.json", "--seeds", "4"], "npm run lab -- --file my.json --seeds 4"]
  ])("of %j makes the same again", (args, command) => {
    assert.strictEqual(commandOf(read(args)), command)
  })
})
