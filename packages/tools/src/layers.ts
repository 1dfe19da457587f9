// Which layer may import which inside the library, and what the packages beside it may import.
import { existsSync, globSync, readFileSync } from "node:fs"
import { posix } from "node:path"
import { parseSync, Visitor } from "rolldown/utils"

interface Layer {
  readonly name: string
  readonly modules: ReadonlyArray<string>
  /** Whether modules of this layer may import each other: all of them, those in one folder, or none. */
  readonly together: "all" | "folder" | "none"
}

/** From the lowest. A module belongs to the first layer with a pattern that it matches. */
const layers: ReadonlyArray<Layer> = [
  { name: "machine", together: "all", modules: ["machine/**"] },
  { name: "runtime", together: "all", modules: ["runtime/**"] },
  {
    name: "values",
    together: "all",
    modules: ["{Types,Transient,Outcome,Rejection,Change,Event,Shared,Stats,TripPolicy,ConcurrencyLimit,Rollout}.ts"]
  },
  { name: "engine", together: "all", modules: ["engine/**"] },
  { name: "barrel", together: "none", modules: ["index.ts"] },
  { name: "Config", together: "none", modules: ["{Config,Policies}.ts"] },
  { name: "Policy", together: "none", modules: ["Policy.ts"] },
  { name: "policies", together: "none", modules: ["*.ts"] },
  { name: "adapters", together: "folder", modules: ["**"] }
]

/** The order of the layers; in the table above the patterns go from the special to the general. */
const order = ["machine", "runtime", "values", "engine", "policies", "Policy", "Config", "adapters", "barrel"]

const heightOf = (file: string): number => {
  const layer = layers.find(({ modules }) => modules.some((pattern) => posix.matchesGlob(file, pattern)))
  return layer === undefined ? -1 : order.indexOf(layer.name)
}

const layerAt = (height: number): Layer | undefined => layers.find(({ name }) => name === order[height])

const machines = order.indexOf("machine")
const adapters = order.indexOf("adapters")
const barrel = order.indexOf("barrel")

const isPublic = (file: string): boolean => !file.includes("/") && heightOf(file) < adapters

const show = (file: string): string => `src/${file}`
const showWithLayer = (file: string): string => `${show(file)} (${order[heightOf(file)]})`

interface Import {
  readonly specifier: string
  /** The modules of a package that an import of its root names: `Effect` of `import { Effect } from "effect"`. */
  readonly names: ReadonlyArray<string>
}

const importsOf = (file: string, text: string): ReadonlyArray<Import> => {
  const imports: Array<Import> = []
  const add = (source: unknown, names: ReadonlyArray<string> = []) => {
    imports.push({ specifier: String(source), names })
  }
  new Visitor({
    ImportDeclaration: (node) =>
      add(
        node.source.value,
        node.specifiers.map((one) =>
          one.type === "ImportSpecifier" && one.imported.type === "Identifier" ? one.imported.name : "*"
        )
      ),
    ExportNamedDeclaration: (node) =>
      node.source === null
        ? undefined
        : add(
            node.source.value,
            node.specifiers.map((one) => (one.local.type === "Identifier" ? one.local.name : "*"))
          ),
    ExportAllDeclaration: (node) => add(node.source.value, ["*"]),
    ImportExpression: (node) => add(node.source.type === "Literal" ? node.source.value : "a computed name"),
    TSImportType: (node) => add(node.source.value),
    TSExternalModuleReference: (node) => add(node.expression.value)
  }).visit(parseSync(file, text).program)
  return imports
}

/** How stable Effect calls one of its modules (`Schedule`, `http/HttpClient`), or undefined if it has no such module. */
export type Stability = (module: string) => string | undefined

const complaintAboutPackage = (
  file: string,
  { names, specifier }: Import,
  stability: Stability
): string | undefined => {
  const who = showWithLayer(file)
  const height = heightOf(file)
  if (height === machines) return `${who} imports ${specifier}: a machine imports nothing but machines`
  if (specifier !== "effect" && !specifier.startsWith("effect/")) {
    return `${who} imports ${specifier}: the library imports nothing but effect`
  }
  if (height >= adapters) return undefined
  if (specifier === "effect" && names.includes("*")) {
    return `${who} imports all of effect: import the modules it needs`
  }
  for (const module of specifier === "effect" ? names : [specifier.slice("effect/".length)]) {
    // What is not a module is a function of the root, such as `pipe`.
    const found = stability(module) ?? (specifier === "effect" ? "stable" : "unknown")
    if (found !== "stable") {
      return `${who} imports effect/${module}, which Effect calls ${found}: only an adapter may`
    }
  }
  return undefined
}

const complaintAboutModule = (file: string, target: string): string | undefined => {
  const from = heightOf(file)
  const to = heightOf(target)
  if (to < from) return undefined
  const edge = `${showWithLayer(file)} imports ${showWithLayer(target)}`
  if (to > from) return `${edge}: a module imports only from layers below`
  switch (layerAt(from)?.together) {
    case "all":
      return undefined
    case "folder":
      return file.split("/")[0] === target.split("/")[0]
        ? undefined
        : `${edge}: folders of adapters never import each other`
    default:
      return `${edge}: modules of this layer never import each other`
  }
}

