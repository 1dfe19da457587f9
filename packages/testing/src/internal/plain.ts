/**
 * The identity of a value, its copy, and its text.
 *
 * Two values are one if a program cannot tell them apart by their data: by what Effect's `Equal` says of values that
 * define it, by the contents of built-in classes, and by the fields of everything else. A value whose state cannot be
 * read (private fields, functions, promises) is refused, because all such values would look alike.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Hash from "effect/Hash"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import * as Result from "effect/Result"

/** Deeper than any state of a small machine, so deeper data has a cycle. */
const deepest = 100

/** A value that has no identity. The tools add what to give in its place. */
export class Unidentified extends RangeError {
  override readonly name = "RangeError"
}

/** The class of dates, to tell them from other values. No time is read here. */
// biome-ignore lint/style/noRestrictedGlobals: values of users are compared
const GlobalDate = Date

const quote = (text: string): string => JSON.stringify(text)

type Known =
  | InstanceType<typeof GlobalDate>
  | RegExp
  | URL
  | URLSearchParams
  | Error
  | ArrayBuffer
  | ArrayBufferView
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>

const isKnown = (value: object): value is Known =>
  value instanceof Map ||
  value instanceof Set ||
  value instanceof GlobalDate ||
  value instanceof Error ||
  value instanceof RegExp ||
  ArrayBuffer.isView(value) ||
  value instanceof ArrayBuffer ||
  value instanceof URL ||
  value instanceof URLSearchParams

/** Why the fields of an instance with this prototype are not all of its state; `undefined` if they are. */
const hidden = new WeakMap<object, string>()
const open = "open"

const nameOf = (value: object): string => {
  const { constructor } = value as { readonly constructor?: unknown }
  return typeof constructor === "function" && constructor.name !== "" ? constructor.name : "a class without a name"
}

const judge = (prototype: object): string => {
  for (let level: object | null = prototype; level !== null && level !== Object.prototype; ) {
    const constructor: unknown = Object.getOwnPropertyDescriptor(level, "constructor")?.value
    if (typeof constructor === "function") {
      const source = Function.prototype.toString.call(constructor)
      if (/\{\s*\[native code\]\s*\}\s*$/.test(source) && constructor !== Array && constructor !== Object) {
        return `${constructor.name} is built in, and its state cannot be read`
      }
      if (/\.#[\p{ID_Start}$_]/u.test(source)) return `${constructor.name} has private fields`
    }
    level = Object.getPrototypeOf(level)
  }
  return open
}

const hasAccessor = (prototype: object): boolean => {
  for (let level: object | null = prototype; level !== null && level !== Object.prototype; ) {
    for (const name of Reflect.ownKeys(level)) {
      if (Object.getOwnPropertyDescriptor(level, name)?.get !== undefined) return true
    }
    level = Object.getPrototypeOf(level)
  }
  return false
}

/** Why a value that is no plain record cannot be told apart from others of its class. */
const opaque = (value: object, prototype: object): string | undefined => {
  let verdict = hidden.get(prototype)
  if (verdict === undefined) {
    verdict = judge(prototype)
    hidden.set(prototype, verdict)
  }
  if (verdict !== open) return verdict
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  if (tag !== "Object" && !Object.hasOwn(prototype, "constructor")) return `a value of ${tag} cannot be read`
  // What such a class knows is kept elsewhere, in a closure or in a WeakMap.
  return Reflect.ownKeys(value).length === 0 && hasAccessor(prototype)
    ? `${nameOf(value)} has getters but no fields`
    : undefined
}

const isPlain = (prototype: object | null): prototype is null => prototype === null || prototype === Object.prototype

type Field = readonly [name: string, value: unknown]

/** Names of fields in order. An error has its name and message as well, but not its stack. */
const fieldsOf = (value: object, symbol: (symbol: symbol) => string): ReadonlyArray<Field> => {
  const isError = value instanceof Error
  const fields: Array<Field> = []
  for (const name of Reflect.ownKeys(value)) {
    if (isError && (name === "stack" || name === "name" || name === "message")) continue
    const field = (value as Record<PropertyKey, unknown>)[name]
    if (field !== undefined) fields.push([typeof name === "string" ? quote(name) : symbol(name), field])
  }
  if (isError) fields.push([quote("name"), value.name], [quote("message"), value.message])
  return fields.sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0))
}

