// Keeps packages/resilience/api.md: every public module's exports with their types, so that a change of the public API
// is seen in review.
import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { parseSync } from "rolldown/utils"
import { run } from "./run.ts"

const snapshot = "packages/resilience/api.md"
const folder = ".cache/api"
const declarations = `${folder}/declarations`

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

if (import.meta.main) {
  rmSync(folder, { force: true, recursive: true })
  mkdirSync(folder, { recursive: true })
  const flags = ["--emitDeclarationOnly", "--declarationMap", "false", "--sourceMap", "false", "--removeComments"]
  const { ok, output } = await run("tsc", ["-p", "packages/resilience", ...flags, "--outDir", declarations])
  if (!ok) {
    console.error(output)
    process.exit(1)
  }

  const modules = globSync("**/*.d.ts", { cwd: declarations, exclude: ["machine/**", "internal/**"] })
    .map((file) => file.replaceAll("\\", "/"))
    .sort()
    .map((file) => {
      const name = file.replace(/\.d\.ts$/, "").replace(/(^|\/)index$/, "")
      const heading = ["effect-resilience", name].filter((part) => part !== "").join("/")
      const text = describeModule(readFileSync(`${declarations}/${file}`, "utf8"))
      return `## ${heading}\n\n\`\`\`ts\n${text}\n\`\`\`\n`
    })
  const lead = "# The public API\n\nWritten by `npm run api:update`: do not edit.\n"
  const current = `${folder}/api.md`
  writeFileSync(current, [lead, ...modules].join("\n"))

  if (process.argv.includes("--update")) {
    copyFileSync(current, snapshot)
    console.log(`${snapshot} written: ${modules.length} modules`)
  } else {
    const before = existsSync(snapshot) ? snapshot : "/dev/null"
    const diff = spawnSync("git", ["diff", "--no-index", "--no-color", "--exit-code", before, current])
    if (diff.status !== 0) {
      console.error(`${diff.stdout}${diff.stderr}`)
      console.error(`The public API is not what ${snapshot} says. If that is meant, run: npm run api:update`)
      process.exit(1)
    }
    console.log(`${modules.length} modules, as ${snapshot} says`)
  }
}
