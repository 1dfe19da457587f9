/** The packages as npm packs them, installed into an empty project: they compile under every common setting, and run. */
import { execFile } from "node:child_process"
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { rolldown } from "rolldown"
import { packed } from "../../packages/tools/src/packed.ts"
import { sample } from "../support/sample.ts"
import { hello, refused, scenarioFile, scenarioJson, simulated, swept, threaded } from "./programs.ts"

const folder = mkdtempSync(join(tmpdir(), "package-"))
const user = join(folder, "user")
const windows = process.platform === "win32"

afterAll(() => rmSync(folder, { force: true, recursive: true }))

interface Ended {
  readonly code: number
  readonly output: string
}

const run = (command: string, args: ReadonlyArray<string>, cwd: string): Promise<Ended> =>
  new Promise((end) => {
    execFile(command, args, { cwd, shell: windows }, (error, stdout, stderr) => {
      end({ code: error === null ? 0 : 1, output: error === null ? stdout : stdout + stderr })
    })
  })

const mustRun = async (command: string, args: ReadonlyArray<string>, cwd: string): Promise<string> => {
  const { code, output } = await run(command, args, cwd)
  assert.strictEqual(code, 0, output)
  return output
}

const names = {
  resilience: "effect-resilience",
  testing: "@effect-resilience/testing",
  lab: "@effect-resilience/lab",
  console: "@effect-resilience/console"
} as const
type Package = keyof typeof names

/** A part has each value of both settings. */
const combinations = [
  ["nodenext", true],
  ["bundler", false],
  ...sample([], [["nodenext", false] as const, ["bundler", true] as const])
] as const

// A compiler checks all libraries again, so each compiles what it can: the first the library on top, the others its consumer.
const settings = combinations.map(([moduleResolution, exactOptionalPropertyTypes], index) => ({
  name: `${moduleResolution}, exactOptionalPropertyTypes ${exactOptionalPropertyTypes}`,
  file: `tsconfig.${moduleResolution}.${exactOptionalPropertyTypes}.json`,
  include: ["*.ts", index === 0 ? "library/*.ts" : "consumer/*.ts"],
  compilerOptions: {
    ...(index === 0
      ? { declaration: true, emitDeclarationOnly: true, rootDir: ".", outDir: "node_modules/payments" }
      : { noEmit: true }),
    strict: true,
    skipLibCheck: false,
    target: "es2024",
    lib: ["es2024", "dom"],
    types: [],
    module: moduleResolution === "bundler" ? "esnext" : moduleResolution,
    moduleResolution,
    exactOptionalPropertyTypes
  }
}))