/**
 * Gives equal values one text and different values two. Values with an `Equal` of their own are compared with those
 * that the same `Identity` has seen, so texts of two of them cannot be compared.
 */
export class Identity {
  private readonly seen = new Map<number, Array<{ readonly value: Equal.Equal; readonly text: string }>>()
  private readonly symbols = new Map<symbol, string>()
  private readonly readable: boolean
  private many = 0

  constructor(readable = false) {
    this.readable = readable
  }

  of(value: unknown): string {
    return this.write(value, 0)
  }

  private write(value: unknown, depth: number): string {
    switch (typeof value) {
      case "number":
        return Object.is(value, -0) ? "0" : String(value)
      case "string":
        return quote(value)
      case "bigint":
        return `${value}n`
      case "symbol":
        return this.symbol(value)
      case "function":
        if (this.readable) return `[function ${value.name}]`
        throw new Unidentified(`two functions cannot be compared${value.name === "" ? "" : `: ${value.name}`}`)
      case "object":
        if (value === null) return "null"
        if (depth > deepest) {
          if (this.readable) return "…"
          throw new Unidentified(`it has a cycle, or is more than ${deepest} levels deep`)
        }
        return this.object(value, depth + 1)
      default:
        return String(value)
    }
  }

  private symbol(symbol: symbol): string {
    let text = this.symbols.get(symbol)
    if (text === undefined) {
      text = this.readable ? String(symbol) : `${String(symbol)}#${this.symbols.size}`
      this.symbols.set(symbol, text)
    }
    return text
  }

  private object(value: object, depth: number): string {
    if (Array.isArray(value)) return this.list(value, depth)
    const prototype: object | null = Object.getPrototypeOf(value)
    if (isPlain(prototype)) return this.record(value, depth)
    if (isKnown(value)) return this.known(value, depth)
    const inside = contentOf(value)
    if (inside !== undefined) return `${inside[0]}${this.write(inside[1], depth)}`
    if (Equal.isEqual(value)) return this.equal(value)
    const why = opaque(value, prototype)
    if (why === undefined) return this.record(value, depth)
    if (this.readable) return `[${nameOf(value)}]`
    throw new Unidentified(why)
  }

  private list(values: Iterable<unknown>, depth: number): string {
    let text = ""
    let first = true
    for (const value of values) {
      text += first ? this.write(value, depth) : `,${this.write(value, depth)}`
      first = false
    }
    return `[${text}]`
  }

  private sorted(texts: Iterable<string>): string {
    return [...texts].sort().join(",")
  }

  private record(value: object, depth: number): string {
    let text = ""
    const names = Reflect.ownKeys(value)
    // Nearly all records, without an array per field: an exploration writes a million of them.
    if (!(value instanceof Error) && names.every((name) => typeof name === "string")) {
      for (const name of names.sort()) {
        const field = (value as Record<string, unknown>)[name]
        if (field !== undefined) text += `${text === "" ? "" : ","}${quote(name)}:${this.write(field, depth)}`
      }
      return `{${text}}`
    }
    for (const [name, field] of fieldsOf(value, (symbol) => this.symbol(symbol))) {
      text += `${text === "" ? "" : ","}${name}:${this.write(field, depth)}`
    }
    return `{${text}}`
  }

  private known(value: Known, depth: number): string {
    if (value instanceof Map) {
      const entries = Array.from(value, ([key, item]) => `${this.write(key, depth)}:${this.write(item, depth)}`)
      return `Map{${this.sorted(entries)}}`
    }
    if (value instanceof Set) return `Set{${this.sorted(Array.from(value, (item) => this.write(item, depth)))}}`
    if (value instanceof GlobalDate) return `Date(${Number.isNaN(value.getTime()) ? "invalid" : value.toISOString()})`
    if (value instanceof Error) return `Error${this.record(value, depth)}`
    if (value instanceof RegExp) return `RegExp(${String(value)}${value.lastIndex === 0 ? "" : `,${value.lastIndex}`})`
    if (value instanceof URL) return `URL(${value.href})`
    if (value instanceof URLSearchParams) return `URLSearchParams(${String(value)})`
    if (value instanceof DataView) {
      return `DataView[${Array.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))}]`
    }
    if (value instanceof ArrayBuffer) return `ArrayBuffer[${Array.from(new Uint8Array(value))}]`
    return `[${Array.from(value as Uint8Array).join(",")}]`
  }

