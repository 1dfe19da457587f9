/** Loads the files of a package as scripts that can run in another realm. */
import { readFileSync } from "node:fs"
import { createRequire, isBuiltin } from "node:module"
import { Script } from "node:vm"
import * as Result from "effect/Result"

const here = createRequire(import.meta.url)

/** The function around a CommonJS file, as in Node. */
type Body = (
  exports: Record<string, unknown>,
  require: (specifier: string) => unknown,
  module: { exports: unknown }
) => void

/**
 * Turns an ECMAScript module, as the TypeScript compiler prints it with one statement per line, into the body of a
 * function. Node can load modules into another realm only behind a flag, but it can load scripts. CommonJS files stay
 * unchanged.
 */
const bodyOf = (text: string): string => {
  const exported: Array<string> = []
  const renamed = (names: string): string => names.replace(/(\w+) as (\w+)/g, "$1: $2")
  const body = text
    .replace(
      /^import (\{[^}]*\}) from (['"].*['"]);$/gm,
      (_, names, from) => `const ${renamed(names)} = require(${from});`
    )
    .replace(/^export \* from (['"].*['"]);$/gm, "Object.assign(exports, require($1));")
    .replace(/^export \{([^}]*)\} from (['"].*['"]);$/gm, (_, names, from) =>
      names.replace(
        /(\w+)(?: as (\w+))?,?/g,
        (_: string, name: string, as = name) => `exports.${as} = require(${from}).${name};`
      )
    )
    .replace(/^export (?=(?:async )?(?:class|function\*?|const|let|var) (\w+))/gm, (_, name) => {
      exported.push(name)
      return ""
    })
  const last = exported.length === 0 ? "" : `Object.assign(exports, { ${exported.join(", ")} })`
  return `"use strict";${body}\n${last}`
}

const scripts = new Map<string, Script>()

const scriptOf = (file: string): Script => {
  const found = scripts.get(file)
  if (found !== undefined) return found
  const made = new Script(`(function (exports, require, module) {${bodyOf(readFileSync(file, "utf8"))}\n})`, {
    filename: file
  })
  scripts.set(file, made)
  return made
}

const find = (name: string): string => {
  const file = Result.try(() => here.resolve(name))
  if (Result.isSuccess(file)) return file.success
  throw new Error(`this sender runs the package ${name}, which is not installed: npm install ${name}`)
}

/** Runs a package, each of its files once. Built-in modules of Node are shared with this process. */
export const link = (name: string, run: (script: Script) => unknown): unknown => {
  const modules = new Map<string, { exports: unknown }>()
  const load = (file: string): unknown => {
    const loaded = modules.get(file)
    if (loaded !== undefined) return loaded.exports
    const exports: Record<string, unknown> = {}
    const module = { exports: exports as unknown }
    modules.set(file, module)
    const { resolve } = createRequire(file)
    const body = run(scriptOf(file)) as Body // the script is a function expression
    body(exports, (specifier) => (isBuiltin(specifier) ? here(specifier) : load(resolve(specifier))), module)
    return module.exports
  }
  return load(find(name))
}
