/** Imports a user's TypeScript, wherever it is: Node removes its types. */
import { registerHooks } from "node:module"
import { pathToFileURL } from "node:url"

/** What a scenario file is made of, and this command stands on. */
const own = /^(?:effect|effect-resilience|@effect-resilience\/lab)(?:\/|$)/

let isRegistered = false

const register = (): void => {
  if (isRegistered) return
  isRegistered = true
  registerHooks({
    resolve: (specifier, context, next) => {
      const resolve = (from = context.parentURL) => next(specifier, { ...context, parentURL: from })
      try {
        const found = resolve()
        // A package.json without `"type": "module"` (`npm init` writes such) would make CommonJS of it, without imports.
        return found.url.endsWith(".ts") ? { ...found, format: "module-typescript" } : found
      } catch (error) {
        if (!own.test(specifier)) throw error
        // Not installed where the file is: then what the command itself has.
        return resolve(import.meta.url)
      }
    }
  })
}

export const importTypeScript = (path: string): Promise<Readonly<Record<string, unknown>>> => {
  register()
  return import(pathToFileURL(path).href)
}
