/**
 * The settings of one policy while it runs: the options that it was declared with, configured values over them, and over those every
 * `set` that is in force, in the order in which they were made. Each change resolves all of it anew, so that every check is that of
 * construction, and the end of one leaves exactly what would be without it.
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type * as Change from "../Change.ts"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import { attempt, isObject, read } from "../runtime/read.ts"
import type { Desk, Override, Plug } from "./changes.ts"
import * as Changes from "./changes.ts"
import { isPlain, withName } from "./config.ts"
import * as Trip from "./tripValues.ts"
import { type Ast, astOf } from "./variables.ts"

/** What one kind of policy says about its settings. */
export interface Tunable<O extends object, S extends object> {
  readonly id: string
  /** Module and name, for messages. */
  readonly where: string
  /** The values that can change. */
  readonly schema: Schema.Constraint
  /** The options that it was declared with. */
  readonly options: O
  /** The values of `Config` that it was created with. */
  readonly configured: object
  /** The settings that it was created with: those of the two. */
  readonly settings: S
  /** All options, for the message of one that cannot change. */
  readonly optionNames: ReadonlyArray<string>
  /** Refuses values of parts that the policy does not have, or not for itself. Configured ones are left out. */
  readonly refuseParts?: ((values: object, options: O) => void) | undefined
  /** Refuses values that cannot change while the policy runs; `options` are those that it was created with. */
  readonly refuse?: ((values: object, options: O) => void) | undefined
  readonly toOptions: (values: object, options: O) => O
  readonly resolve: (options: O) => S
  readonly describe: (settings: S) => Schema.JsonObject
  readonly apply: (settings: S, now: number) => void
}

/** Values in force; of configured ones the last hold, under those that were set. */
interface Layer {
  readonly values: object
  readonly isConfigured: boolean
}

/** What holds with a layer over those before it. */
interface Step<O, S> {
  readonly layer: Layer | undefined
  readonly options: O
  readonly settings: S
  /** It does not go with what is below it: it has no effect while that is so. */
  readonly rests: boolean
}

interface Folded<O, S> {
  readonly settings: S
  readonly described: Schema.JsonObject
  /** The configured values at the bottom. */
  readonly base: object
  /** The bottom, and a step for each layer: what is the same in the next fold is not resolved again. */
  readonly steps: ReadonlyArray<Step<O, S>>
}

/** A tuner of any kind of policy. */
interface AnyTuner extends Pick<Tuner<object, object>, "decode" | "check" | "checkConfigured" | "preview"> {
  readonly plug: Plug
  readonly configured: Schema.JsonObject
  readonly described: Schema.JsonObject
}

export class Tuner<O extends object, S extends object> {
  private readonly tunable: Tunable<O, S>
  /** The options that it was created with. */
  private readonly created: O
  private inForce: ReadonlyArray<Layer> = []
  private folded: Folded<O, S>
  /** The layers of values as the record has them: a trip policy of the user's is not in those. */
  private readonly layers = new WeakMap<Schema.JsonObject, Layer>()

  constructor(tunable: Tunable<O, S>) {
    const { configured, describe, options, settings, toOptions } = tunable
    this.tunable = tunable
    this.created = toOptions(configured, options)
    const bottom = { layer: undefined, options: this.created, settings, rests: false }
    this.folded = { settings, described: describe(settings), base: configured, steps: [bottom] }
  }

  get settings(): S {
    return this.folded.settings
  }

  /** The settings as JSON, durations in milliseconds. */
  get described(): Schema.JsonObject {
    return this.folded.described
  }

  /** The configured values that hold, as JSON. */
  get configured(): Schema.JsonObject {
    return this.toJson(this.inForce.findLast(({ isConfigured }) => isConfigured)?.values ?? this.tunable.configured)
  }

  /** The command `set`. */
  get plug(): Plug {
    return {
      check: (_, values, key) => {
        if (key !== undefined) throw new RangeError(`${this.tunable.where}: settings are those of every key, got a key`)
        return this.check(this.decode(values))
      },
      apply: (inForce, now) => this.apply(inForce, now),
      covers: (later, earlier) => this.covers(later, earlier),
      read: () => Object.fromEntries(flatten(this.described))
    }
  }

  /** Values of the user's as plain data. Throws a `RangeError` if one can be no setting, or cannot change. */
  decode(values: unknown): object {
    const { optionNames, refuse, refuseParts, schema, where } = this.tunable
    const decoded = decodeStruct(where, "", astOf(schema), optionNames, values)
    if (Object.keys(decoded).length === 0) throw new RangeError(`${where}: give at least one value to set, got none`)
    refuseParts?.(decoded, this.created)
    refuse?.(decoded, this.created)
    return decoded
  }

  /** Checks decoded values over all that is in force, and returns them as the record keeps them. Throws a `RangeError`. */
  check(values: object): Schema.JsonObject {
    return this.checkLayer({ values, isConfigured: false })
  }

  /** The same for configured values in place of those that hold. */
  checkConfigured(values: object): Schema.JsonObject {
    this.tunable.refuse?.(values, this.created)
    return this.checkLayer({ values, isConfigured: true })
  }

