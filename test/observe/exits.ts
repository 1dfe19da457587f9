/** A program whose policy would wait an hour before a retry: it ends when its calls have ended. */
import { Effect } from "effect"
import { Policy, Retry, Transient } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const down: Effect.Effect<string, Down> = Effect.fail(new Down())

const program = Effect.gen(function* () {
  const policy = yield* Policy.make("p", {
    retry: Retry.backoff({ base: "1 hour", cap: "1 hour", jitter: "none", times: 3 }),
    mode: "observe"
  })
  yield* Effect.exit(policy.protect(down))
  return (yield* policy.stats()).would?.retries
})

process.stdout.write(`retries: ${await Effect.runPromise(program)}\n`)
