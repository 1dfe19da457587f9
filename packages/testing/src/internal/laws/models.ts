/** Laws that are checked by a ready model. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Model from "../../Model.ts"
import * as Models from "../../Models.ts"
import * as Circuit from "../model/circuit.ts"
import { Broken, type Law, laws, type Options } from "./law.ts"
import { endOf, LawError } from "./policy.ts"

/** A law for which the input is a sequence of commands. */
const modelled = (subject: string, name: string, model: Model.Model<unknown, unknown>, options: Options): Law => {
  const { runs, seed = 0, timeLimit } = options
  const broken = (diverged: Model.Diverged) =>
    new Broken({ subject, law: name, reason: diverged.message, input: diverged.calls, seed })
  return {
    name,
    check: Effect.asVoid(Effect.mapError(Model.check(model, { runs, seed, timeLimit }), broken)),
    replay: (input) =>
      // The input of the law is what its `Broken` has.
      Effect.asVoid(
        Effect.mapError(Model.replay(model, input as ReadonlyArray<Model.Call>, { seed, timeLimit }), broken)
      )
  }
}

export const limiter = (subject: string, options: Options & Models.LimiterOptions): ReadonlyArray<Law> => [
  modelled(subject, "admits, queues, rejects and releases as a limiter does", Models.limiter(subject, options), options)
]

export const breaker = (subject: string, options: Options & Models.BreakerOptions): ReadonlyArray<Law> => {
  const { failures, openFor } = Circuit.settings(`Laws.breaker ${subject}`, options)
  const { once } = laws(subject, options)
  const make: Effect.Effect<Models.Breaker, unknown, Scope.Scope> = options.make
  return [
    once("a listener may call the breaker that it listens to", () =>
      Effect.gen(function* () {
        const { listen, protect } = yield* make
        if (listen === undefined) return undefined
        let told = 0
        let ran = 0
        const work = Effect.sync(() => {
          ran += 1
        })
        const call = Effect.suspend(() => protect(work))
        yield* listen(() => {
          told += 1
          return told > failures + 10 ? Effect.void : Effect.asVoid(Effect.exit(call))
        })
        for (let failure = 1; failure <= failures; failure++) {
          const exit = yield* endOf(protect(Effect.fail(new LawError())), 0)
          if (exit === undefined) return `call ${failure} does not end while its listener calls the breaker`
        }
        if (told === 0) return "the listener was not called when the circuit opened"
        if (told > failures + 10) return "the listener is called without end"
        if (ran > 0) return "the circuit has opened, and the call of its listener runs"
        yield* endOf(call, 0)
        if (ran > 0) return "the circuit is not open after its listener has called"
        const exit = yield* endOf(Effect.andThen(Effect.sleep(openFor), protect(Effect.succeed("ok"))), openFor)
        return exit !== undefined && Exit.isSuccess(exit) ? undefined : "the circuit does not close again"
      })
    ),
    modelled(subject, "opens, probes and closes as a circuit breaker does", Models.breaker(subject, options), options)
  ]
}