/** What a library built on the tarballs exports: values with inferred types, classes, functions, and types of options. */
const libraryOnTop = `import { Laws, Model } from "@effect-resilience/testing"
import { Lab, Sender } from "@effect-resilience/lab"
import { Effect, Schedule } from "effect"
import {
  Bulkhead, CircuitBreaker, Config, Deadline, Event, Fallback, Policy, Retry, RetryBudget, StaleFallback, Timeout, Transient
} from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"

export class Down extends Transient.TaggedError<Down>()("Down", {}) {}
export class Users extends CircuitBreaker.Service<Users>()("app/Users", { failures: ["Down"] }) {}
export class Seats extends Bulkhead.Service<Seats>()("app/Seats", { maxConcurrent: 2 }) {}
export class Budget extends RetryBudget.Service<Budget>()("app/Budget", {}) {}
export class Rates extends StaleFallback.Service<Rates, number>()("app/Rates", { maxAge: "1 hour" }) {}
export class Payments extends Policy.Service<Payments>()("app/Payments", {
  deadline: "3 seconds", retry: Retry.backoff(), budget: Budget, breaker: {}, timeout: "1 second"
}) {}
export const call = Effect.fail(new Down()) as Effect.Effect<string, Down>
export const fromConfig = Users.layerConfig
export const layers = [Users.layer, Seats.layerConfig("seats"), Budget.layerConfig("budget"), Payments.layerConfig("payments")] as const
export const retry = Retry.transient
export const when = Transient.when
export const trip = (options: CircuitBreaker.Options) => options.trip
export const openFor = (options: CircuitBreaker.Options) => options.openFor
export const paid = call.pipe(Payments.protect)
export const pay = Payments.fn((order: number) => Effect.as(call, order), { key: (order) => String(order) })
export const protect = Payments.protect
export const apply = Payments.protect({ key: "eu" })
export const made = Policy.make("made", { breaker: {}, bulkhead: { maxConcurrent: 1 } })
export const find = Effect.fn("find")(function* (id: number) { yield* call; return id }, Users.protect)
export const schedule = Schedule.recurs(2).pipe(Budget.gated)
export const retried = call.pipe(Retry.transient(schedule))
export const limited = call.pipe(Timeout.after("1 second"), Deadline.within("2 seconds"))
export const answered = call.pipe(Payments.protect, Fallback.value("none"))
export const events = Event.stream
export const stats = Payments.stats()
export const states = Users.states
export const snapshot = Users.snapshot
export const gaveUp = Retry.gaveUp
export const config = Config.policy("payments")
export const layer = EffectBreaker.layer()
export const laws = Laws.policy
export const broken = (error: Laws.Broken) => error.law
export const callers = Model.callers
export const ours = Sender.ours
export const senders = Lab.senders
`

const consumerOfLibrary = `import { Effect, type Layer } from "effect"
import type { Rejection, Timeout, Transient } from "effect-resilience"
import { answered, type Budget, call, type Down, find, limited, paid, pay, Payments, retried, Users } from "payments"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const exactly = <A, B>(same: Equal<A, B>): void => void same

type Lost = Transient.Exhausted<Down> | Transient.Exhausted<Timeout.TimedOut>
type Rejected = Rejection.CircuitOpen | Rejection.DeadlineExceeded
exactly<typeof paid, Effect.Effect<string, Lost | Rejected, Payments>>(true)
exactly<ReturnType<typeof pay>, Effect.Effect<number, Lost | Rejected, Payments>>(true)
exactly<typeof answered, Effect.Effect<string, never, Payments>>(true)
exactly<typeof retried, Effect.Effect<string, Transient.Exhausted<Down>, Budget>>(true)
exactly<typeof limited, Effect.Effect<string, Down | Timeout.TimedOut | Rejection.DeadlineExceeded>>(true)
exactly<ReturnType<typeof find>, Effect.Effect<number, Down | Rejection.CircuitOpen, Users>>(true)
exactly<typeof Payments.layer, Layer.Layer<Payments, never, Budget>>(true)
void call.pipe(Users.protect({ key: "eu" }), Payments.protect)
`

const tarballs: Record<Package, string> = { resilience: "", testing: "", lab: "", console: "" }

beforeAll(async () => {
  for (const name of ["resilience", "testing", "lab", "console"] as const) tarballs[name] = await packed(names[name])
  mkdirSync(user)
  writeFileSync(join(user, "package.json"), `{ "type": "module", "private": true }`)
  writeFileSync(join(user, "hello.ts"), hello)
  writeFileSync(join(user, "refused.ts"), refused)
  writeFileSync(join(user, "swept.ts"), swept)
  writeFileSync(join(user, "simulated.ts"), simulated)
  writeFileSync(join(user, "threaded.ts"), threaded)
  writeFileSync(join(user, "scenario.ts"), scenarioFile)
  writeFileSync(join(user, "scenario.json"), scenarioJson)
  mkdirSync(join(user, "library"))
  writeFileSync(join(user, "library/index.ts"), libraryOnTop)
  mkdirSync(join(user, "consumer"))
  writeFileSync(join(user, "consumer/main.ts"), consumerOfLibrary)
  writeFileSync(join(user, "consumer/wrong.ts"), `import { fromConfig } from "payments"\nfromConfig(12345)\n`)
  for (const { file, name: _, ...config } of settings) writeFileSync(join(user, file), JSON.stringify(config))
  // Effect is linked: no download, and the very version that everything else is tested with.
  const install = ["install", "--offline", "--no-audit", "--no-fund"]
  // What the others are peers of comes first: npm 10 fails on all at once.
  await mustRun("npm", [...install, tarballs.resilience, resolve("node_modules/effect")], user)
  await mustRun("npm", [...install, tarballs.testing, tarballs.lab, tarballs.console], user)
  // Its consumer sees the declarations only.
  const library = join(user, "node_modules/payments")
  mkdirSync(library)
  const manifest = { name: "payments", type: "module", exports: "./library/index.js" }
  writeFileSync(join(library, "package.json"), JSON.stringify(manifest))
})