const cyclesOf = (graph: ReadonlyMap<string, ReadonlyArray<string>>): ReadonlyArray<string> => {
  const cycles: Array<string> = []
  const done = new Set<string>()
  const visit = (file: string, path: ReadonlyArray<string>) => {
    const start = path.indexOf(file)
    if (start !== -1) {
      cycles.push(`${[...path.slice(start), file].map(show).join(" → ")}: a cycle`)
      return
    }
    if (done.has(file)) return
    for (const target of graph.get(file) ?? []) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return cycles
}

/** All complaints about a library, given as file (relative to src) → text. */
export const checkLayers = (files: ReadonlyMap<string, string>, stability: Stability): ReadonlyArray<string> => {
  const complaints: Array<string> = []
  const graph = new Map<string, ReadonlyArray<string>>()
  for (const [file, text] of files) {
    const targets: Array<string> = []
    for (const one of importsOf(file, text)) {
      if (!one.specifier.startsWith(".")) {
        const complaint = complaintAboutPackage(file, one, stability)
        if (complaint !== undefined) complaints.push(complaint)
        continue
      }
      const target = posix.join(posix.dirname(file), one.specifier)
      if (!files.has(target)) {
        complaints.push(`${show(file)} imports ${one.specifier}, which is no module of the library`)
        continue
      }
      targets.push(target)
      const complaint = complaintAboutModule(file, target)
      if (complaint !== undefined) complaints.push(complaint)
    }
    graph.set(file, targets)
  }
  const exported = graph.get("index.ts")
  if (exported !== undefined) {
    for (const file of files.keys()) {
      if (isPublic(file) && heightOf(file) !== barrel && !exported.includes(file)) {
        complaints.push(`src/index.ts does not export ${show(file)}`)
      }
    }
  }
  return [...complaints, ...cyclesOf(graph)]
}

/**
 * All complaints about a package that stands on the library (the testing kit, the lab), given as file (relative to src) →
 * text: it sees the library as its users do, so that everything it does can be done by them. Modules that match a pattern of
 * `others` may import what matches, too; the index has none of them, because its users may not have what they import.
 * `folders` hold the package's command, the lowest first: what is above may import what is below, and not the other way.
 */
export const checkKit = (
  files: ReadonlyMap<string, string>,
  others: Readonly<Record<string, RegExp>> = {},
  folders: ReadonlyArray<string> = []
): ReadonlyArray<string> => {
  const complaints: Array<string> = []
  const graph = new Map<string, ReadonlyArray<string>>()
  const othersOf = (file: string): ReadonlyArray<RegExp> =>
    Object.entries(others).flatMap(([pattern, may]) => (posix.matchesGlob(file, pattern) ? [may] : []))
  const heightOf = (file: string): number => folders.findIndex((folder) => file.startsWith(`${folder}/`))
  for (const [file, text] of files) {
    const targets: Array<string> = []
    for (const { specifier } of importsOf(file, text)) {
      if (specifier.startsWith(".")) {
        const target = posix.join(posix.dirname(file), specifier)
        if (files.has(target)) targets.push(target)
        if (heightOf(target) > heightOf(file)) {
          complaints.push(
            `${show(file)} imports ${show(target)}: nothing below ${folders[heightOf(target)]}/ imports it`
          )
        } else if (!files.has(target))
          complaints.push(`${show(file)} imports ${specifier}, which is no module of the kit`)
      } else if (!/^effect(-resilience)?(\/|$)/.test(specifier) && !othersOf(file).some((may) => may.test(specifier))) {
        complaints.push(`${show(file)} imports ${specifier}: the kit imports nothing but effect and effect-resilience`)
      }
    }
    graph.set(file, targets)
    const isPublic = file !== "index.ts" && !file.includes("/") && othersOf(file).length === 0
    if (isPublic && !files.get("index.ts")?.includes(`"./${file}"`)) {
      complaints.push(`src/index.ts does not export ${show(file)}`)
    }
  }
  return [...complaints, ...cyclesOf(graph)]
}

/** Read from the first doc comment of Effect's source. */
export const stabilityOfEffect: Stability = (module) => {
  const source = new URL("src/", import.meta.resolve("effect/package.json"))
  const url = [`${module}.ts`, `${module}/index.ts`].map((path) => new URL(path, source)).find((url) => existsSync(url))
  if (url === undefined) return undefined
  const text = readFileSync(url, "utf8")
  return text.slice(0, text.indexOf("*/")).match(/@stability (\w+)/)?.[1] ?? "unmarked"
}

const modulesIn = (root: string): ReadonlyMap<string, string> =>
  new Map(
    globSync("**/*.ts", { cwd: root })
      .map((file) => file.replaceAll("\\", "/"))
      .sort()
      .map((file) => [file, readFileSync(`${root}/${file}`, "utf8")])
  )

/** What the lab's modules that drive the libraries of others import in addition, what simulates in a thread, and what its command does. */
const labImports = {
  "Peers.ts": /^(cockatiel|opossum)$/,
  "{WhatIf.ts,internal/whatIfThread.ts}": /^node:worker_threads$/,
  "internal/realm.ts": /^node:vm$/,
  "internal/linker.ts": /^node:/,
  "{report,cli}/**": /^(?:node:|a computed name$)/
}

/** The lab may be missing: the console loads it when it is there. */
const consoleImports = { "internal/lab.ts": /^a computed name$/ }

/** What the testing kit's servers import in addition. */
const kitImports = { "{Faulty.ts,internal/faulty/**}": /^node:/ }

if (import.meta.main) {
  const library = modulesIn("packages/resilience/src")
  const kit = modulesIn("packages/testing/src")
  const lab = modulesIn("packages/lab/src")
  const operators = modulesIn("packages/console/src")
  const complaints = [
    ...checkLayers(library, stabilityOfEffect),
    ...checkKit(kit, kitImports),
    ...checkKit(lab, labImports, ["report", "cli"]),
    ...checkKit(operators, consoleImports)
  ]
  for (const complaint of complaints) console.error(complaint)
  if (complaints.length > 0) process.exit(1)
  console.log(
    `${library.size} modules, no import upwards; ${kit.size} of the kit, ${lab.size} of the lab, ${operators.size} of the console`
  )
}
