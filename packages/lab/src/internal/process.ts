/** A client process: a sender at work, and the slots that its attempts share. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Engine } from "../Engine.ts"
import { type Call, type Client, Failure, type Sender } from "../Sender.ts"
import { Attempt, type CallPart, type Target } from "./attempt.ts"
import { Pool } from "./pool.ts"

export class Process {
  private readonly engine: Engine
  private readonly client: Client
  private readonly target: Target
  private readonly pool: Pool | undefined
  private readonly send: (call: Call) => Effect.Effect<unknown, unknown>

  constructor(engine: Engine, sender: Sender, client: Client, target: Target) {
    const { pool } = client.scenario
    this.engine = engine
    this.client = client
    this.pool = pool && new Pool(engine, pool, target)
    this.target = this.pool ?? target
    this.send = Effect.runSyncWith(engine.context)(sender.make(client))
  }

  /** Sees to an part whose caller goes away at `due`; `cause` is the attempt that it serves so. */
  call(part: CallPart, due: number, cause?: Attempt): Fiber.Fiber<unknown, unknown> {
    const { scenario } = this.client
    return this.engine.fork(
      this.send({
        key: scenario.shards === 1 ? "default" : `shard-${part.shard}`,
        due,
        attempt: this.attempt(part, Infinity, cause),
        limited: this.attempt(part, scenario.timeout, cause)
      })
    )
  }

  private attempt(part: CallPart, limit: number, cause: Attempt | undefined): Effect.Effect<void, Failure> {
    const { engine, pool, target } = this
    return Effect.callback((resume) => {
      const answer = (failure: Failure | undefined): void => {
        timer?.cancel()
        pool?.leave(one)
        resume(failure === undefined ? Effect.void : Effect.fail(failure))
      }
      const one = new Attempt(part, engine.now, answer, cause)
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
