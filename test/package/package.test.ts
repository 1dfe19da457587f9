/** The package as npm packs it, installed into an empty project: it compiles under every common setting, and runs. */
import { execFile } from "node:child_process"
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { rolldown } from "rolldown"

const folder = mkdtempSync(join(tmpdir(), "package-"))
const packed = join(folder, "repository/packages/resilience")
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

// Packing builds, and a build empties `dist`: so it is done in a copy, beside whoever builds in the repository.
const pack = async (): Promise<string> => {
  mkdirSync(packed, { recursive: true })
  symlinkSync(resolve("node_modules"), join(folder, "repository/node_modules"), "junction")
  for (const path of ["tsconfig.json", "LICENSE", "README.md", "CHANGELOG.md", "packages/tools"]) {
    if (globSync(path).length > 0) cpSync(path, join(folder, "repository", path), { recursive: true })
  }
  for (const path of ["package.json", "tsconfig.json", "src"]) {
    cpSync(join("packages/resilience", path), join(packed, path), { recursive: true })
  }
  await mustRun("npm", ["pack", "--silent", "--pack-destination", folder], packed)
  return join(folder, globSync("*.tgz", { cwd: folder })[0] ?? "no tarball")
}

const hello = `import { Effect } from "effect"
import { CircuitBreaker, Retry, Transient, TripPolicy } from "effect-resilience"
import * as Policy from "effect-resilience/Policy"

class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}

class Users extends CircuitBreaker.Service<Users>()("app/Users", { trip: TripPolicy.consecutive(5) }) {}
class Payments extends Policy.Service<Payments>()("app/Payments", {
  retry: Retry.backoff({ base: "1 millis", times: 1 }),
  bulkhead: { maxConcurrent: 1 }
}) {}

const fetchUser = (id: number): Effect.Effect<string, Unavailable> =>
  id > 0 ? Effect.succeed(\`user \${id}\`) : Effect.fail(new Unavailable())

const program = Effect.all([
  fetchUser(1).pipe(Users.protect),
  fetchUser(0).pipe(Payments.protect, Effect.catchTag("Unavailable", () => Effect.succeed("nobody")))
]).pipe(Effect.provide([Users.layer, Payments.layer]))

console.log(JSON.stringify(await Effect.runPromise(program)))
`

// The types have arrived, and refuse there what they refuse here.
const refused = `import { Effect } from "effect"
import { Retry, Timeout } from "effect-resilience"

export const seconds = Timeout.after(Effect.void, "1 second")
// @ts-expect-error An effect that cannot fail has nothing to retry.
export const retried = Effect.succeed(1).pipe(Retry.transient(Retry.backoff()))
`