  /** What values would change. Throws a `RangeError`. */
  preview(values: unknown): ReadonlyArray<Change.Difference> {
    const layer = { values: this.decode(values), isConfigured: false }
    return differences(this.described, this.fold([...this.inForce, layer], [layer]).described)
  }

  private checkLayer(layer: Layer): Schema.JsonObject {
    this.fold([...this.inForce, layer], [layer])
    const json = this.toJson(layer.values)
    this.layers.set(json, layer)
    return json
  }

  /** Makes hold what is in force. Those that were not before must go with the others; nothing is changed when one does not. */
  private apply(inForce: ReadonlyArray<Override>, now: number): void {
    const layers = inForce.map(({ values }) => this.layerOf(values))
    const before = new Set(this.inForce)
    const folded = this.fold(
      layers,
      layers.filter((layer) => !before.has(layer))
    )
    this.tunable.apply(folded.settings, now)
    this.inForce = layers
    this.folded = folded
  }

  /**
   * The later one must set all that the earlier one sets, and without the earlier one all must be as it is: another may hold only
   * because of it.
   */
  private covers(later: Override, earlier: Override): boolean {
    const [over, under] = [this.layerOf(later.values), this.layerOf(earlier.values)]
    // What is configured stands below what is set, whichever came first.
    if (over.isConfigured || under.isConfigured || !setsAllOf(later.values, earlier.values)) return false
    const { steps } = this.folded
    const at = steps.findIndex(({ layer }) => layer === under)
    if (at === -1) return false
    let without = steps[at - 1]!
    for (const step of steps.slice(at + 1)) {
      without = this.step(without, step.layer!)
      if (without.rests !== step.rests) return false
      // From here on all is as it was.
      if (isSameStep(without, step)) return true
    }
    return JSON.stringify(this.tunable.describe(without.settings)) === JSON.stringify(this.described)
  }

  private layerOf(json: Schema.JsonObject): Layer {
    const known = this.layers.get(json)
    if (known !== undefined) return known
    const layer = { values: this.decode(json), isConfigured: false }
    this.layers.set(json, layer)
    return layer
  }

  /** The settings of all that is in force. */
  private fold(inForce: ReadonlyArray<Layer>, required: ReadonlyArray<Layer>): Folded<O, S> {
    const { configured, describe } = this.tunable
    const base = inForce.findLast(({ isConfigured }) => isConfigured)?.values ?? configured
    const layers = inForce.filter(({ isConfigured }) => !isConfigured)
    const known = this.folded.base === base ? this.folded.steps : [this.bottom(base)]
    const steps = known.slice(0, 1)
    // Where among the known steps the last one is, or would be.
    let at = 0
    let isKnown = true
    for (const layer of layers) {
      if (isKnown && known[at + 1]?.layer === layer) {
        at += 1
        steps.push(known[at]!)
        continue
      }
      const step = this.step(steps.at(-1)!, layer, required.includes(layer))
      steps.push(step)
      const found = known.findIndex((one, i) => i > at && one.layer === layer)
      isKnown = found !== -1 && isSameStep(known[found]!, step)
      if (found !== -1) at = found
    }
    const { settings } = steps.at(-1)!
    return { settings, described: describe(settings), base, steps }
  }

  private bottom(base: object): Step<O, S> {
    const { options, resolve, toOptions } = this.tunable
    return this.named(() => {
      const over = toOptions(base, options)
      return { layer: undefined, options: over, settings: resolve(over), rests: false }
    })
  }

  /** Throws what is wrong with a layer that is required; any other one rests then. */
  private step(below: Step<O, S>, layer: Layer, isRequired = false): Step<O, S> {
    const { resolve, toOptions } = this.tunable
    const step = Result.try(() =>
      this.named(() => {
        const options = toOptions(layer.values, below.options)
        return { layer, options, settings: resolve(options), rests: false }
      })
    )
    if (Result.isSuccess(step)) return step.success
    if (isRequired) throw step.failure
    return { ...below, layer, rests: true }
  }

  /** What belongs to no policy, such as a trip policy, has no name in its message. */
  private named<A>(f: () => A): A {
    const result = Result.try(f)
    if (Result.isSuccess(result)) return result.success
    const error = result.failure
    throw error instanceof RangeError ? new RangeError(withName(this.tunable.id, error.message)) : error
  }

  private toJson(values: object): Schema.JsonObject {
    return jsonOf(astOf(this.tunable.schema), values)
  }
}

/** Where a policy keeps its tuner and its desk, for what watches its configuration. */
export const TunedKey = "~effect-resilience/tuned" as const

export interface Tuned {
  readonly tuner: AnyTuner
  readonly desk: Desk
}

export const tunedOf = (policy: unknown): Tuned | undefined =>
  // Only this package puts something under this name.
  read(policy, TunedKey) as Tuned | undefined

