/** A client process: a sender at work. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Engine } from "../Engine.ts"
import { type Call, type Client, Failure, type Sender } from "../Sender.ts"
import { Attempt, type Errand, type Target } from "./attempt.ts"

export class Process {
  private readonly engine: Engine
  private readonly client: Client
  private readonly target: Target
  private readonly send: (call: Call) => Effect.Effect<unknown, unknown>

  constructor(engine: Engine, sender: Sender, client: Client, target: Target) {
    this.engine = engine
    this.client = client
    this.target = target
    this.send = Effect.runSyncWith(engine.context)(sender.make(client))
  }

  /** Sees to an errand whose caller goes away at `due`. */
  call(errand: Errand, due: number): Fiber.Fiber<unknown, unknown> {
    const { scenario } = this.client
    return this.engine.fork(
      this.send({
        key: scenario.shards === 1 ? "default" : `shard-${errand.shard}`,
        due,
        attempt: this.attempt(errand, Infinity),
        limited: this.attempt(errand, scenario.timeout)
      })
    )
  }

  private attempt(errand: Errand, limit: number): Effect.Effect<void, Failure> {
    const { engine, target } = this
    return Effect.callback((resume) => {
      const one = new Attempt(errand, engine.now, (failure) => {
        timer?.cancel()
        resume(failure === undefined ? Effect.void : Effect.fail(failure))
      })
      const timer =
        limit === Infinity
          ? undefined
          : engine.after(limit, () => {
              target.abandon(one)
              resume(Effect.fail(new Failure("timeout")))
            })
      target.send(one)
      return Effect.sync(() => {
        timer?.cancel()
        target.abandon(one)
      })
    })
  }
}
