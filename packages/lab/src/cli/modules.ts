/** Imports a user's TypeScript from any folder. Node removes the types. */
import { registerHooks } from "node:module"
import { pathToFileURL } from "node:url"

/** The packages that scenario files import and this command depends on. */
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
        // A package.json without `"type": "module"` (`npm init` writes such) would make it CommonJS, which cannot
        // import.
        return found.url.endsWith(".ts") ? { ...found, format: "module-typescript" } : found
      } catch (error) {
        if (!own.test(specifier)) throw error
        // Not installed next to the file: resolve from this command.
        return resolve(import.meta.url)
      }
    }
  })
}

export const importTypeScript = (path: string): Promise<Readonly<Record<string, unknown>>> => {
  register()
  return import(pathToFileURL(path).href)
}
