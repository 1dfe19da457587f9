import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Draws, Lab, References, Scenario, Sender } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import { bundle } from "../../packages/lab/page/bundle.ts"
import { catalogueOf, senderNamed } from "../../packages/lab/src/cli/catalogue.ts"
import { run as runCommand } from "../../packages/lab/src/cli/command.ts"
import { estimateOf } from "../../packages/lab/src/cli/estimate.ts"
import { help, read } from "../../packages/lab/src/cli/options.ts"
import { bundled } from "../support/bundled.ts"
import { sample } from "../support/sample.ts"

const folder = mkdtempSync(join(tmpdir(), "lab-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const sources = ["--conditions=@effect-resilience/source", resolve("packages/lab/src/cli/main.ts")]
// The command runs in this process, and as a bundle, which a process or thread loads in a third of the time, where the process is of
// interest. What users write imports Effect itself, and needs the sources.
const programs = await bundled("packages/lab/src/cli/lab.ts", "packages/lab/src/cli/worker.ts")
const flags = [join(programs, "lab.js")]
writeFileSync(join(programs, "page.json"), JSON.stringify(await bundle()))

const runOf = (program: ReadonlyArray<string>, args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [...program, ...args], { encoding: "utf8" })
  return { status, stderr, stdout }
}

const script = pathToFileURL(join(programs, "worker.js"))

const labWith = async (script: URL | undefined, args: ReadonlyArray<string>) => {
  let [stdout, stderr] = ["", ""]
  const error = (text: string) => {
    stderr += `${text}\n`
  }
  const log = (text: string) => {
    stdout += `${text}\n`
  }
  const write = (text: string) => {
    stderr += text
  }
  const status = await runCommand(args, { console: { error, log }, progress: { write }, script })
  return { status, stderr, stdout }
}

const lab = (...args: ReadonlyArray<string>) => labWith(script, args)
/** With threads that share Effect with what users write. */
const labFromSources = (...args: ReadonlyArray<string>) => labWith(undefined, args)

const write = (name: string, text: string): string => {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

const tiny = { name: "tiny", rate: 200, clients: 2, warmUp: "1 second", after: "4 seconds" }
const down = [{ kind: "down", lasts: "1 second" }]

describe("npm run lab", () => {
  it("runs a scenario from JSON, the same twice, and writes every figure", async () => {
    const file = write("tiny.json", JSON.stringify({ ...tiny, faults: down }))
    const json = join(folder, "out.json")
    const html = join(folder, "out.html")
    const run = (workers: string) => {
      const senders = ["--sender", "naive", "--sender", "ours"]
      return lab("--file", file, "--seeds", "2", ...senders, "--json", json, "--html", html, "--workers", workers)
    }
    const first = await run("1")
    const [figures, report] = [readFileSync(json, "utf8"), readFileSync(html, "utf8")]
    assert.strictEqual(first.status, 0, first.stderr)
    for (const part of ["tiny ", "(2 seeds)", "oracle", "naive", "ours"]) assert.include(first.stdout, part)
    assert.include(first.stderr, "tiny done, 1 of 1 scenarios")
    const second = await run("2")
    assert.strictEqual(second.stdout, first.stdout)
    assert.strictEqual(readFileSync(json, "utf8"), figures)
    assert.strictEqual(readFileSync(html, "utf8"), report)
    assert.notInclude(figures, "series")
    assert.closeTo(JSON.parse(figures)[0].rows[0].runs[0].metrics.amplification, 4, 0.1)
  })

  it("runs a scenario and senders from TypeScript", async () => {
    const sender = `{ name: "mine", title: "", make: () => Effect.succeed((call) => call.limited) }`
    const module = `export const scenario = ${JSON.stringify({ ...tiny, faults: down })}\nexport const senders = [${sender}]`
    const effect = `import * as Effect from ${JSON.stringify(import.meta.resolve("effect/Effect"))}`
    const { status, stderr, stdout } = await labFromSources(
      "--file",
      write("mine.ts", `${effect}\n${module}`),
      "--seeds",
      "1",
      "--sender",
      "mine",
      "--no-html",
      "--series"
    )
    assert.strictEqual(status, 0, stderr)
    assert.include(stdout, "mine")
    assert.notInclude(stdout, "naive")
    assert.include(stdout, "\nmine     █ ████\n")
  })

  it.effect("runs the scenario that the page shows", () =>
    Effect.gen(function* () {
      const [, json = ""] = /^```json\n([\s\S]*?)^```$/m.exec(readFileSync("docs/lab.md", "utf8")) ?? []
      const scenario = yield* Scenario.decode(JSON.parse(json))
      const { calls, ended } = Lab.run({ scenario, sender: Sender.ours, seed: 1 })
      assert.isAbove(calls, 10_000)
      assert.strictEqual(ended, calls)
    })
  )

  it("replays a recording, as it is or as a scenario says", async () => {
    const calls = readFileSync("test/lab/calls.csv", "utf8")
    const trace = write("calls.csv", calls)
    const senders = ["--sender", "none", "--seeds", "1", "--no-html"]
    const alone = await lab("--trace", trace, ...senders)
    assert.strictEqual(alone.status, 0, alone.stderr)
    assert.include(alone.stdout, "calls.csv  522 recorded calls  (1 seed)")
    const named = write("named.json", JSON.stringify({ ...tiny, replay: { calls: "calls.csv" } }))
    const beside = await lab("--file", named, ...senders)
    assert.strictEqual(beside.status, 0, beside.stderr)
    const both = await lab("--trace", trace, "--file", write("own.json", JSON.stringify({ name: "mine" })), ...senders)
    assert.include(both.stdout, "mine  522 recorded calls  (1 seed)")
  })

  it("says where a recording cannot be read", async () => {
    const bad = write("broken.csv", "time,latency,status\n1,2,200\nx,3,200\n")
    const { status, stderr } = await lab("--trace", bad)
    assert.strictEqual(status, 1)
    assert.include(stderr, "broken.csv, line 3, column time: expected milliseconds since 1970")
    const gone = await lab("--file", write("gone.json", JSON.stringify({ ...tiny, replay: { calls: "gone.csv" } })))
    assert.strictEqual(gone.status, 1)
    assert.include(gone.stderr, "gone.csv cannot be read")
  })

  it("takes paths from the folder in which it runs, and shows them as they were written", () => {
    write("here.json", JSON.stringify({ ...tiny, replay: { calls: "here.csv" } }))
    write("here.csv", "time,latency,status\n1,2,200\n2,2,200\n")
    const run = (...args: ReadonlyArray<string>) =>
      spawnSync(process.execPath, [...flags, "--sender", "none", "--seeds", "1", ...args], {
        encoding: "utf8",
        cwd: folder
      })
    const { status, stderr } = run("--file", "here.json", "--json", "here-out.json", "--html", "here-out.html")
    assert.strictEqual(status, 0, stderr)
    assert.strictEqual(JSON.parse(readFileSync(join(folder, "here-out.json"), "utf8"))[0].scenario.name, "tiny")
    assert.include(readFileSync(join(folder, "here-out.html"), "utf8"), "--file here.json")
    assert.include(stderr, "report: here-out.html\n")
    assert.match(run("--file", "absent.json").stderr, /^absent\.json cannot be read: there is no such file\n/)
    assert.match(run("--trace", "absent.csv").stderr, /^absent\.csv cannot be read: there is no such file\n/)
  })

  it.each([
    ["--json", "nowhere/out.json", "there is no folder nowhere"],
    ["--html", "docs", "it is a folder"]
  ] as const)("refuses %s %s before anything runs", async (option, path, reason) => {
    const { status, stderr, stdout } = await lab("--full", option, path)
    assert.strictEqual(status, 1)
    assert.match(stderr, new RegExp(`^${option} ${path} cannot be written: ${reason}\n`))
    assert.strictEqual(stdout, "")
  })

  it.runIf(sample(false, true))("replays the recording that the page shows", async () => {
    const page = readFileSync("docs/lab/traces.md", "utf8")
    const [, json = ""] = /^```json\n([\s\S]*?)^```$/m.exec(page) ?? []
    write("calls.csv", readFileSync("test/lab/calls.csv", "utf8"))
    const { status, stderr, stdout } = await lab(
      "--file",
      write("page.json", json),
      "--sender",
      "none",
      "--seeds",
      "1",
      "--no-html"
    )
    assert.strictEqual(status, 0, stderr)
    assert.include(stdout, JSON.parse(json).name)
  })

  it.runIf(sample(false, true))("draws scenarios, and summarizes them as it does those of a file", async () => {
    const args = ["--draw", "2", "--seed", "5", "--sender", "none", "--sender", "bulkhead"]
    const drawn = await lab(...args)
    assert.strictEqual(drawn.status, 0, drawn.stderr)
    assert.match(drawn.stdout, /^mean regret in % +scenarios +none +bulkhead\nall +2 /)
    assert.include(drawn.stdout, "worse than none")
    assert.notInclude(drawn.stderr, "report:")
    const file = write("drawn.json", JSON.stringify(Draws.scenarios({ count: 2, seed: 5 })))
    const again = await lab("--file", file, "--seeds", "1", "--no-html", ...args.slice(4))
    assert.strictEqual(again.stdout, drawn.stdout)
  })

  it("says that a sender left its calls, and fails if it ended none", async () => {
    const sender = `{ name: "mine", title: "", make: () => Effect.succeed(() => Effect.promise(() => Promise.resolve())) }`
    const effect = `import * as Effect from ${JSON.stringify(import.meta.resolve("effect/Effect"))}`
    const module = `${effect}\nexport const scenario = ${JSON.stringify(tiny)}\nexport const senders = [${sender}]`
    const { status, stderr, stdout } = await labFromSources(
      "--file",
      write("real.ts", module),
      "--seeds",
      "1",
      "--no-html"
    )
    assert.strictEqual(status, 1, stderr)
    assert.match(stdout, /\nmine left (\d+) of \1 calls without an end: /)
  })

  it.runIf(existsSync("/dev/full"))("finds a full disk before anything runs", async () => {
    const { status, stderr, stdout } = await lab("--full", "--json", "/dev/full")
    assert.strictEqual(status, 1)
    assert.match(stderr, /^--json \/dev\/full cannot be written: ENOSPC/)
    assert.strictEqual(stdout, "")
  })

  it("has a help that fits a terminal", () => {
    assert.deepStrictEqual(
      help.split("\n").filter((line) => line.length > 120),
      []
    )
  })

  it("says how long a long run will take before it begins", () => {
    const estimate = (seeds: number) =>
      estimateOf({ scenarios: [Scenario.make(tiny)], senders: [References.none], seeds, workers: 2 })
    assert.isUndefined(estimate(1))
    assert.match(estimate(2000) ?? "", /^2,000 runs, 2,000,000 calls: about \d+ (seconds|minutes) on 2 threads$/)
  })

  it("says what is wrong with a scenario", async () => {
    const { status, stderr } = await lab("--file", write("bad.json", JSON.stringify({ ...tiny, clients: 0 })))
    assert.strictEqual(status, 1)
    assert.include(stderr, "clients")
    assert.include(stderr, "between 1 and 1000")
  })

  it("refuses what it does not know", () => {
    const { status, stderr, stdout } = runOf(sources, ["--scenario", "S99"])
    assert.strictEqual(status, 1)
    assert.include(stderr, "no such scenario: S99; there are S0, S0b, S1")
    assert.include(stderr, "npm run lab -- --help")
    assert.strictEqual(stdout, "")
  })

  it.each([
    [["--seeds", "1.5"], "--seeds must be an integer of at least 1, got 1.5"],
    [["--seeds", ""], "--seeds must be an integer of at least 1, got "],
    [["--workers", "0"], "--workers must be an integer of at least 1, got 0"],
    [["--first", "x"], "--first must be an integer"],
    [["--draw", "0"], "--draw must be an integer of at least 1, got 0"],
    [["--draw", "1", "--seed", "x"], "--seed must be an integer"],
    [["--seed", "2"], "--seed is of --draw; did you mean --first?"],
    [["--html", "a", "--no-html"], "--html and --no-html contradict each other"],
    [["--colour"], "Unknown option '--colour'"],
    [["S1"], "Unexpected argument 'S1': did you mean --scenario S1?"],
    [["my/own.json"], "Unexpected argument 'my/own.json': did you mean --file my/own.json?"],
    [["naive"], "Unexpected argument 'naive': every option begins with --"]
  ] as const)("refuses %j", (args, message) => {
    assert.throws(() => read(args), message)
  })

  it("refuses senders that there are not, files that cannot be read, and two senders of one name", async () => {
    const catalogue = await catalogueOf(undefined)
    assert.throws(() => senderNamed(catalogue, "nobody"), "no such sender: nobody; there are ours, ")
    const twin = `{ name: "twin", title: "", make: () => {} }`
    const twins = write("twins.ts", `export const scenario = {}\nexport const senders = [${twin}, ${twin}]`)
    const messageOf = (file: string) =>
      catalogueOf(file).then(
        () => "nothing",
        (error: Error) => error.message
      )
    assert.include(await messageOf(twins), "two senders are named twin")
    assert.include(await messageOf(join(folder, "nowhere.json")), "nowhere.json cannot be read")
  })

  const good = `{ name: "good", title: "", make: () => {} }`
  it.each([
    ["one.ts", "export const senders = 1", "`senders` must be an array of senders"],
    ["number.ts", `export const senders = [${good}, 1]`, "senders[1] is not a sender: 1"],
    ["nameless.ts", "export const senders = [{ make: () => {} }]", "senders[0] has no name"],
    ["idle.ts", `export const senders = [${good}, { name: "bad" }]`, 'senders[1] "bad" has no make'],
    ["name.yaml", "name: tiny", "name.yaml: only .json and .ts"],
    ["name.mjs", "export const scenario = {}", "name.mjs: only .json and .ts"],
    ["text.json", "{ name }", "text.json cannot be read: "]
  ] as const)("refuses %s: %s", async (name, text, message) => {
    const error: Error = await catalogueOf(write(name, text)).then(
      () => new Error("nothing"),
      (error) => error
    )
    assert.include(error.message, message)
  })

  it("refuses a file without a scenario, and one that has been made already", async () => {
    const bare = await lab("--file", write("bare.ts", `export const senders = [${good}]`))
    assert.match(bare.stderr, /bare\.ts has no scenario: export `scenario`\n/)
    const made = JSON.stringify(Scenario.make({ name: "made", faults: [{ kind: "down", lasts: "1 second" }] }))
    const { stderr } = await lab("--file", write("made.ts", `export const scenario = ${made}`))
    assert.match(stderr, /made\.ts: export the scenario as it is written, not what Scenario\.make made of it\n/)
  })

  it("ends when it is told to", async () => {
    const args = [
      "--file",
      write("first.json", JSON.stringify(tiny)),
      "--scenario",
      "S1",
      "--sender",
      "none",
      "--seeds",
      "50",
      "--no-html"
    ]
    const child = spawn(process.execPath, [...flags, ...args], { stdio: ["ignore", "ignore", "pipe"] })
    const ended = new Promise((resolve) => child.once("exit", (_code, signal) => resolve(signal)))
    // Threads are at work by then.
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (text.includes("tiny done")) child.kill("SIGINT")
    })
    assert.strictEqual(await ended, "SIGINT")
  })
})
