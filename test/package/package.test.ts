/** The packages as npm packs them, installed into an empty project: they compile under every common setting, and run. */
import { execFile } from "node:child_process"
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { rolldown } from "rolldown"

const folder = mkdtempSync(join(tmpdir(), "package-"))
const repository = join(folder, "repository")
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

const names = { resilience: "effect-resilience", testing: "@effect-resilience/testing" } as const
type Package = keyof typeof names

// Packing builds, and a build empties `dist`: so it is done in a copy, beside whoever builds in the repository.
const copy = () => {
  mkdirSync(repository)
  symlinkSync(resolve("node_modules"), join(repository, "node_modules"), "junction")
  for (const path of ["tsconfig.json", "LICENSE", "README.md", "CHANGELOG.md", "packages/tools"]) {
    if (globSync(path).length > 0) cpSync(path, join(repository, path), { recursive: true })
  }
  for (const name of ["resilience", "testing"]) {
    for (const file of globSync(`packages/${name}/{package.json,tsconfig.json,README.md,AGENTS.md,llms.txt,src}`)) {
      cpSync(file, join(repository, file), { recursive: true })
    }
  }
  // The kit compiles against the library of the copy.
  const modules = join(repository, "packages/testing/node_modules")
  mkdirSync(modules)
  symlinkSync(join(repository, "packages/resilience"), join(modules, "effect-resilience"), "junction")
}

const pack = async (name: Package): Promise<string> => {
  const packed = join(folder, name)
  mkdirSync(packed)
  await mustRun("npm", ["pack", "--silent", "--pack-destination", packed], join(repository, "packages", name))
  return join(packed, globSync("*.tgz", { cwd: packed })[0] ?? "no tarball")
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

// The kit, as a user has it beside the library.
const swept = `import { Effect } from "effect"
import { Bulkhead } from "effect-resilience"
import { Sweep } from "@effect-resilience/testing"
import * as Same from "@effect-resilience/testing/Sweep"

const { ended, interrupted } = await Effect.runPromise(
  Sweep.run({
    setup: Bulkhead.make("one", { maxConcurrent: 1 }),
    program: (one) => one.protect(Sweep.turns(2)),
    invariant: (one) =>
      Effect.flatMap(one.state(), ({ running }) => (running === 0 ? Effect.void : Effect.fail("a permit was lost")))
  })
)
console.log(Sweep.run === Same.run, ended, interrupted > 10)
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

const tarballs: Record<Package, string> = { resilience: "", testing: "" }

beforeAll(async () => {
  copy()
  // The kit first, which builds what it needs.
  tarballs.testing = await pack("testing")
  tarballs.resilience = await pack("resilience")
  mkdirSync(user)
  writeFileSync(join(user, "package.json"), `{ "type": "module", "private": true }`)
  writeFileSync(join(user, "hello.ts"), hello)
  writeFileSync(join(user, "refused.ts"), refused)
  writeFileSync(join(user, "swept.ts"), swept)
  for (const { compilerOptions, file } of settings) {
    writeFileSync(join(user, file), JSON.stringify({ include: ["*.ts"], compilerOptions }))
  }
  // Effect is linked: no download, and the very version that everything else is tested with.
  const install = ["install", "--offline", "--no-audit", "--no-fund"]
  await mustRun("npm", [...install, tarballs.resilience, resolve("node_modules/effect")], user)
  await mustRun("npm", [...install, tarballs.testing], user)
}, 120_000)

const compilers = new Map<string, Promise<Ended>>()

describe("the packages, installed", { timeout: 120_000 }, () => {
  for (const name of ["resilience", "testing"] as const) {
    it(`${names[name]} holds sources, build, licence, readme, changelog, what agents read, and nothing else`, async () => {
      const files = (await mustRun("tar", ["-tzf", tarballs[name]], folder)).trim().split("\n")
      const odd = files.filter(
        (file) =>
          !/^package\/((dist|src)\/.+\.(ts|js|map)|(README|LICENSE|CHANGELOG|AGENTS|llms|package)(\.md|\.json|\.txt)?)$/.test(
            file
          )
      )
      assert.deepStrictEqual(odd, [])
      for (const file of ["LICENSE", "README.md", "package.json", "src/index.ts", "dist/index.js", "dist/index.d.ts"]) {
        assert.include(files, `package/${file}`)
      }
    })

    it(`${names[name]} lets in to every module of its index, by a path of its own`, async () => {
      const files = globSync("*.ts", { cwd: `packages/${name}/src` }).map((file) => file.replace(".ts", ""))
      // Modules have names of types; what begins small is an adapter, which is in no index.
      const [modules, adapters] = [/^[A-Z]/, /^(?!index$)[a-z]/].map((kind) => files.filter((file) => kind.test(file)))
      const program = `import * as all from "${names[name]}"
        for (const name of ${JSON.stringify(modules)}) {
          if (all[name] !== await import("${names[name]}/" + name)) console.log(name)
        }
        for (const name of ${JSON.stringify(adapters)}) {
          const adapter = await import("${names[name]}/" + name)
          if (name in all || Object.keys(adapter).length === 0) console.log(name)
        }`
      assert.strictEqual(await mustRun(process.execPath, ["--input-type=module", "--eval", program], user), "")
    })
  }

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
    assert.strictEqual(await mustRun(process.execPath, ["swept.ts"], user), "true 12 true\n")
  })

  const closed = ["internal/frame", "machine/Circuit", "index", "dist/Policy.js", "src/Policy.ts", "Policy.js"]
  const inside = ["internal/check", "index", "dist/Sweep.js", "src/Sweep.ts"]
  for (const path of [
    ...closed.map((path) => `${names.resilience}/${path}`),
    ...inside.map((path) => `${names.testing}/${path}`)
  ]) {
    it(`does not let in to ${path}`, async () => {
      const program = `import("${path}").catch((error) => console.log(error.code))`
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