const settings = ["nodenext", "bundler"].flatMap((moduleResolution) =>
  [true, false].map((exactOptionalPropertyTypes) => ({
    name: `${moduleResolution}, exactOptionalPropertyTypes ${exactOptionalPropertyTypes}`,
    file: `tsconfig.${moduleResolution}.${exactOptionalPropertyTypes}.json`,
    compilerOptions: {
      noEmit: true,
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
)

let tarball = ""

beforeAll(async () => {
  tarball = await pack()
  mkdirSync(user)
  writeFileSync(join(user, "package.json"), `{ "type": "module", "private": true }`)
  writeFileSync(join(user, "hello.ts"), hello)
  writeFileSync(join(user, "refused.ts"), refused)
  for (const { compilerOptions, file } of settings) {
    writeFileSync(join(user, file), JSON.stringify({ include: ["*.ts"], compilerOptions }))
  }
  // Effect is linked: no download, and the very version that everything else is tested with.
  await mustRun(
    "npm",
    ["install", "--offline", "--no-audit", "--no-fund", tarball, resolve("node_modules/effect")],
    user
  )
}, 120_000)

const compilers = new Map<string, Promise<Ended>>()

describe("the package, installed", { timeout: 120_000 }, () => {
  it("holds sources, build, licence, readme, changelog and nothing else", async () => {
    const files = (await mustRun("tar", ["-tzf", tarball], folder)).trim().split("\n")
    const odd = files.filter(
      (file) => !/^package\/(dist\/|src\/|(README|LICENSE|CHANGELOG|package)(\.md|\.json)?$)/.test(file)
    )
    assert.deepStrictEqual(odd, [])
    assert.include(files, "package/dist/index.js")
    assert.include(files, "package/dist/index.d.ts")
    assert.include(files, "package/LICENSE")
  })

  it("maps its build to the sources that come with it", () => {
    const installed = join(user, "node_modules/effect-resilience")
    const { sources } = JSON.parse(readFileSync(join(installed, "dist/Policy.js.map"), "utf8"))
    assert.deepStrictEqual(sources, ["../src/Policy.ts"])
    assert.strictEqual(globSync("src/Policy.ts", { cwd: installed }).length, 1)
  })

  for (const { file, name } of settings) {
    it(`compiles, libraries checked too: ${name}`, async () => {
      // All at once with the first of them.
      for (const other of settings) {
        if (!compilers.has(other.file)) {
          compilers.set(other.file, run(resolve("node_modules/.bin/tsc"), ["-p", other.file], user))
        }
      }
      const ended = await compilers.get(file)
      assert.strictEqual(ended?.output.trim(), "")
      assert.strictEqual(ended?.code, 0)
    })
  }

  it("runs", async () => {
    assert.strictEqual(await mustRun(process.execPath, ["hello.ts"], user), `["user 1","nobody"]\n`)
  })

  it("lets in to every module of the index, by a path of its own", async () => {
    const names = globSync("*.ts", { cwd: "packages/resilience/src" }).map((file) => file.replace(".ts", ""))
    // Modules have names of types; what begins small is an adapter, which is in no index.
    const [modules, adapters] = [/^[A-Z]/, /^(?!index$)[a-z]/].map((kind) => names.filter((name) => kind.test(name)))
    assert.isNotEmpty(adapters)
    const program = `import * as all from "effect-resilience"
      for (const name of ${JSON.stringify(modules)}) {
        if (all[name] !== await import("effect-resilience/" + name)) console.log(name)
      }
      for (const name of ${JSON.stringify(adapters)}) {
        const adapter = await import("effect-resilience/" + name)
        if (name in all || Object.keys(adapter).length === 0) console.log(name)
      }`
    assert.strictEqual(await mustRun(process.execPath, ["--input-type=module", "--eval", program], user), "")
  })

  for (const path of ["internal/frame", "machine/Circuit", "index", "dist/Policy.js", "src/Policy.ts", "Policy.js"]) {
    it(`does not let in to ${path}`, async () => {
      const program = `import("effect-resilience/${path}").catch((error) => console.log(error.code))`
      const said = await mustRun(process.execPath, ["--input-type=module", "--eval", program], user)
      assert.match(said, /^(ERR_PACKAGE_PATH_NOT_EXPORTED|ERR_MODULE_NOT_FOUND)$/m)
    })
  }

  it("leaves out of a bundle what is not used", async () => {
    writeFileSync(
      join(user, "bundle.js"),
      `import { Effect } from "effect"
      import { Timeout } from "effect-resilience"
      export const seconds = Timeout.after(Effect.void, "1 second")`
    )
    const bundle = await rolldown({ cwd: user, input: "bundle.js", platform: "neutral", external: [/^effect(\/|$)/] })
    const { output } = await bundle.generate({ format: "esm" })
    const modules = Object.keys(output[0].modules)
      .map((path) => path.replaceAll("\\", "/").split("/dist/")[1] ?? "")
      .filter((path) => path !== "")
    assert.include(modules, "Timeout.js")
    for (const unused of ["Policy", "CircuitBreaker", "Bulkhead", "Retry", "RetryBudget", "Fallback", "Config"]) {
      assert.notInclude(modules, `${unused}.js`)
    }
    assert.deepStrictEqual(
      modules.filter((path) => path.startsWith("machine/")),
      []
    )
  })
})
