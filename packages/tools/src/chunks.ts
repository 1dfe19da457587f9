// Writes the modules of the library into a few files. Node resolves and reads every file on its own, which was more than half of
// the time of an import. What a program does not use still falls to its bundler: each call that sets a constant is marked as pure.
import { globSync, readFileSync, rmSync } from "node:fs"
import { posix, resolve } from "node:path"
import { type Plugin, rolldown } from "rolldown"
import { parseSync, Visitor } from "rolldown/utils"
import { modulesIn } from "./packages.ts"

/** Modules that are imported together, the lowest first: a chunk has what these modules import and no chunk before it has. */
const chunks: ReadonlyArray<readonly [name: string, modules: RegExp]> = [
  ["common", /^(?:Timeout|Retry)$/],
  ["breaker", /^CircuitBreaker$/],
  ["policy", /^Policy$/]
]

/** The calls that set a constant or a class when a module is loaded. */
const callsOf = (file: string, text: string): ReadonlyArray<number> => {
  const starts: Array<number> = []
  let functions = 0
  let values = 0
  const call = ({ start }: { readonly start: number }) => {
    if (functions === 0 && values > 0) starts.push(start)
  }
  const [enter, leave] = [() => void functions++, () => void functions--]
  const [begin, end] = [() => void values++, () => void values--]
  new Visitor({
    VariableDeclarator: begin,
    "VariableDeclarator:exit": end,
    ClassDeclaration: begin,
    "ClassDeclaration:exit": end,
    FunctionDeclaration: enter,
    "FunctionDeclaration:exit": leave,
    FunctionExpression: enter,
    "FunctionExpression:exit": leave,
    ArrowFunctionExpression: enter,
    "ArrowFunctionExpression:exit": leave,
    CallExpression: call,
    NewExpression: call
  }).visit(parseSync(file, text).program)
  return starts.sort((a, b) => a - b)
}

/** Marks those calls: a bundler may leave them out with the constant. */
export const markPure = (file: string, text: string): string => {
  let marked = ""
  let from = 0
  for (const start of callsOf(file, text)) {
    marked += `${text.slice(from, start)}/* @__PURE__ */ `
    from = start
  }
  return marked + text.slice(from)
}

const pure: Plugin = {
  name: "pure",
  // The marks stand on the lines of the calls, so lines are as they were.
  transform: (text, file) => ({ code: markPure(file, text), map: null })
}

/** Adds a module and what it imports. */
const addAll = (file: string, to: Set<string>): void => {
  if (to.has(file)) return
  to.add(file)
  const { module } = parseSync(file, readFileSync(file, "utf8"))
  const specifiers = [
    ...module.staticImports.flatMap(({ entries, moduleRequest }) =>
      entries.length > 0 && entries.every(({ isType }) => isType) ? [] : [moduleRequest.value]
    ),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ isType, moduleRequest }) => (isType || moduleRequest === null ? [] : [moduleRequest.value]))
    )
  ]
  for (const specifier of specifiers) {
    if (specifier.startsWith(".")) addAll(posix.join(posix.dirname(file), specifier), to)
  }
}

/**
 * Replaces what the compiler wrote of the package in the current folder. The index stays as it is: a bundler follows its
 * `export * as` to single functions.
 */
export const writeChunks = async (hidden: ReadonlyArray<string>): Promise<void> => {
  const root = resolve("src").replaceAll("\\", "/")
  const modules = modulesIn("src", hidden)
  const chunkOf = new Map<string, string>()
  for (const [name, first] of chunks) {
    const all = new Set<string>()
    for (const module of modules) if (first.test(module)) addAll(`${root}/${module}.ts`, all)
    for (const file of all) if (!chunkOf.has(file)) chunkOf.set(file, name)
  }
  for (const file of globSync("dist/**/*.{js,js.map}", { exclude: ["dist/index.*"] })) rmSync(file)
  const build = await rolldown({
    input: Object.fromEntries(modules.map((module) => [module, `${root}/${module}.ts`])),
    external: [/^effect(\/|$)/, /^node:/],
    plugins: [pure]
  })
  await build.write({
    dir: "dist",
    format: "esm",
    chunkFileNames: "engine/chunks/[name].js",
    codeSplitting: {
      groups: chunks.map(([name], at) => ({
        name,
        priority: chunks.length - at,
        test: (id: string) => chunkOf.get(id.replaceAll("\\", "/")) === name
      }))
    },
    // The declarations have them.
    comments: { jsdoc: false },
    sourcemap: true,
    sourcemapExcludeSources: true
  })
  await build.close()
}