  /** Calls the methods of the value themselves: `Hash.hash` and `Equal.equals` remember their results. */
  private equal(value: Equal.Equal): string {
    if (this.readable) return Formatter.format(value)
    const hash = value[Hash.symbol]()
    let alike = this.seen.get(hash)
    if (alike === undefined) {
      alike = []
      this.seen.set(hash, alike)
    }
    const found = alike.find((one) => one.value[Equal.symbol](value))
    if (found !== undefined) return found.text
    const text = `=${this.many++}`
    alike.push({ value, text })
    return text
  }
}

/** What is inside of Effect's containers, which may hold anything. */
const contentOf = (value: object): readonly [name: string, content: unknown] | undefined => {
  if (Option.isOption(value)) return Option.isSome(value) ? ["Some", [value.value]] : ["None", []]
  if (Result.isResult(value)) {
    return Result.isSuccess(value) ? ["Success", [value.success]] : ["Failure", [value.failure]]
  }
  if (Exit.isExit(value)) return Exit.isSuccess(value) ? ["Succeed", [value.value]] : ["Fail", [value.cause]]
  if (Cause.isCause(value)) {
    return [
      "Cause",
      value.reasons.map((reason) =>
        Cause.isFailReason(reason)
          ? { error: reason.error }
          : Cause.isDieReason(reason)
            ? { defect: reason.defect }
            : {}
      )
    ]
  }
  if (Chunk.isChunk(value)) return ["Chunk", Chunk.toReadonlyArray(value)]
  if (HashMap.isHashMap(value)) return ["Hash", new Map(HashMap.entries(value))]
  if (HashSet.isHashSet(value)) return ["Hash", new Set(value)]
  return undefined
}

/**
 * Whether two values are equal that have nothing but plain records, lists and primitives inside, written alike. `false` says
 * nothing: {@link Identity} decides.
 */
const isAlike = (one: unknown, other: unknown, depth: number): boolean => {
  if (typeof one !== "object" || one === null) return typeof one !== "function" && Object.is(one, other)
  if (typeof other !== "object" || other === null || depth > deepest) return false
  if (Array.isArray(one)) {
    if (!Array.isArray(other) || one.length !== other.length) return false
    for (let i = 0; i < one.length; i++) if (!isAlike(one[i], other[i], depth + 1)) return false
    return true
  }
  if (!isPlain(Object.getPrototypeOf(one)) || !isPlain(Object.getPrototypeOf(other))) return false
  const names = Reflect.ownKeys(one)
  if (names.length !== Reflect.ownKeys(other).length) return false
  for (const name of names) {
    if (!Object.hasOwn(other, name)) return false
    if (!isAlike((one as never)[name], (other as never)[name], depth + 1)) return false
  }
  return true
}

/** Whether two values are equal. Throws `Unidentified` for values that cannot be told apart. */
export const same = (one: unknown, other: unknown): boolean => {
  if (typeof one === "function" && one === other) return true
  if (isAlike(one, other, 0)) return true
  const identity = new Identity()
  return identity.of(one) === identity.of(other)
}

/** One text for equal values; see {@link Identity}. */
export const canonical = (value: unknown): string => new Identity().of(value)

/**
 * A deep copy that keeps classes. Values with an `Equal` of their own are immutable by contract, and are not copied.
 * Throws `Unidentified` for what cannot be copied.
 */
