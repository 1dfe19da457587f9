// Keeps the api.md of every package that is published: each public module's exports with their types, so that a change of
// the public API is seen in review.
import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { parseSync } from "rolldown/utils"
import { run } from "./run.ts"

interface Package {
  readonly name: string
  readonly path: string
  /** Folders that no user can import from. */
  readonly hidden: ReadonlyArray<string>
}

const packages: ReadonlyArray<Package> = [
  { name: "effect-resilience", path: "packages/resilience", hidden: ["machine/**", "internal/**"] },
  { name: "@effect-resilience/testing", path: "packages/testing", hidden: ["internal/**"] },
  { name: "@effect-resilience/lab", path: "packages/lab", hidden: ["internal/**", "cli/**", "report/**"] }
]

const folder = ".cache/api"

type Statement = ReturnType<typeof parseSync>["program"]["body"][number]

const nameOf = (statement: Statement): string => {
  const declared =
    statement.type === "ExportNamedDeclaration" && statement.declaration !== null ? statement.declaration : statement
  if (declared.type === "VariableDeclaration") {
    const id = declared.declarations[0]?.id
    return id?.type === "Identifier" ? id.name : ""
  }
  if ("id" in declared && declared.id?.type === "Identifier") return declared.id.name
  if (statement.type === "ExportNamedDeclaration") {
    const exported = statement.specifiers[0]?.exported
    return exported?.type === "Identifier" ? exported.name : ""
  }
  if (statement.type === "ExportAllDeclaration" && statement.exported?.type === "Identifier") {
    return statement.exported.name
  }
  return ""
}

/** The exports of a declaration file, sorted by name; then what is not exported but stands in their types. */
export const describeModule = (text: string): string => {
  const { body } = parseSync("module.d.ts", text, { lang: "dts" }).program
  const section = (exported: boolean) =>
    body
      .filter((statement) => statement.type !== "ImportDeclaration" && statement.type.startsWith("Export") === exported)
      .map((statement) => ({ name: nameOf(statement), text: text.slice(statement.start, statement.end) }))
      .filter((one) => one.text !== "export {};")
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
      .map((one) => one.text)
  const hidden = section(false)
  return [...section(true), ...(hidden.length === 0 ? [] : ["// not exported", ...hidden])].join("\n")
}

/** The declarations as they are now. Throws what the compiler says when there are none. */
const describePackage = async ({ hidden, name, path }: Package): Promise<{ text: string; modules: number }> => {
  // From the sources of all packages: none needs to be built first.
  const flags = ["--emitDeclarationOnly", "--declarationMap", "false", "--sourceMap", "false", "--removeComments"]
  const sources = ["--rootDir", ".", "--customConditions", "@effect-resilience/source"]
  const out = `${folder}/${path}`
  const { ok, output } = await run("tsc", ["-p", path, ...flags, ...sources, "--outDir", out])
  if (!ok) throw new Error(output)
  const declarations = `${out}/${path}/src`
  const modules = globSync("**/*.d.ts", { cwd: declarations, exclude: hidden })
    .map((file) => file.replaceAll("\\", "/"))
    .sort()
    .map((file) => {
      const module = file.replace(/\.d\.ts$/, "").replace(/(^|\/)index$/, "")
      const heading = [name, module].filter((part) => part !== "").join("/")
      const text = describeModule(readFileSync(`${declarations}/${file}`, "utf8"))
      return `## ${heading}\n\n\`\`\`ts\n${text}\n\`\`\`\n`
    })
  const lead = "# The public API\n\nWritten by `npm run api -- --update`: do not edit.\n"
  return { text: [lead, ...modules].join("\n"), modules: modules.length }
}

if (import.meta.main) {
  rmSync(folder, { force: true, recursive: true })
  const update = process.argv.includes("--update")
  await Promise.all(
    packages.map(async (one) => {
      mkdirSync(`${folder}/${one.path}`, { recursive: true })
      const { modules, text } = await describePackage(one)
      const snapshot = `${one.path}/api.md`
      const current = `${folder}/${snapshot}`
      writeFileSync(current, text)
      if (update) {
        copyFileSync(current, snapshot)
        console.log(`${snapshot} written: ${modules} modules`)
        return
      }
      const before = existsSync(snapshot) ? snapshot : "/dev/null"
      const diff = spawnSync("git", ["diff", "--no-index", "--no-color", "--exit-code", before, current])
      if (diff.status === 0) {
        console.log(`${modules} modules, as ${snapshot} says`)
        return
      }
      console.error(`${diff.stdout}${diff.stderr}`)
      console.error(`The public API is not what ${snapshot} says. If that is meant, run: npm run api -- --update`)
      process.exitCode = 1
    })
  ).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  })
}
