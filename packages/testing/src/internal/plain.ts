/** Plain data: numbers, strings, arrays, typed arrays, maps, sets and records of them. */
import * as Result from "effect/Result"

/** Deeper than any state of a small machine, so deeper data has a cycle. */
const deepest = 100

const quote = (text: string): string => JSON.stringify(text)

const write = (value: unknown, depth: number): string => {
  if (depth > deepest) throw new RangeError("plain data has no cycles: give `key` and `copy` for a state that has")
  switch (typeof value) {
    case "number":
      return Object.is(value, -0) ? "0" : String(value)
    case "string":
      return quote(value)
    case "bigint":
      return `${value}n`
    case "object":
      return value === null ? "null" : writeObject(value, depth + 1)
    case "function":
    case "symbol":
      throw new RangeError(`plain data has no ${typeof value}s: give \`key\` and \`copy\` for a state that has`)
    default:
      return String(value)
  }
}

const writeObject = (value: object, depth: number): string => {
  if (Array.isArray(value)) return `[${value.map((item) => write(item, depth)).join(",")}]`
  if (ArrayBuffer.isView(value)) return `[${Array.from(value as Uint8Array).join(",")}]`
  if (value instanceof Map) {
    return `Map{${Array.from(value, ([key, item]) => `${write(key, depth)}:${write(item, depth)}`)
      .sort()
      .join(",")}}`
  }
  if (value instanceof Set)
    return `Set{${Array.from(value, (item) => write(item, depth))
      .sort()
      .join(",")}}`
  let text = ""
  for (const name of Object.keys(value).sort()) {
    const field = (value as Record<string, unknown>)[name]
    if (field !== undefined) text += `${text === "" ? "" : ","}${quote(name)}:${write(field, depth)}`
  }
  return `{${text}}`
}

/** One text for equal values. The order of fields, maps and sets does not count, and undefined fields are left out. */
export const canonical = (value: unknown): string => write(value, 0)

/** The number of values inside, the value itself included: a rough measure of memory. */
export const size = (value: unknown): number => {
  const seen = new Set<object>()
  const count = (value: unknown): number => {
    if (typeof value === "string") return 1 + value.length
    if (typeof value !== "object" || value === null || seen.has(value)) return 1
    seen.add(value)
    if (ArrayBuffer.isView(value)) return 1 + value.byteLength
    const inside = value instanceof Map ? [...value].flat() : value instanceof Set ? [...value] : Object.values(value)
    return inside.reduce((sum: number, item) => sum + count(item), 1)
  }
  return count(value)
}

/** For messages: JSON without quotes around keys, cut to one or two lines. */
export const show = (value: unknown, longest = 400): string => {
  const readable = Result.try(() =>
    canonical(value)
      .replaceAll(/"([A-Za-z_$][\w$]*)":/g, "$1: ")
      .replaceAll(",", ", ")
  )
  const text = Result.getOrElse(readable, () => String(value))
  return text.length > longest ? `${text.slice(0, longest)} …` : text
}

type Difference = readonly [path: string, one: unknown, other: unknown]

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !(value instanceof Map || value instanceof Set)

/** The paths at which two values differ, such as `callers.0.doing`. */
export const differences = (one: unknown, other: unknown, path = ""): ReadonlyArray<Difference> => {
  if (!isRecord(one) || !isRecord(other)) return canonical(one) === canonical(other) ? [] : [[path, one, other]]
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...names].flatMap((name) => differences(one[name], other[name], path === "" ? name : `${path}.${name}`))
}