export const copy = <A>(value: A): A => {
  const made = new Map<object, unknown>()
  const copied = (value: unknown): unknown => {
    if (typeof value === "function") {
      throw new Unidentified(`a function cannot be copied${value.name === "" ? "" : `: ${value.name}`}`)
    }
    if (typeof value !== "object" || value === null) return value
    const known = made.get(value)
    if (known !== undefined) return known
    if (Array.isArray(value)) {
      const list: Array<unknown> = new Array(value.length)
      made.set(value, list)
      for (let i = 0; i < value.length; i++) list[i] = copied(value[i])
      return list
    }
    const prototype: object | null = Object.getPrototypeOf(value)
    if (!isPlain(prototype)) {
      if (isKnown(value)) return copyKnown(value)
      if (contentOf(value) === undefined) {
        if (Equal.isEqual(value)) return value
        const why = opaque(value, prototype)
        if (why !== undefined) throw new Unidentified(why)
      }
    }
    const record = Object.create(prototype)
    made.set(value, record)
    copyFields(value, record)
    return record
  }
  const copyFields = (from: object, to: object): void => {
    for (const name of Reflect.ownKeys(from)) {
      const descriptor = Object.getOwnPropertyDescriptor(from, name)
      if (descriptor === undefined) continue
      if (descriptor.enumerable && descriptor.writable && descriptor.configurable) {
        ;(to as Record<PropertyKey, unknown>)[name] = copied(descriptor.value)
      } else {
        Object.defineProperty(
          to,
          name,
          "value" in descriptor ? { ...descriptor, value: copied(descriptor.value) } : descriptor
        )
      }
    }
  }
  const copyKnown = (value: Known): unknown => {
    if (value instanceof Map) {
      const map = new Map<unknown, unknown>()
      made.set(value, map)
      for (const [key, item] of value) map.set(copied(key), copied(item))
      return Object.setPrototypeOf(map, Object.getPrototypeOf(value))
    }
    if (value instanceof Set) {
      const set = new Set<unknown>()
      made.set(value, set)
      for (const item of value) set.add(copied(item))
      return Object.setPrototypeOf(set, Object.getPrototypeOf(value))
    }
    if (value instanceof Error) {
      const error = Object.create(Object.getPrototypeOf(value))
      made.set(value, error)
      copyFields(value, error)
      return error
    }
    const own: unknown = value instanceof URL ? new URL(value.href) : structuredClone(value)
    made.set(value, own)
    return own
  }
  return copied(value) as A
}

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
    new Identity(true)
      .of(value)
      .replaceAll(/"([A-Za-z_$][\w$]*)":/g, "$1: ")
      .replaceAll(",", ", ")
  )
  const text = Result.getOrElse(readable, () => String(value))
  return text.length > longest ? `${text.slice(0, longest)} …` : text
}

/** The source code of a value; `undefined` if it cannot be written. */
export const literal = (value: unknown): string | undefined => {
  switch (typeof value) {
    case "string":
      return quote(value)
    case "number":
      return Object.is(value, -0) ? "-0" : String(value)
    case "boolean":
    case "undefined":
      return String(value)
    case "bigint":
      return `${value}n`
    case "object":
      break
    default:
      return undefined
  }
  if (value === null) return "null"
  const all = (values: Iterable<unknown>): string | undefined => {
    const texts = Array.from(values, literal)
    return texts.includes(undefined) ? undefined : texts.join(", ")
  }
  const made = (name: string, inside: string | undefined) =>
    inside === undefined ? undefined : `new ${name}(${inside})`
  if (Array.isArray(value)) {
    const inside = all(value)
    return inside === undefined ? undefined : `[${inside}]`
  }
  if (value instanceof GlobalDate) return made("Date", String(value.getTime()))
  if (value instanceof URL) return made("URL", quote(value.href))
  if (value instanceof Map || value instanceof Set) {
    return made(value instanceof Map ? "Map" : "Set", literal([...value]))
  }
  if (!isPlain(Object.getPrototypeOf(value))) return undefined
  const names = Reflect.ownKeys(value)
  const fields = names.map((name) => {
    const text = literal((value as Record<PropertyKey, unknown>)[name])
    return typeof name !== "string" || text === undefined
      ? undefined
      : `${/^[A-Za-z_$][\w$]*$/.test(name) ? name : quote(name)}: ${text}`
  })
  if (fields.includes(undefined)) return undefined
  return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`
}

type Difference = readonly [path: string, one: unknown, other: unknown]

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => {
  if (typeof value !== "object" || value === null || isKnown(value)) return false
  const prototype = Object.getPrototypeOf(value)
  return Array.isArray(value) || isPlain(prototype) || (contentOf(value) === undefined && !Equal.isEqual(value))
}

/** The paths at which two values differ, such as `callers.0.doing`. */
export const differences = (one: unknown, other: unknown, path = ""): ReadonlyArray<Difference> => {
  // A message about values must not fail because of them.
  const equal = () =>
    Result.getOrElse(
      Result.try(() => same(one, other)),
      () => one === other
    )
  if (!isRecord(one) || !isRecord(other)) return equal() ? [] : [[path, one, other]]
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  const inside = [...names].flatMap((name) =>
    differences(one[name], other[name], path === "" ? name : `${path}.${name}`)
  )
  // They may differ in what has no path, such as a symbol.
  return inside.length > 0 || path !== "" || equal() ? inside : [[path, one, other]]
}
