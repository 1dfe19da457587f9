/** A permit of a bulkhead for a scope or a stream. */
import type * as Cause from "effect/Cause"
import type { AnyFiber } from "../runtime/types.ts"
import type { Hold } from "./acquire.ts"
import { BulkheadCall } from "./bulkhead.ts"

export class BulkheadHold extends BulkheadCall implements Hold {
  protected override copy(): BulkheadHold {
    return new BulkheadHold(this.engine, this.service, this.self, this.options)
  }

  override succeeded(): undefined {
    // How long it is held says nothing of the dependency.
    this.cell?.limiter?.responded(this)
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