/** The command `set`; `where` names the member. Values that can be no settings throw a `RangeError` at once. */
export const setCommand =
  (where: string, { desk, tuner }: Tuned) =>
  (values: unknown, why: Change.Why = {}): Effect.Effect<Change.Change> => {
    const given = Changes.resolve(where, why)
    if (given.key !== undefined) throw new RangeError(`${where}: settings are those of every key, got a key`)
    const decoded = tuner.decode(values)
    return Time.withNow((now, fiber) => desk.give("set", tuner.check(decoded), given, now, fiber))
  }

const fieldsOf = (ast: Ast): ReadonlyArray<readonly [name: string, type: Ast]> =>
  (ast.propertySignatures ?? []).map(({ name, type }) => [String(name), type] as const)

const decodeStruct = (
  where: string,
  path: string,
  ast: Ast,
  optionNames: ReadonlyArray<string>,
  values: unknown
): Readonly<Record<string, unknown>> => {
  const fields = new Map(fieldsOf(ast))
  const at = path === "" ? where : Check.inside(where, path)
  const names = attempt(() => (isObject(values) ? Object.keys(values) : []), [])
  for (const name of names) {
    if (fields.has(name) || read(values, name) === undefined) continue
    const known = Array.from(fields.keys()).join(", ")
    if (path === "" ? optionNames.includes(name) : notLive.includes(name)) {
      throw new RangeError(`${at}: ${name} cannot change while the policy runs; what can are ${known}`)
    }
  }
  Check.noUnknown(at, values, Array.from(fields.keys()))
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = read(values, name)
      const type = fields.get(name)
      if (value === undefined || type === undefined) return []
      if (type.propertySignatures === undefined) return [[name, fromJson(type, value)]]
      return [[name, decodeStruct(where, path === "" ? name : `${path}.${name}`, type, optionNames, value)]]
    })
  )
}

/** Options of the parts of a policy that are functions, or that its state depends on. */
const notLive = ["schedule", "retryWhen", "onRetry", "per", "keys", ...Check.classificationNames]

/** JSON has no infinity. */
const fromJson = (ast: Ast, value: unknown): unknown =>
  ast._tag === "Number" && value === "Infinity" ? Number.POSITIVE_INFINITY : value

const jsonOf = (ast: Ast, values: object): Schema.JsonObject => {
  const types = new Map(fieldsOf(ast))
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]): ReadonlyArray<[string, Schema.Json]> => {
      const type = types.get(name)
      return type === undefined || value === undefined ? [] : [[name, leafJson(type, value)]]
    })
  )
}

const leafJson = (type: Ast, value: unknown): Schema.Json => {
  // A trip policy is the one value that may be several things.
  if (type._tag === "Union" && type.types?.some(({ propertySignatures }) => propertySignatures !== undefined)) {
    return Trip.toJson(value)
  }
  if (type.propertySignatures !== undefined && isObject(value)) return jsonOf(type, value)
  // What is no number, boolean or name is a duration, which has been checked.
  const millis =
    type._tag === "Declaration" || isDurationOrName(type)
      ? Option.match(Duration.fromInput(value as Duration.Input), { onNone: () => value, onSome: Duration.toMillis })
      : value
  return typeof millis === "number" ? (Number.isFinite(millis) ? millis : "Infinity") : (millis as Schema.Json)
}

/** The one value that may be a duration or something else is a delay, which has a name such as `"p95"` then. */
const isDurationOrName = ({ _tag, types }: Ast): boolean =>
  _tag === "Union" && types?.some(({ _tag }) => _tag === "Declaration") === true

/** Does `later` set every value that `earlier` sets? */
const setsAllOf = (later: Schema.JsonObject, earlier: Schema.JsonObject): boolean => {
  const names = flatten(later)
  return Array.from(flatten(earlier).keys()).every((name) => names.has(name))
}

/** Do two steps of one layer lead to the same? */
const isSameStep = (a: Step<unknown, unknown>, b: Step<unknown, unknown>): boolean =>
  a.rests === b.rests && hasSameLeaves(a.options, b.options)

/** Have two options the same values, where an object of options is compared by its fields? */
const hasSameLeaves = (a: unknown, b: unknown): boolean => {
  if (Object.is(a, b)) return true
  if (!isPlain(a) || !isPlain(b)) return false
  const [ours, theirs] = [Object.entries(a), new Map(Object.entries(b))]
  return ours.length === theirs.size && ours.every(([name, value]) => hasSameLeaves(value, theirs.get(name)))
}

/** The fields in which two settings differ. */
const differences = (before: Schema.JsonObject, after: Schema.JsonObject): ReadonlyArray<Change.Difference> => {
  const [was, is] = [flatten(before), flatten(after)]
  return Array.from(new Set([...was.keys(), ...is.keys()])).flatMap((field) => {
    const [a, b] = [was.get(field), is.get(field)]
    if (a === b) return []
    return [{ field, ...(a === undefined ? {} : { before: a }), ...(b === undefined ? {} : { after: b }) }]
  })
}

type Flat = Map<string, string | number | boolean | null>

/** Each setting by its path. */
const flatten = (json: Schema.Json, path = "", flat: Flat = new Map()): Flat => {
  if (isObject(json)) {
    for (const [name, value] of Object.entries(json)) flatten(value, path === "" ? name : `${path}.${name}`, flat)
  } else flat.set(path, json)
  return flat
}
