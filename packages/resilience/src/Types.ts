/**
 * Defines the types that signatures of several modules share, so that declarations of a library built on this package
 * can name them.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import type * as ConfigProvider from "effect/ConfigProvider"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import type * as Stream from "effect/Stream"

/**
 * Any effect.
 *
 * @category utility types
 * @since 0.1.0
 */
// biome-ignore lint/suspicious/noExplicitAny: an effect of any type is meant
export type AnyEffect = Effect.Effect<any, any, any>

/**
 * Any stream.
 *
 * @category utility types
 * @since 0.1.0
 */
// biome-ignore lint/suspicious/noExplicitAny: a stream of any type is meant
export type AnyStream = Stream.Stream<any, any, any>

/**
 * Any schedule.
 *
 * @category utility types
 * @since 0.1.0
 */
// biome-ignore lint/suspicious/noExplicitAny: a schedule of any type is meant
export type AnySchedule = Schedule.Schedule<any, any, any, any>

/**
 * A schedule that cannot fail, with any input and any requirements.
 *
 * @category utility types
 * @since 0.1.0
 */
// biome-ignore lint/suspicious/noExplicitAny: the input and the requirements are checked where the schedule is used
export type InfallibleSchedule = Schedule.Schedule<unknown, any, never, any>

/**
 * The key of a call without a key.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultKey = "default"

/**
 * Limits on the state that a policy keeps per key.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyOptions {
  /**
   * Keys in memory at the same time, an integer >= 1. A further key takes the place of a key that was not used
   * recently; when none may be dropped, further keys share one state. Default: 10,000.
   */
  readonly maxKeys?: number | undefined
  /**
   * A key that was not used for this time may be dropped, unless a call of it is running or waiting, an operator
   * changed its circuit, its circuit is open and not yet due for a probe, or a probe is running. A duration above zero.
   * Default: 1 hour.
   */
  readonly idleTimeToLive?: Duration.Input | undefined
}

/**
 * The source of configured options: everything below a path of the `ConfigProvider`, or a `Config` per option.
 *
 * @category models
 * @since 0.1.0
 */
export type ConfigSource<Values> = string | ConfigProvider.Path | Config.Wrap<Values>

/**
 * How a configuration is watched.
 *
 * @category models
 * @since 0.1.0
 */
export interface WatchOptions<E = never, R = never> {
  /** How often it is read. A finite duration above zero. Default: 10 seconds. */
  readonly every?: Duration.Input | undefined
  /**
   * Where it is read from, run at each reading: a file is read in it, and `ConfigProvider.fromEnv` is called in it. Default: the
   * `ConfigProvider` of the program, which may hold what it read at the start.
   */
  readonly provider?: Effect.Effect<ConfigProvider.ConfigProvider, E, R> | undefined
}

/**
 * The first of several refusals; `unknown` when there is none. A refusal is a literal type whose text is a sentence,
 * which the compiler shows in its error.
 *
 * @category utility types
 * @since 0.1.0
 */
export type First<Refusals extends ReadonlyArray<unknown>> = Refusals extends readonly [infer Head, ...infer Tail]
  ? unknown extends Head
    ? First<Tail>
    : Head
  : unknown

type NamesOf<Options> = Options extends unknown ? keyof Options : never

/** What is no object of options where options may stand: a service, a schedule. */
type Skipped = (abstract new (...args: never) => unknown) | AnySchedule

type UnknownName<Given, Options, Nested extends string, Path extends string> = {
  [K in keyof Given & string]: K extends NamesOf<Options>
    ? 0 extends 1 & Given[K] // `any`
      ? never
      : K extends Nested
        ? NonNullable<Given[K]> extends Skipped
          ? never
          : UnknownName<NonNullable<Given[K]>, NonNullable<Options[K & keyof Options]>, Nested, `${Path}${K}.`>
        : never
    : `${Path}${K}`
}[keyof Given & string]

/**
 * `unknown` when `Options` has every name in `Given`; otherwise a refusal, as in {@link First}. The compiler itself
 * does not report misspelt options where it infers their type. `Nested` are the options that are objects of options
 * themselves.
 *
 * @category utility types
 * @since 0.1.0
 */
export type NoUnknownOptions<Given, Options, Nested extends string = never> = [
  UnknownName<Given, Options, Nested, "">
] extends [infer Name extends string]
  ? [Name] extends [never]
    ? unknown
    : `Unknown option \`${Name}\``
  : never

/**
 * What is often passed where an effect is required: a stream, a promise, a function.
 *
 * @category utility types
 * @since 0.1.0
 */
export type NotAnEffect = AnyStream | PromiseLike<unknown> | ((...args: never) => unknown)

/**
 * `unknown` for options of a call; otherwise a refusal, as in {@link First}, that says what to write in place of
 * {@link NotAnEffect}, or which option there is none of.
 *
 * @category utility types
 * @since 0.1.0
 */
export type OptionsOfCall<Given, Options> =
  Given extends PromiseLike<unknown>
    ? "A Promise is not an Effect: its work is running already. Create it inside Effect.tryPromise, and protect that"
    : Given extends AnyStream
      ? "A Stream is not an Effect: use `protectStream`, or protect the effect of each element in Stream.mapEffect"
      : Given extends (...args: never) => unknown
        ? "A function is not an Effect: `fn` protects each call of a function that returns an Effect"
        : NoUnknownOptions<Given, Options>

/**
 * `unknown` for options of a stream's call; otherwise a refusal, as in {@link First}.
 *
 * @category utility types
 * @since 0.1.0
 */
export type OptionsOfStream<Given, Options> = Given extends AnyEffect
  ? "An Effect is not a Stream: use `protect`"
  : NoUnknownOptions<Given, Options>

/**
 * `unknown` for an effect that fails with `E` and requires `R`; a refusal, as in {@link First}, where the compiler
 * inferred neither, because the value is no effect.
 *
 * @category utility types
 * @since 0.1.0
 */
export type RequireEffect<E, R, Hint extends string = ""> =
  IsUnknown<E> extends true
    ? IsUnknown<R> extends true
      ? `${Hint}This is not an Effect: create a Promise inside Effect.tryPromise, protect the effect of each element of a Stream in Stream.mapEffect`
      : unknown
    : unknown

/** By its place as a parameter: from `unknown extends T` the compiler would infer a `T` where it infers it from a call. */
type IsUnknown<T> = ((value: T) => void) extends (value: unknown) => void
  ? [keyof T] extends [never] // not `any`
    ? true
    : false
  : false

/**
 * The class of a service; a refusal, as in {@link First}, when the class was declared without its own type.
 *
 * @category utility types
 * @since 0.1.0
 */
export type RequireSelf<Self, Module extends string, Class> = [Self] extends [never]
  ? `Name the class itself: class MyService extends ${Module}.Service<MyService>()(...)`
  : Class

/**
 * Options of `restore`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RestoreOptions {
  /**
   * What was not used for longer is left out, because it is no evidence any more: a circuit that was not called, or an open one that
   * is due for a probe for longer, and the balance of a key. What an operator has set is kept. A duration of zero or more.
   * Default: 4 days.
   */
  readonly timeToLive?: Duration.Input | undefined
}
