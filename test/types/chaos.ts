/** Exact types of injected chaos, and the chaos that a service has no room for. Compiled, never run. */
import { Chaos } from "@effect-resilience/testing"
import { Context, Effect, type Layer } from "effect"
import { exactly } from "./exactly.ts"

class Down {
  readonly _tag = "Down"
}
class Late {
  readonly _tag = "Late"
}
class Absent {
  readonly _tag = "Absent"
}

declare const work: Effect.Effect<number, Absent, "R">

export const program = Effect.gen(function* () {
  const harmless = yield* Chaos.make({ seed: 1, faults: [Chaos.hang(), Chaos.die(() => 1), Chaos.latency("1 second")] })
  const unharmed = work.pipe(harmless.inject("work"))
  exactly<typeof unharmed, Effect.Effect<number, Absent, "R">>(true)

  const failing = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(() => new Down()), Chaos.lose(() => new Late())] })
  const failed = work.pipe(failing.inject("work"))
  exactly<typeof failed, Effect.Effect<number, Absent | Down | Late, "R">>(true)

  const wrong = yield* Chaos.make({ seed: "s", faults: [Chaos.replace((n: number) => `${n}`), Chaos.hang()] })
  const replaced = work.pipe(wrong.inject("work"))
  exactly<typeof replaced, Effect.Effect<number | string, Absent, "R">>(true)

  // @ts-expect-error It puts something in place of a number, and this is none.
  Effect.succeed("text").pipe(wrong.inject("work"))

  const decorated = Chaos.layer(Users, harmless)
  exactly<typeof decorated, Layer.Layer<Users, never, Users>>(true)
  Chaos.layerMethods(Users, { find: failing, all: harmless })

  // @ts-expect-error `all` cannot fail: who calls it would not know of `Down`.
  Chaos.layer(Users, failing)
  // @ts-expect-error The same for one method.
  Chaos.layerMethods(Users, { all: failing })
  // @ts-expect-error `find` gives numbers.
  Chaos.layerMethods(Users, { find: wrong })
  // @ts-expect-error It is no method.
  Chaos.layerMethods(Users, { size: harmless })
})

class Users extends Context.Service<
  Users,
  {
    readonly find: (id: string) => Effect.Effect<number, Down | Late | Absent>
    readonly all: Effect.Effect<ReadonlyArray<number>>
    readonly size: number
  }
>()("Users") {}
