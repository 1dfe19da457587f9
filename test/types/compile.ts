import { spawnSync } from "node:child_process"
import { copyFileSync, globSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"

const imports = `import { Effect, Exit, Schedule } from "effect"
import {
  Bulkhead, CircuitBreaker, Deadline, Fallback, Policy, Rejection, Retry, RetryBudget, StaleFallback, Timeout, Transient, TripPolicy
} from "effect-resilience"
import {
  charge, fetchUser, findUser, order, Payments, PaymentsBudget, schedule, Users, type NotFound, type Order, type User
} from "./world.ts"
`

/** What the compiler says about each program, an entry per error; the project's own type tests are the program `types`. */
export const compile = (programs: Readonly<Record<string, string>>): ReadonlyMap<string, ReadonlyArray<string>> => {
  const folder = mkdtempSync(join(tmpdir(), "types-"))
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"), "junction")
  copyFileSync("test/types/world.ts", join(folder, "world.ts"))
  writeFileSync(join(folder, "package.json"), `{ "type": "module" }`)
  for (const [name, program] of Object.entries(programs)) {
    writeFileSync(join(folder, `${name}.ts`), `${imports}${program}\n`)
  }
  const own = globSync("test/types/*.ts", { exclude: ["**/*.test.ts"] }).map((file) => resolve(file))
  const config = {
    extends: resolve("tsconfig.json"),
    include: ["*.ts", ...own],
    compilerOptions: {
      noUnusedLocals: false,
      noUnusedParameters: false,
      plugins: [],
      typeRoots: [resolve("node_modules/@types")]
    }
  }
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config))
  const { stdout } = spawnSync(resolve("node_modules/.bin/tsc"), ["-p", "tsconfig.json", "--pretty", "false"], {
    cwd: folder,
    encoding: "utf8",
    shell: process.platform === "win32"
  })
  rmSync(folder, { recursive: true })

  const said = new Map<string, Array<string>>(["types", ...Object.keys(programs)].map((name) => [name, []]))
  for (const error of stdout.split(/\n(?=\S)/)) {
    if (error.trim() === "") continue
    const [, name = "types"] = error.match(/^(\w+)\.ts\(\d+,\d+\): error/) ?? []
    // What is not said about a program is said about what all of them need.
    const errors = said.get(name) ?? said.get("types")
    errors?.push(error)
  }
  return said
}
