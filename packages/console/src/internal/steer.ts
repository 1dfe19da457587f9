/** Changes: what was made, what holds, and making them. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as State from "../State.ts"
import { type OrRefusal, Refusal } from "./responses.ts"

export interface Command {
  readonly action: string
  readonly key?: string | undefined
  readonly values?: Schema.JsonObject | undefined
  readonly by: string
  readonly reason: string
  readonly for?: string | number | undefined
}

const notYet = Effect.fail(new Refusal({ status: 422, code: "RefusedCommand", detail: "not yet" }))

export const changes: Effect.Effect<ReadonlyArray<State.Change>> = Effect.succeed([])

export const inForce: Effect.Effect<ReadonlyArray<State.Change>> = Effect.succeed([])

export const command = (_policy: string, _command: Command): OrRefusal<State.Change> => notYet

export const undo = (_id: number, _why: { readonly by: string; readonly reason: string }): OrRefusal<State.Change> =>
  notYet

export const preview = (_policy: string, _values: Schema.JsonObject): OrRefusal<ReadonlyArray<State.Difference>> =>
  notYet
