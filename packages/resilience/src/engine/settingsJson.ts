/** The resolved settings of a policy as JSON, for people and tools that read them. */
import type * as Schema from "effect/Schema"
import type { TypeId } from "../ConcurrencyLimit.ts"
import * as Check from "../runtime/options.ts"
import { has, isObject, read } from "../runtime/read.ts"

/**
 * Durations are in milliseconds. What has no limit (`Infinity`), was not given or is a function is left out. A trip policy, and a
 * limit that is found out, is its name with what it was configured with.
 */
export const toJson = (settings: object): Schema.JsonObject =>
  Object.fromEntries(
    Object.entries(settings).flatMap(([field, value]) => {
      // `where` is for error messages. The options of a schedule say more than that there is one.
      const isHidden = field === "where" || (field === "schedule" && read(settings, "backoff") !== undefined)
      const json = isHidden ? undefined : valueOf(value)
      return json === undefined ? [] : [[field, json]]
    })
  )

const LimitTypeId: typeof TypeId = "~effect-resilience/ConcurrencyLimit"

const valueOf = (value: unknown): Schema.Json | undefined => {
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) ? value : undefined
    case "string":
    case "boolean":
      return value
    case "object":
      return value === null ? undefined : objectOf(value)
    default:
      return undefined
  }
}

const objectOf = (value: object): Schema.Json | undefined => {
  if (has(value, "trips") || has(value, LimitTypeId)) return configured(value as Configured)
  if (Check.isSchedule(value)) return "custom"
  if (Array.isArray(value)) return value.map((one) => valueOf(one) ?? null)
  return toJson(value)
}

/** A trip policy, or a limit. */
interface Configured {
  readonly name: string
  readonly settings?: unknown
}

const configured = ({ name, settings }: Configured): Schema.JsonObject => ({
  name,
  ...(isObject(settings) ? toJson(settings) : {})
})
