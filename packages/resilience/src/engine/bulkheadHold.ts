/** A permit of a bulkhead for a scope or a stream. */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { AnyFiber } from "../runtime/types.ts"
import type { Hold } from "./acquire.ts"
import { BulkheadCall } from "./bulkhead.ts"

export class BulkheadHold extends BulkheadCall implements Hold {
  protected override copy(): BulkheadHold {
    return new BulkheadHold(this.engine, this.service, this.self, this.options)
  }

  override succeeded(_: unknown, fiber: AnyFiber): undefined {
    // How long it is held says nothing of the dependency; the first elements of a stream are an answer.
    if (this.cell !== undefined) this.engine?.permits.goesOn(this.cell, this, this.self !== Effect.void, fiber)
  }

  responded(): void {}

  end(_: unknown, fiber: AnyFiber): void {
    this.ended(undefined, fiber)
    this.release()
  }

  left(cause: Cause.Cause<unknown>): Cause.Cause<unknown> {
    return cause
  }
}
