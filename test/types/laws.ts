/** The laws of the types of transient errors. */
import { type Cause, Effect } from "effect"
import { type Retry, Transient } from "effect-resilience"
import { exactly } from "./exactly.ts"
import { fetchUser, findUser, type GatewayTimeout, type NotFound, type Unavailable, type User } from "./world.ts"

type Mixed = Unavailable | NotFound | Transient.Exhausted<GatewayTimeout>

// Every member is transient, exhausted or neither; the parts make the whole again.
exactly<Transient.TransientOf<Mixed>, Unavailable>(true)
exactly<Transient.ExhaustedOf<Mixed>, Transient.Exhausted<GatewayTimeout>>(true)
exactly<Transient.PermanentOf<Mixed>, NotFound | Transient.Exhausted<GatewayTimeout>>(true)
exactly<Transient.TransientOf<Mixed> | Transient.PermanentOf<Mixed>, Mixed>(true)
exactly<Extract<Transient.TransientOf<Mixed>, Transient.PermanentOf<Mixed>>, never>(true)

// A retry leaves nothing transient, and doing it twice is doing it once.
type Retried = Transient.AfterRetry<Mixed>
exactly<Retried, Transient.Exhausted<Unavailable> | NotFound | Transient.Exhausted<GatewayTimeout>>(true)
exactly<Transient.TransientOf<Retried>, never>(true)
exactly<Transient.AfterRetry<Retried>, Retried>(true)
exactly<Transient.AfterRetry<NotFound>, NotFound>(true)

// They distribute over nothing and over anything.
exactly<Transient.TransientOf<never>, never>(true)
exactly<Transient.PermanentOf<never>, never>(true)
exactly<Transient.ExhaustedOf<never>, never>(true)
exactly<Transient.AfterRetry<never>, never>(true)
exactly<Transient.TransientOf<unknown>, never>(true)
exactly<Transient.PermanentOf<unknown>, unknown>(true)
exactly<Transient.AfterRetry<unknown>, unknown>(true)

// An exhausted error is still an error of its class: it may be given where that one is asked for, never the reverse.
exactly<Transient.Exhausted<Unavailable> extends Unavailable ? true : false, true>(true)
exactly<Unavailable extends Transient.Exhausted<Unavailable> ? true : false, false>(true)
exactly<Transient.Exhausted<Unavailable>["_tag"], "Unavailable">(true)
exactly<Unavailable extends Transient.Transient ? true : false, true>(true)
exactly<NotFound extends Transient.Transient ? true : false, false>(true)

// `when` moves what a guard picks, and only adds to what a predicate may leave.
const guarded = findUser(1).pipe(Transient.when((error): error is NotFound => error.message === "later"))
exactly<typeof guarded, Effect.Effect<User, NotFound & Transient.Transient>>(true)
const tagged = fetchUser(1).pipe(Transient.when((error) => error._tag === "NotFound"))
exactly<typeof tagged, Effect.Effect<User, Unavailable | (NotFound & Transient.Transient)>>(true)
const some = findUser(1).pipe(Transient.when((error) => error.message === "later"))
exactly<typeof some, Effect.Effect<User, NotFound | (NotFound & Transient.Transient)>>(true)

class CodeError {
  readonly _tag = "Coded"
  readonly code = 75 as number
}
// `whenTag` does it for one member of the union, and leaves the others alone.
const everyTagged = fetchUser(1).pipe(Transient.whenTag("NotFound"))
exactly<typeof everyTagged, Effect.Effect<User, Unavailable | (NotFound & Transient.Transient)>>(true)
const someTagged = fetchUser(1).pipe(Transient.whenTag("NotFound", (error) => error.message === "later"))
exactly<typeof someTagged, Effect.Effect<User, Unavailable | NotFound | (NotFound & Transient.Transient)>>(true)
const picked = Effect.fail(new CodeError()).pipe(
  Effect.andThen(fetchUser(1)),
  Transient.whenTag("Coded", (error) => error.code === 75) // the type of the error of that tag alone
)
exactly<typeof picked, Effect.Effect<User, Unavailable | NotFound | CodeError | (CodeError & Transient.Transient)>>(
  true
)
const first = Transient.whenTag(fetchUser(1), "NotFound", (error) => error.message === "later", { unprocessed: true })
exactly<typeof first, typeof someTagged>(true)

// `known` adds the transient part to Effect's own errors and leaves the others alone.
const timedOut = fetchUser(1).pipe(Effect.timeout("1 second"), Transient.known)
type TimeoutError = Cause.TimeoutError
exactly<
  typeof timedOut,
  Effect.Effect<User, Unavailable | NotFound | TimeoutError | (TimeoutError & Transient.Transient)>
>(true)
exactly<Transient.Known<NotFound>, NotFound>(true)
exactly<Transient.Known<never>, never>(true)

// What tells: a guard, and why a retry gave up.
const asked = (error: unknown) => (Transient.is(error) ? error : undefined)
exactly<ReturnType<typeof asked>, Transient.Transient | undefined>(true)
exactly<Retry.GiveUp["reason"], "attempts" | "budget" | "deadline" | "rejected" | "retryAfter">(true)
