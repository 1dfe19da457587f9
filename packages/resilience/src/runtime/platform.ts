/** What the library reads of the platform it runs on, beside `setTimeout`. */
import { attempt } from "./read.ts"

/** Only some platforms have these, and the package is compiled without Node's types. */
const platform = globalThis as {
  readonly process?: {
    readonly env?: Readonly<Record<string, string | undefined>>
    readonly getBuiltinModule?: (name: string) => unknown
  }
  readonly navigator?: { readonly userAgent?: string }
}

/** Captured, because in Node `performance` is a getter on the global object, and it is read twice per call. */
const { performance: realPerformance, setTimeout: realSetTimeout } = globalThis

/**
 * Monotonic time in milliseconds. Fake timers replace `setTimeout` and `performance` together: while `setTimeout` is not the one
 * of the platform, `performance` is looked up.
 */
export const now = (): number => (setTimeout === realSetTimeout ? realPerformance : performance).now()

/**
 * On Cloudflare Workers a timer belongs to the request that set it: it cannot be used by another request, and is dropped with
 * its own.
 */
export const timersBelongToRequests = (): boolean =>
  (isWorker ??= platform.navigator?.userAgent === "Cloudflare-Workers")

let isWorker: boolean | undefined

export const isProduction = (): boolean => platform.process?.env?.["NODE_ENV"] === "production"

/** A variable of the environment; `undefined` if it is not set, is empty, or may not be read, as in Deno without permission. */
export const variable = (name: string): string | undefined =>
  attempt(() => platform.process?.env?.[name], undefined) || undefined

/** A value that code finds in everything that it starts, promises included. */
export interface AsyncLocal<A> {
  readonly getStore: () => A | undefined
  readonly run: <B>(value: A, f: () => B) => B
}

/** `AsyncLocalStorage` of Node, Deno, Bun and Cloudflare; `undefined` on a platform without it. */
export const makeAsyncLocal = <A>(): AsyncLocal<A> | undefined => {
  const Storage = builtin<{ readonly AsyncLocalStorage?: new () => AsyncLocal<A> }>(
    "node:async_hooks"
  )?.AsyncLocalStorage
  return Storage && new Storage()
}

/**
 * A built-in module of Node, which Bun and Deno may have too; `undefined` on a platform without it. It is loaded now, and not when
 * the module is imported that asks for it. `M` is what the caller uses of it.
 */
export const builtin = <M>(name: string): M | undefined => platform.process?.getBuiltinModule?.(name) as M | undefined
