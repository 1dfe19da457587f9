/**
 * Keeps the board of a fleet in Redis or Valkey, over Effect's own `Redis` service: one script per report, in the background.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as EffectRedis from "effect/persistence/Redis"
import * as Queue from "effect/Queue"
import * as Check from "../runtime/options.ts"
import * as Shared from "../Shared.ts"
import { boardScript } from "./internal/boardScript.ts"

/**
 * Options of a board in Redis.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** With what the keys of the board begin, as `{prefix:…}:`, for the rules of an access control list. Default: `"resilience"`. */
  readonly prefix?: string | undefined
}

const script = EffectRedis.script((prefix: string, report: string, id: string) => [prefix, report, id], {
  numberOfKeys: 1,
  lua: boardScript
}).withReturnType<string>()

/** The time before a subscription that has ended is made again. */
const resubscribeAfter = "500 millis"

/**
 * A board in Redis 7 or Valkey, for the machines of a fleet.
 *
 * **Details** The script of a report takes about 50 microseconds in the server and 100 more for each key that it tells of, however
 * many members there are. A member reports once a second while all is well, and ten times a second while something is the matter; a
 * fleet of more than a hundred makes at most about a thousand reports a second. What has changed is published at once. All keys of a
 * policy share a slot of a cluster.
 *
 * **Gotchas** Give the client a limit on reconnects and no offline queue (`disableOfflineQueue` of `redis`): reports that wait for a
 * server to come back are of no use. Who may write to the keys may isolate every circuit of the fleet.
 *
 * **Example** (The machines of a shop)
 *
 * ```ts no-run
 * import { Layer } from "effect"
 * import type { Redis } from "effect/persistence"
 * import { Policy } from "effect-resilience"
 * import * as SharedRedis from "effect-resilience/shared/Redis"
 *
 * class Payments extends Policy.Service<Payments>()("app/Payments", {
 *   breaker: {},
 *   shared: { breaker: {}, witness: "zone-a" }
 * }) {}
 *
 * const live = Payments.layer.pipe(Layer.provide(SharedRedis.layer({ prefix: "shop" })))
 * // Layer.Layer<Payments, never, Redis.Redis>: provide the client that you use, such as NodeRedis.layer
 * const typed: Layer.Layer<Payments, never, Redis.Redis> = live
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Shared.Board, never, EffectRedis.Redis> => {
  Check.noUnknown("shared/Redis.layer", options, ["prefix"])
  const prefix = Check.nonEmpty("shared/Redis.layer", "prefix", Check.orDefault(options.prefix, "resilience"))
  const keysOf = (scope: string): string => `{${prefix}:${scope}}:`
  return Layer.effect(
    Shared.Board,
    Effect.map(EffectRedis.Redis, (redis) => {
      const evaluate = redis.eval(script)
      const listen = (scope: string, listener: (push: string) => void) =>
        Effect.scoped(
          Effect.flatMap(redis.subscribe(`${keysOf(scope)}news`), (messages) =>
            Effect.forever(Effect.map(Queue.take(messages), ({ message }) => listener(message)))
          )
        )
      return {
        name: "redis",
        sync: (scope, report) =>
          Effect.flatMap(Shared.randomId, (id) => evaluate(keysOf(scope), report, id)).pipe(
            Effect.mapError((cause) => new Shared.BoardError({ cause }))
          ),
        // What a subscription missed comes with the answer to the next report.
        pushes: (scope, listener) =>
          listen(scope, listener).pipe(
            Effect.catchCause(() => Effect.sleep(resubscribeAfter)),
            Effect.forever,
            Effect.forkScoped,
            Effect.asVoid
          )
      }
    })
  )
}
