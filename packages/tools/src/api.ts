// Keeps the api.md of every package that is published: each public module's exports with their types, so that a change of
// the public API is seen in review.
import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { posix } from "node:path"
import { parseSync, Visitor } from "rolldown/utils"
import { libraries, type Package } from "./packages.ts"
import { run } from "./run.ts"

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

interface Span {
  readonly start: number
  readonly end: number
}

/**
 * The text with the members of every type literal and the constituents of every union sorted. The compiler prints inferred
 * types in the order in which it happened to meet their parts, which differs from one machine to the next.
 */
const sortInferred = (text: string): string => {
  const groups: Array<{ readonly parts: ReadonlyArray<Span>; readonly keyOf: (part: Span, text: string) => string }> =
    []
  new Visitor({
    TSTypeLiteral: (node) => {
      const keys = new Map<Span, string>()
      for (const member of node.members) {
        if (member.type === "TSPropertySignature" || member.type === "TSMethodSignature") {
          keys.set(member, text.slice(member.key.start, member.key.end))
        }
      }
      groups.push({ parts: node.members, keyOf: (part) => keys.get(part) ?? "" })
    },
    TSUnionType: (node) => void groups.push({ parts: node.types, keyOf: (_, sorted) => sorted })
  }).visit(parseSync("module.d.ts", text, { lang: "dts" }).program)

  const sorted = (start: number, end: number): string => {
    // The outermost groups of the span; what is inside them is sorted first.
    let printed = ""
    let at = start
    for (const { keyOf, parts } of groups) {
      const [first] = parts
      const last = parts.at(-1)
      if (first === undefined || last === undefined || first === last || first.start < at || last.end > end) continue
      const texts = parts.map((part) => sorted(part.start, part.end))
      const order = parts
        .map((part, index) => ({ key: keyOf(part, texts[index] ?? ""), text: texts[index] ?? "" }))
        .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
      printed += text.slice(at, first.start)
      parts.forEach((part, index) => {
        printed += (order[index]?.text ?? "") + text.slice(part.end, parts[index + 1]?.start ?? part.end)
      })
      at = last.end
    }
    return printed + text.slice(at, end)
  }
  return sorted(0, text.length)
}

/** The exports of a declaration file, sorted by name; then what is not exported but stands in their types. */
export const describeModule = (declarations: string): string => {
  const text = sortInferred(declarations)
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

/**
 * The modules that a declaration file imports and no user can: the declarations of a library on top would name them, and its
 * users would get `any`. `file` is relative to the sources, `hidden` are globs.
 */
export const hiddenImports = (file: string, text: string, hidden: ReadonlyArray<string>): ReadonlyArray<string> => {
  const specifiers: Array<string> = []
  new Visitor({
    ImportDeclaration: (node) => void specifiers.push(node.source.value),
    ExportNamedDeclaration: (node) => {
      if (node.source !== null) specifiers.push(node.source.value)
    },
    ExportAllDeclaration: (node) => void specifiers.push(node.source.value),
    TSImportType: (node) => void specifiers.push(node.source.value)
  }).visit(parseSync(file, text, { lang: "dts" }).program)
  return specifiers
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => posix.join(posix.dirname(file), specifier).replace(/\.ts$/, ""))
    .filter((module) => hidden.some((pattern) => posix.matchesGlob(module, pattern)))
}

/** The declarations as they are now. Throws what the compiler says when there are none. */
const describePackage = async ({
  hidden,
  name,
  path
}: Package): Promise<{ text: string; modules: number; hiddenNames: ReadonlyArray<string> }> => {
  // From the sources of all packages: none needs to be built first.
  // What is wrong with the types is the business of the steps `effect` and `pack`; what no declaration can say is reported here too.
  const flags = [
    "--emitDeclarationOnly",
    "--noCheck",
    "--declarationMap",
    "false",
    "--sourceMap",
    "false",
    "--removeComments"
  ]
  const sources = ["--rootDir", ".", "--customConditions", "@effect-resilience/source"]
  const out = `${folder}/${path}`
  const { ok, output } = await run("tsc", ["-p", path, ...flags, ...sources, "--outDir", out])
  if (!ok) throw new Error(output)
  const declarations = `${out}/${path}/src`
  const files = globSync("**/*.d.ts", { cwd: declarations })
    .map((file) => file.replaceAll("\\", "/"))
    .filter(
      (file) =>
        !hidden.some((pattern) => posix.matchesGlob(file.replace(/\.d\.ts$/, ""), pattern)) || file === "index.d.ts"
    )
    .sort()
  const hiddenNames = files.flatMap((file) =>
    hiddenImports(file, readFileSync(`${declarations}/${file}`, "utf8"), hidden).map(
      (module) =>
        `${path}/src/${file.replace(".d.ts", ".ts")}: a public declaration names ${module}, which no user can import`
    )
  )
  const modules = files.map((file) => {
    const module = file.replace(/\.d\.ts$/, "").replace(/(^|\/)index$/, "")
    const heading = [name, module].filter((part) => part !== "").join("/")
    const text = describeModule(readFileSync(`${declarations}/${file}`, "utf8"))
    return `## ${heading}\n\n\`\`\`ts\n${text}\n\`\`\`\n`
  })
  const lead = "# The public API\n\nWritten by `npm run api -- --update`: do not edit.\n"
  return { text: [lead, ...modules].join("\n"), modules: modules.length, hiddenNames }
}

if (import.meta.main) {
  rmSync(folder, { force: true, recursive: true })
  const update = process.argv.includes("--update")
  await Promise.all(
    libraries.map(async (one) => {
      mkdirSync(`${folder}/${one.path}`, { recursive: true })
      const { hiddenNames, modules, text } = await describePackage(one)
      for (const name of hiddenNames) console.error(name)
      if (hiddenNames.length > 0) process.exitCode = 1
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