const tsc = resolve("node_modules/.bin/tsc")
const compilers = new Map<string, Promise<Ended>>()

/** What a compiler says, an entry per error. */
const compiled = async (file: string): Promise<ReadonlyArray<string>> => {
  const ofFile = (one: string) => {
    const ended = compilers.get(one) ?? run(tsc, ["-p", one, "--checkers", "1", "--pretty", "false"], user)
    compilers.set(one, ended)
    return ended
  }
  const [first, ...others] = settings.map((setting) => setting.file)
  // The declarations of the library come first, and then all at once.
  const library = await ofFile(first!)
  for (const other of others) void ofFile(other)
  const { output } = file === first ? library : await ofFile(file)
  return output.split(/\n(?=\S)/).filter((error) => error.trim() !== "")
}

const isWrong = (error: string): boolean => error.startsWith("consumer/wrong.ts(")

/** Prints the modules that cannot be imported, or that the index has not. */
const importing = Object.entries(names)
  .map(([path, name]) => {
    const files = globSync("*.ts", { cwd: `packages/${path}/src`, exclude: ["Peers.ts"] }).map((file) =>
      file.replace(".ts", "")
    )
    // Modules have names of types. In no index are adapters, which begin small, and `Faulty` and `WhatIf`, which need Node.
    const [modules, adapters] = [/^(?!Faulty$|WhatIf$)[A-Z]/, /^(?!index$)([a-z]|Faulty$|WhatIf$)/].map((kind) =>
      files.filter((file) => kind.test(file))
    )
    return `{
      const all = await import("${name}")
      for (const name of ${JSON.stringify(modules)}) {
        if (all[name] !== await import("${name}/" + name)) console.log("${name}/" + name)
      }
      for (const name of ${JSON.stringify(adapters)}) {
        const adapter = await import("${name}/" + name)
        if (name in all || Object.keys(adapter).length === 0) console.log("${name}/" + name)
      }
      console.log("\\n${name} done")
    }`
  })
  .join("\n")
let imports: Promise<string> | undefined

