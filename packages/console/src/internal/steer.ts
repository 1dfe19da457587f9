/** Commands and undo, with the responses for what is refused. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { type Change, Policies } from "effect-resilience"
import { shorten } from "./requests.ts"
import { type OrRefusal, Refusal } from "./responses.ts"

const statuses = {
  UnknownPolicy: 404,
  UnknownKey: 404,
  RefusedCommand: 422
} as const

export const command = (policy: string, given: Change.Command): OrRefusal<Change.Change> =>
  Effect.mapError(
    Policies.command(policy, given),
    ({ _tag, message }) => new Refusal({ status: statuses[_tag], code: _tag, detail: shorten(message) })
  )

export const undo = (id: number, why: { readonly by: string; readonly reason: string }): OrRefusal<Change.Change> =>
  Effect.try({
    // It throws when the author or the reason is no single line.
    try: () => Policies.undo(id, why),
    catch: (error) =>
      new Refusal({ status: 422, code: "RefusedCommand", detail: error instanceof Error ? shorten(error.message) : "" })
  }).pipe(
    Effect.flatMap((undone) =>
      Effect.mapError(
        undone,
        ({ message, why: cause }) =>
          new Refusal({ status: cause === "unknown" ? 404 : 409, code: "NotUndone", detail: shorten(message) })
      )
    )
  )

export const preview = (
  policy: string,
  values: Schema.JsonObject,
  which: Policies.PreviewOptions
): OrRefusal<ReadonlyArray<Change.Difference>> =>
  Effect.mapError(
    Policies.preview(policy, values, which),
    ({ _tag, message }) => new Refusal({ status: statuses[_tag], code: _tag, detail: shorten(message) })
  )
