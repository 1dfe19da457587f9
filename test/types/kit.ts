/** Exact types of sweeps and checks. Compiled, never run. */
import { Conservation, Sweep, type TimeLimit } from "@effect-resilience/testing"
import { Effect, type Layer } from "effect"
import { Bulkhead, CircuitBreaker } from "effect-resilience"
import { exactly } from "./exactly.ts"
import { Payments, PaymentsBudget } from "./world.ts"

class Printer extends Bulkhead.Service<Printer>()("app/Printer", { maxConcurrent: 1 }) {}
class Host extends CircuitBreaker.Service<Host>()("app/Host") {}

declare const setup: Effect.Effect<number, "no setup", "Setup">
declare const tick: Effect.Effect<void, never, "Tick">

const swept = Sweep.run({ setup, program: () => Effect.fail("ignored"), invariant: () => Effect.fail("broken"), tick })
exactly<typeof swept, Effect.Effect<Sweep.Swept, "no setup" | Sweep.Violation, "Setup" | "Tick">>(true)

// @ts-expect-error A tick that fails would be a failure of nobody.
Sweep.run({ setup, program: () => Effect.void, invariant: () => Effect.void, tick: Effect.fail("late") })

const checked = Conservation.atRest(Payments, PaymentsBudget, Printer, Host)
type Checked = Effect.Effect<void, Conservation.Violation, Payments | PaymentsBudget | Printer | Host>
exactly<typeof checked, Checked>(true)

const watched = Effect.succeed(1).pipe(Conservation.watch(Printer))
exactly<typeof watched, Effect.Effect<number, Conservation.Violation | TimeLimit.Exceeded, Printer>>(true)

const layer = Conservation.layer(Printer, Host)
exactly<typeof layer, Layer.Layer<never, never, Printer | Host>>(true)

// @ts-expect-error It reports nothing that could be checked.
Conservation.atRest({ name: "mine" })
