/** A client process: a sender, and the slots that its attempts share. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { Deadline, Policies, Propagation } from "effect-resilience"
import type { Engine } from "../Engine.ts"
import { type Call, type Client, Failure, type Sender } from "../Sender.ts"
import { Attempt, type CallPart, type Target } from "./attempt.ts"
import { Pool } from "./pool.ts"

/** A call on its way through a sender. */
export class Errand {
  /** Whether an attempt of it succeeded, by work of the dependency. */
  isServed = false
}

export class Process {
  private readonly engine: Engine
  private readonly client: Client
  private readonly target: Target
  private readonly pool: Pool | undefined
  private readonly send: (call: Call) => Effect.Effect<unknown, unknown>
  /** When it does what would happen at a moment; `undefined` if it never stands still. */
  private readonly awake: ((moment: number) => number) | undefined

  constructor(
    engine: Engine,
    sender: Sender,
    client: Client,
    target: Target,
    awake: ((moment: number) => number) | undefined
  ) {
    const { pool } = client.scenario
    this.engine = engine
    this.awake = awake
    this.client = client
    this.pool = pool && new Pool(engine, pool, target)
    this.target = this.pool ?? target
    // Each client is a process, so it has a registry of its own.
    this.send = Effect.runSyncWith(Context.add(engine.context, Policies.CurrentRegistry, Policies.makeRegistry()))(
      sender.make(client)
    )
  }

  /**
   * Runs a part of a call whose caller waits until `due`. `cause` is the attempt of the previous tier that it serves.
   */
  call(
    part: CallPart,
    errand: Errand,
    due: number,
    criticality?: Propagation.Criticality,
    cause?: Attempt
  ): Fiber.Fiber<unknown, unknown> {
    const { scenario } = this.client
    const send = () =>
      this.send({
        key: scenario.shards === 1 ? "default" : `shard-${part.shard}`,
        due,
        attempt: this.attempt(part, errand, Infinity, cause),
        limited: this.attempt(part, errand, scenario.timeout, cause),
        carrying: (headers, answered) => this.attempt(part, errand, Infinity, cause, { headers, answered })
      })
    // Its sleep ends with the stall.
    const call = this.standsStill ? Effect.andThen(Effect.sleep(0), Effect.suspend(send)) : send()
    const classified = criticality === undefined ? call : Propagation.provide({ criticality })(call)
    return this.engine.fork(cause?.headers === undefined ? classified : inheriting(classified, cause, cause.headers))
  }

  private get standsStill(): boolean {
    const { awake, engine } = this
    return awake !== undefined && awake(engine.now) > engine.now
  }

  private attempt(
    part: CallPart,
    errand: Errand,
    limit: number,
    cause: Attempt | undefined,
    carried?: Carried
  ): Effect.Effect<void, Failure> {
    const { engine, pool, target } = this
    return Effect.callback((resume) => {
      let hasArrived = false
      const answer = (failure: Failure | undefined): void => {
        hasArrived = this.standsStill
        if (hasArrived) engine.after(0, () => read(failure))
        else read(failure)
      }
      const giveUp = (): void => {
        // What has arrived while the process stood still is read later, and too late.
        if (!hasArrived) target.abandon(one)
      }
      const read = (failure: Failure | undefined): void => {
        timer?.cancel()
        pool?.leave(one)
        if (failure === undefined && one.isGenuine) errand.isServed = true
        carried?.answered(one.left)
        resume(failure === undefined ? Effect.void : Effect.fail(failure))
      }
      const one = new Attempt(part, engine.now, answer, cause)
      one.headers = carried?.headers
      const timer =
        limit === Infinity
          ? undefined
          : engine.after(limit, () => {
              giveUp()
              resume(Effect.fail(new Failure("timeout")))
            })
      target.send(one)
      return Effect.sync(() => {
        timer?.cancel()
        giveUp()
      })
    })
  }
}

/** What an attempt carries of `Propagation`, and who reads what the answer says about retries. */
interface Carried {
  readonly headers: Readonly<Record<string, string>>
  readonly answered: (left: number | undefined) => void
}

/** A call of a service with what the attempt that it serves carries; at its end the attempt has the retries that are left. */
const inheriting = (
  call: Effect.Effect<unknown, unknown>,
  attempt: Attempt,
  headers: Readonly<Record<string, string>>
): Effect.Effect<unknown, unknown> => {
  const { remaining, ...rest } = Propagation.fromHeaders(headers)
  const atEnd = Effect.map(Propagation.current, ({ retries }) => {
    attempt.left = retries
  })
  return call.pipe(Effect.ensuring(atEnd), Propagation.provide(rest), Deadline.within(remaining ?? Infinity))
}
