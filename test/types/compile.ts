import { spawn } from "node:child_process"
import { copyFileSync, globSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join, resolve } from "node:path"
import { packed, unpack } from "../../packages/tools/src/packed.ts"

const imports = `import { Effect, Exit, Schedule, Stream } from "effect"
import {
  Bulkhead, CircuitBreaker, Deadline, Fallback, Policy, Rejection, Retry, RetryBudget, StaleFallback, Timeout, Transient, TripPolicy
} from "effect-resilience"
import {
  charge, fetchUser, findUser, order, Payments, PaymentsBudget, schedule, Users, type NotFound, type Order, type User
} from "./world.ts"
`

/** The compilers that the README promises, by the names of their packages in node_modules. */
export const compilers = { "5.9": "typescript-5.9", "6.0": "typescript-6.0", "7.0": "typescript" } as const
export type Version = keyof typeof compilers

const tsc = (version: Version, args: ReadonlyArray<string>, cwd: string): Promise<string> =>
  new Promise((end, fail) => {
    const script = resolve("node_modules", compilers[version], "bin/tsc")
    // Each of several checkers would check again what they share.
    const one = version === "7.0" ? ["--checkers", "1"] : []
    const child = spawn(process.execPath, [script, ...args, ...one, "--pretty", "false"], { cwd })
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
    })
    child.on("error", fail)
    child.on("close", () => end(output))
  })

/** The errors of a compilation by the name of the program, all others by the name `types`. */
const byProgram = (output: string, programs: ReadonlyArray<string>): ReadonlyMap<string, ReadonlyArray<string>> => {
  const errors = new Map<string, Array<string>>(["types", ...programs].map((name) => [name, []]))
  for (const error of output.split(/\n(?=\S)/)) {
    if (error.trim() === "") continue
    const [, name = "types"] = error.match(/^(\w+)\.ts\(\d+,\d+\): error/) ?? []
    const known = errors.get(name) ?? errors.get("types")
    known?.push(error)
  }
  return errors
}

/**
 * What each compiler reports about each program, an entry per error, against the declarations that users install. The
 * project's own type tests are the program `types`.
 */
export const compile = async (
  programs: Readonly<Record<string, string>>,
  versions: ReadonlyArray<Version>
): Promise<ReadonlyArray<readonly [Version, ReadonlyMap<string, ReadonlyArray<string>>]>> => {
  const folder = mkdtempSync(join(tmpdir(), "types-"))
  try {
    for (const name of ["effect-resilience", "@effect-resilience/testing"]) {
      await unpack(await packed(name), join(folder, "node_modules", name))
    }
    for (const name of ["effect", "@effect", "@types"]) {
      symlinkSync(resolve("node_modules", name), join(folder, "node_modules", name), "junction")
    }
    writeFileSync(join(folder, "package.json"), `{ "type": "module" }`)
    for (const file of globSync("test/types/*.ts", { exclude: ["**/*.test.ts", "**/compile.ts"] })) {
      copyFileSync(file, join(folder, basename(file)))
    }
    for (const [name, program] of Object.entries(programs)) {
      writeFileSync(join(folder, `${name}.ts`), `${imports}${program}\n`)
    }
    const config = {
      extends: resolve("tsconfig.json"),
      include: ["*.ts"],
      compilerOptions: {
        customConditions: [],
        noUnusedLocals: false,
        noUnusedParameters: false,
        plugins: [],
        types: []
      }
    }
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config))
    return await Promise.all(
      versions.map(async (version) => {
        const output = await tsc(version, ["-p", "tsconfig.json"], folder)
        return [version, byProgram(output, Object.keys(programs))] as const
      })
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
}
