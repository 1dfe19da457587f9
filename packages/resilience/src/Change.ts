/**
 * Defines the commands of an operator and the record of them: what was changed, by whom, why, until when, and what ended it.
 *
 * Every policy has commands as functions (`Payments.control.isolate({ key: "eu", for: "30 minutes" })`), and `Policies.command` takes
 * them as data. Each command returns a {@link Change}, `Policies.changes` lists them, and `Policies.undo` ends one.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * Who gives a command, why, and for how long.
 *
 * @category models
 * @since 0.1.0
 */
export interface Why {
  /**
   * Who gives the command: one line of 1 to 100 characters, not `"config"`, which is the name of a watched configuration. Default:
   * `"code"`.
   */
  readonly by?: string | undefined
  /** Why: one line of up to 500 characters. Default: `""`. */
  readonly reason?: string | undefined
  /**
   * After this time everything is again as without the command; a finite duration above zero. Default: the command holds until it is
   * undone or another command ends it.
   */
  readonly for?: Duration.Input | undefined
}

/**
 * What a command applies to, with who gives it, why, and for how long.
 *
 * @category models
 * @since 0.1.0
 */
export interface Target extends Why {
  /** The key. Default: every key, those to come included. */
  readonly key?: string | undefined
}

/**
 * The kind of a policy: the module that created it.
 *
 * @category models
 * @since 0.1.0
 */
export const Kind = Schema.Literals([
  "Policy",
  "CircuitBreaker",
  "Bulkhead",
  "RateLimit",
  "RetryBudget",
  "StaleFallback",
  "TokenBudget",
  "Fuse"
])

/**
 * The type of a kind.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = typeof Kind.Type

const commands = ["isolate", "disable", "enable", "open", "close", "reset", "resize", "mode", "set"] as const

/**
 * What a change did. `"undo"` and `"expire"` end an earlier change.
 *
 * @category models
 * @since 0.1.0
 */
export const Action = Schema.Literals([...commands, "undo", "expire"])

/**
 * The type of an action.
 *
 * @category models
 * @since 0.1.0
 */
export type Action = typeof Action.Type

/**
 * One field that a change altered.
 *
 * @category models
 * @since 0.1.0
 */
export const Difference = Schema.Struct({
  /** A setting by its path (`"bulkhead.maxConcurrent"`), `"mode"`, `"circuit"`, or `"circuits"`: how many are in which state. */
  field: Schema.String,
  before: Schema.optionalKey(Schema.Json),
  after: Schema.optionalKey(Schema.Json)
})

/**
 * The type of a difference.
 *
 * @category models
 * @since 0.1.0
 */
export interface Difference extends Schema.Schema.Type<typeof Difference> {}

/**
 * One line of the record. It never changes.
 *
 * @category models
 * @since 0.1.0
 */
export const Change = Schema.Struct({
  /** Its number in the record, from 1. */
  id: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  /** Wall time, in milliseconds since the epoch. */
  at: Schema.Finite,
  /** The name of the policy. */
  policy: Schema.String,
  kind: Kind,
  /** The number of the policy among those of its name. */
  instance: Schema.Int,
  /** Absent: every key, those to come included. */
  key: Schema.optionalKey(Schema.String),
  action: Action,
  /** What was asked for, durations in milliseconds: `{ maxConcurrent: 40 }`. */
  values: Schema.JsonObject,
  /** What it altered. Empty when nothing did: the circuit was isolated already. */
  difference: Schema.Array(Difference),
  by: Schema.String,
  reason: Schema.String,
  /** When it expires, in milliseconds since the epoch; absent when it has no end. */
  until: Schema.optionalKey(Schema.Finite),
  /** Of `"undo"` and `"expire"`: the id of the change that they end. */
  ends: Schema.optionalKey(Schema.Int)
})

/**
 * The type of a line.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change extends Schema.Schema.Type<typeof Change> {}

/**
 * A command as data, for consoles and command lines; see `Policies.command`.
 *
 * **Details** `values` are those of `resize` (`{ "maxConcurrent": 40 }`), `mode` (`{ "mode": "observe" }`) and `set`. `for` is a number
 * of milliseconds, or a text such as `"30 minutes"`. `instance` chooses one of several live policies of a name; without it
 * the command applies to all of them.
 *
 * @category models
 * @since 0.1.0
 */
export const Command = Schema.Struct({
  action: Schema.Literals(commands),
  key: Schema.optionalKey(Schema.String),
  values: Schema.optionalKey(Schema.JsonObject),
  by: Schema.String,
  reason: Schema.String,
  for: Schema.optionalKey(Schema.Union([Schema.Finite, Schema.String])),
  instance: Schema.optionalKey(Schema.Int)
})

/**
 * The type of a command.
 *
 * @category models
 * @since 0.1.0
 */
export interface Command extends Schema.Schema.Type<typeof Command> {}

/** A name that came from outside, for a message: in quotes, without line breaks, and not longer than a line. */
const quoted = (text: string): string => JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)

/**
 * No live policy has the name.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownPolicy extends Schema.TaggedError<UnknownPolicy>("effect-resilience/UnknownPolicy")(
  "UnknownPolicy",
  {
    policy: Schema.String,
    instance: Schema.optionalKey(Schema.Int)
  }
) {
  override get message(): string {
    return this.instance === undefined
      ? `No live policy is named ${quoted(this.policy)}`
      : `No live policy named ${quoted(this.policy)} has the number ${this.instance}`
  }
}

/**
 * The policy has no such key in memory: no call was made with it yet, or it was idle. A command as data never creates a key.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownKey extends Schema.TaggedError<UnknownKey>("effect-resilience/UnknownKey")("UnknownKey", {
  policy: Schema.String,
  key: Schema.String
}) {
  override get message(): string {
    return `${this.policy} has no key ${quoted(this.key)} in memory: no call was made with it, or not for a long time`
  }
}

/**
 * The command cannot be carried out, and nothing was changed. The message says what is wrong with it.
 *
 * @category errors
 * @since 0.1.0
 */
export class RefusedCommand extends Schema.TaggedError<RefusedCommand>("effect-resilience/RefusedCommand")(
  "RefusedCommand",
  {
    policy: Schema.String,
    problem: Schema.String
  }
) {
  override get message(): string {
    return this.problem
  }
}

/**
 * The change cannot be undone, and nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotUndone extends Schema.TaggedError<NotUndone>("effect-resilience/NotUndone")("NotUndone", {
  id: Schema.Finite,
  /**
   * `"unknown"`: the record has no such change, or no longer. `"ended"`: it was undone, it has expired, or its policy has left.
   * `"final"`: it is itself an undo or an expiry.
   */
  why: Schema.Literals(["unknown", "ended", "final"])
}) {
  override get message(): string {
    return whyNot[this.why](this.id)
  }
}

const whyNot: Readonly<Record<NotUndone["why"], (id: number) => string>> = {
  unknown: (id) => `The record has no change ${id}`,
  ended: (id) => `Change ${id} has already ended: it was undone, it has expired, its policy has left, or it is too old`,
  final: (id) => `Change ${id} ended another one, and cannot be undone: give the command again`
}

/**
 * Who makes the changes of a configuration that is watched.
 *
 * @internal
 */
export const byConfig = "config"
/** @internal */
export const longestBy = 100
/** @internal */
export const longestReason = 500
