/**
 * Streams as calls. The call begins with the first pull, and its work is to open the stream and to pull its first elements; so a
 * retry opens the stream again, and never after an element. What the call was admitted with is held until the stream ends.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Check from "../runtime/options.ts"
import { attempt } from "../runtime/read.ts"
import type { AnyEffect } from "../runtime/types.ts"
import { ending, type Hold } from "./acquire.ts"
import * as Protect from "./protect.ts"

type AnyStream = Stream.Stream<any, any, any>

/** What the work of an opening succeeds with when the stream has no elements. */
const noElements: unique symbol = Symbol()

type Elements = readonly [unknown, ...Array<unknown>]

type Elementwise = Pull.Pull<Elements, unknown, void, any>

/** The exit of a call whose stream was closed before its end: the consumer needs no more elements, or was interrupted. */
const closedBy = (exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> =>
  exit._tag === "Failure" && Cause.hasInterruptsOnly(exit.cause) ? exit : Exit.void

/** The stream, whose call is created by `makeCall`; each run of it is one call. */
const protectedStream = (self: AnyStream, makeCall: (work: AnyEffect) => AnyEffect & Hold): AnyStream => {
  const channel = Stream.toChannel(self)
  const run = (outer: Scope.Scope): Effect.Effect<Elementwise> =>
    Effect.suspend(() => {
      const whole = Scope.forkUnsafe(outer)
      let rest: Elementwise | undefined
      let isOpen = false
      let ended: Exit.Exit<unknown, unknown> | undefined

      // A scope for each attempt: what a failed one has opened is closed before the next.
      const open = Effect.suspend(() => {
        const scope = Scope.forkUnsafe(whole)
        const first = Effect.flatMap(Channel.toPullScoped(channel, scope), (pull: Elementwise) => {
          rest = pull
          return pull
        })
        return Effect.onExit(
          Pull.catchDone(first, () => Effect.succeed(noElements)),
          (exit) => (exit._tag === "Failure" ? Scope.close(scope, exit) : Effect.void)
        )
      })
      const call = makeCall(open)

      const begin: Elementwise = Effect.flatMap(call, (first: Elements | typeof noElements) =>
        Effect.withFiber((fiber) => {
          isOpen = true
          call.responded(fiber)
          return first === noElements ? Cause.done() : Effect.succeed(first)
        })
      )
      const next: Elementwise = Effect.suspend(() => (isOpen && rest !== undefined ? proceed(rest) : begin))
      const proceed = (rest: Elementwise): Elementwise =>
        Effect.catchCause(rest, (cause) => Effect.withFiber((fiber) => Effect.failCause(call.left(cause, fiber))))
      const pull = Effect.onError(next, (cause) => {
        ended = Pull.doneExitFromCause(cause)
        return Scope.close(whole, ended)
      })
      // Added first, so it runs last: what the call holds is released when the stream has released what it holds.
      return Effect.as(
        Scope.addFinalizerExit(whole, (exit) => ending(call, ended ?? closedBy(exit))),
        pull
      )
    })
  return Stream.fromChannel(Channel.fromTransform((_: Pull.Pull<unknown, unknown, unknown>, outer) => run(outer)))
}

const isStream = (u: unknown): u is AnyStream => attempt(() => Stream.isStream(u), false)

/** `protectStream(stream)` and `protectStream(options)(stream)` in one. */
export type ProtectStream = (arg: unknown) => AnyStream | ((self: AnyStream) => AnyStream)

/** The `protectStream` of a policy; `protect` protects a stream with options as they were given, and with these checked. */
const protectStreamWith = (
  where: string,
  names: ReadonlyArray<string>,
  protect: (self: AnyStream, given: object, options: Protect.CallOptions) => AnyStream
): ProtectStream => {
  const name = Check.inside(where, "protectStream")
  return (arg) => {
    if (isStream(arg)) return protect(arg, {}, Protect.defaultOptions)
    if (!Protect.isOptions(arg)) return Check.invalid(name, "the argument", "a Stream or options", arg)
    const options = Protect.resolve(name, arg, names)
    return (self) => {
      if (!isStream(self)) Check.invalid(name, "the argument", "a Stream", self)
      return protect(self, arg, options)
    }
  }
}

/** The `protectStream` of a policy from `make`. */
export const protecting = (
  where: string,
  makeCall: (work: AnyEffect, options: Protect.CallOptions) => AnyEffect & Hold,
  names: ReadonlyArray<string> = Protect.callOptionNames
): ProtectStream =>
  protectStreamWith(where, names, (self, _, options) => protectedStream(self, (work) => makeCall(work, options)))

/** The `protectStream` of a service class: that of the policy that is found when the stream is run. */
export const protectingIn = <Self, Shape extends { readonly protectStream: (arg: any) => any }>(
  where: string,
  service: Context.Service<Self, Shape>,
  names: ReadonlyArray<string> = Protect.callOptionNames
): ProtectStream =>
  protectStreamWith(where, names, (self, given) =>
    Stream.unwrap(service.useSync((policy) => policy.protectStream(given)(self)))
  )