describe("the packages, installed", () => {
  for (const name of ["resilience", "testing", "lab", "console"] as const) {
    it(`${names[name]} holds sources, build, licence, readme, changelog, what agents read, and nothing else`, async () => {
      const files = (await mustRun("tar", ["-tzf", tarballs[name]], folder)).trim().split("\n")
      const odd = files.filter(
        (file) =>
          !/^package\/((dist\/report\/(page\.json|licenses\.txt))|(dist|src)\/.+\.(ts|js|map)|(README|LICENSE|CHANGELOG|AGENTS|llms|package)(\.md|\.json|\.txt)?)$/.test(
            file
          )
      )
      assert.deepStrictEqual(odd, [])
      for (const file of ["LICENSE", "README.md", "package.json", "src/index.ts", "dist/index.js", "dist/index.d.ts"]) {
        assert.include(files, `package/${file}`)
      }
    })

    it(`${names[name]} lets in to every module of its index, by a path of its own`, async () => {
      // One process imports them all.
      imports ??= mustRun(process.execPath, ["--input-type=module", "--eval", importing], user)
      assert.deepStrictEqual(
        (await imports).split("\n").filter((line) => line.startsWith(`${names[name]}/`)),
        []
      )
      assert.include(await imports, `\n${names[name]} done\n`)
    })
  }

  it("maps its build to the sources that come with it", () => {
    const chunks = join(user, "node_modules/effect-resilience/dist/engine/chunks")
    for (const [chunk, source] of [
      ["common", "Timeout"],
      ["breaker", "CircuitBreaker"],
      ["policy", "Policy"]
    ]) {
      const sources: ReadonlyArray<string> = JSON.parse(readFileSync(join(chunks, `${chunk}.js.map`), "utf8")).sources
      assert.include(sources, `../../../src/${source}.ts`)
      assert.deepStrictEqual(
        sources.filter((path) => !existsSync(join(chunks, path))),
        []
      )
    }
  })

  it("is read from few files: an import of a policy reads its own and up to three with what policies share", async () => {
    const program = `import { registerHooks } from "node:module"
      let files = 0
      registerHooks({ load: (url, context, next) => (url.includes("/effect-resilience/") && files++, next(url, context)) })
      for (const name of ["Timeout", "CircuitBreaker", "Policy"]) {
        await import("effect-resilience/" + name)
        console.log(name, files)
      }`
    const files = await mustRun(process.execPath, ["--input-type=module", "--eval", program], user)
    assert.strictEqual(files, "Timeout 2\nCircuitBreaker 4\nPolicy 6\n")
  })

  for (const { file, name } of settings) {
    it(`compiles, libraries checked too: ${name}`, async () => {
      const errors = await compiled(file)
      assert.deepStrictEqual(
        errors.filter((error) => !isWrong(error)),
        []
      )
    })
  }

  it("a library on top emits declarations that resolve, and its consumer gets exact types", async () => {
    const [first, ...others] = await Promise.all(settings.map(({ file }) => compiled(file)))
    assert.deepStrictEqual(first, [])
    const declarations = readFileSync(join(user, "node_modules/payments/library/index.d.ts"), "utf8")
    assert.notMatch(declarations, /effect-resilience\/(engine|machine|runtime|internal)/)
    // Names of packages resolve by their `exports` in every setting.
    for (const [, specifier] of declarations.matchAll(/(?:from|import\() ?"(.+?)"/g)) {
      assert.match(specifier ?? "", /^(effect|effect-resilience|@effect-resilience\/\w+)(\/|$)/)
    }
    for (const errors of others) {
      assert.deepStrictEqual(
        errors.filter((error) => !isWrong(error)),
        []
      )
      assert.include(errors.filter(isWrong).join("\n"), "Argument of type 'number' is not assignable")
    }
  })

  it("runs", async () => {
    assert.strictEqual(await mustRun(process.execPath, ["hello.ts"], user), `["user 1","nobody"]\n`)
    assert.strictEqual(await mustRun(process.execPath, ["swept.ts"], user), "true 12 true\n")
    assert.strictEqual(await mustRun(process.execPath, ["simulated.ts"], user), "true ours,none\n")
  })

  it("runs the lab in a thread", async () => {
    assert.strictEqual(await mustRun(process.execPath, ["threaded.ts"], user), "1 0\n")
  })

  const closed = [
    "engine/policy",
    "runtime/frame",
    "machine/Circuit",
    "index",
    "dist/Policy.js",
    "src/Policy.ts",
    "Policy.js"
  ]
  const inside = ["internal/check", "index", "dist/Sweep.js", "src/Sweep.ts"]
  const paths: Array<string> = []
  let refusals: Promise<string> | undefined
  const within = ["internal/world", "cli/main", "report/report", "index", "dist/Lab.js"]
  for (const path of [
    ...closed.map((path) => `${names.resilience}/${path}`),
    ...inside.map((path) => `${names.testing}/${path}`),
    ...within.map((path) => `${names.lab}/${path}`),
    ...["internal/page", "index", "dist/Console.js"].map((path) => `${names.console}/${path}`)
  ]) {
    paths.push(path)
    it(`does not let in to ${path}`, async () => {
      const program = `for (const path of ${JSON.stringify(paths)}) {
        console.log(path, await import(path).then(() => "lets in", (error) => error.code))
      }`
      // One process imports them all.
      refusals ??= mustRun(process.execPath, ["--input-type=module", "--eval", program], user)
      const code = (await refusals).split("\n").find((line) => line.startsWith(`${path} `))
      assert.match(code ?? "", / (ERR_PACKAGE_PATH_NOT_EXPORTED|ERR_MODULE_NOT_FOUND)$/)
    })
  }

  describe("the command of the lab", () => {
    // What npx runs, without the second that npx takes.
    const command = join(user, "node_modules/.bin/effect-resilience-lab")
    const lab = (...args: ReadonlyArray<string>) => mustRun(command, args, user)

    it("prints its options, by the name that a user types", async () => {
      const help = await mustRun("npx", ["effect-resilience-lab", "--help"], user)
      assert.include(help, "\nnpx effect-resilience-lab [options]\n")
      assert.notInclude(help, "npm run")
    })

    it("runs a named scenario", async () => {
      const table = await lab("--scenario", "S10", "--sender", "none", "--seeds", "2", "--workers", "2", "--no-html")
      assert.match(table, /^S10 .*\(2 seeds\)\n/)
      assert.match(table, /\nnone +0\.\d{3}/)
    })

    it("runs a scenario from JSON, and writes a report that needs nothing else", async () => {
      const table = await lab("--file", "scenario.json", "--sender", "ours", "--seeds", "1", "--html", "report.html")
      assert.match(table, /\nours /)
      const report = readFileSync(join(user, "report.html"), "utf8")
      assert.include(report, "npx effect-resilience-lab --file scenario.json --sender ours --seeds 1")
      assert.match(report, /effect-resilience \d+\.\d+\.\d+, effect 4\.\S+, echarts \d/)
      assert.include(report, "ZRender")
      assert.isAbove(report.length, 300_000)
    })

    it("runs a scenario and senders from TypeScript, which import what the user has installed", async () => {
      const table = await lab("--file", "scenario.ts", "--seeds", "1", "--no-html")
      assert.match(table, /^tiny .*[\s\S]*\ntwice [\s\S]*\nmine /)
    })

    it("runs a file outside of any project, which imports what the command has", async () => {
      const folder = mkdtempSync(join(tmpdir(), "outside-"))
      const file = join(folder, "scenario.ts")
      writeFileSync(file, readFileSync(join(user, "scenario.ts"), "utf8"))
      const table = await lab("--file", file, "--seeds", "1", "--no-html")
      rmSync(folder, { recursive: true })
      assert.match(table, /^tiny .*[\s\S]*\ntwice [\s\S]*\nmine /)
    })

    it("names the package that a sender needs before anything runs", async () => {
      const { code, output } = await run(command, ["--full", "--no-html"], user)
      assert.strictEqual(code, 1)
      assert.match(output, /^cockatiel: .* is not installed: npm install cockatiel$/m)
    })
  })

  it("leaves out of a bundle what is not used", async () => {
    writeFileSync(
      join(user, "bundle.js"),
      `import { Effect } from "effect"
      import { Timeout } from "effect-resilience"
      export const seconds = Timeout.after(Effect.void, "1 second")`
    )
    const bundle = await rolldown({ cwd: user, input: "bundle.js", platform: "neutral", external: [/^effect(\/|$)/] })
    const { code } = (await bundle.generate({ format: "esm" })).output[0]
    // Of the machines only the timers' list is used.
    assert.include(code, "TimerList")
    for (const unused of [
      "engine/chunks/policy",
      "Circuits",
      "Ledger",
      "Budget",
      "Fallback",
      "Histogram",
      "ConfigProvider"
    ]) {
      assert.notInclude(code, unused)
    }
  })
})
