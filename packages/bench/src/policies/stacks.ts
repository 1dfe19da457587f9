/** Everything a dependency needs, at once: retry, breaker, bulkhead and, where it is said, a timeout. */
import * as cockatiel from "cockatiel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { Bulkhead, CircuitBreaker, Deadline, Fallback, Policy, Retry, Shared, Timeout } from "effect-resilience"
import * as BreakerBaseline from "../baselines/breaker.ts"
import * as BulkheadBaseline from "../baselines/bulkhead.ts"
import * as RetryBaseline from "../baselines/retry.ts"
import * as TimeoutBaseline from "../baselines/timeout.ts"
import { half, makeBuiltIn, samplingBreaker } from "./breakers.ts"
import { type Candidate, inFiber, inPromise, made, type Work } from "./work.ts"

const permits = 20
const second = 1000

export const names = {
  ours: "effect-resilience Policy",
  everything: "effect-resilience Policy, with budget and deadline",
  adaptive: "effect-resilience Policy, adaptive",
  shared: "effect-resilience Policy, shared, no board",
  inTouch: "effect-resilience Policy, shared, in touch",
  piped: "effect-resilience, single policies piped",
  retry: "effect-resilience, retry alone",
  breaker: "effect-resilience, breaker alone",
  bulkhead: "effect-resilience, bulkhead alone",
  ownBaseline: "baseline, own primitive",
  publicBaseline: "baseline, public API",
  builtIns: "Effect's built-ins",
  cockatiel: "cockatiel wrap"
} as const

const schedule = Schedule.exponential("100 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 2 }))

const cockatielRetry = (): cockatiel.RetryPolicy =>
  cockatiel.retry(cockatiel.handleAll, {
    maxAttempts: 2,
    backoff: new cockatiel.ExponentialBackoff({ initialDelay: 100, maxDelay: 5000 })
  })

const cockatielTimeout = (): cockatiel.TimeoutPolicy => cockatiel.timeout(second, cockatiel.TimeoutStrategy.Aggressive)

const parts = () => ({ retry: Retry.backoff(), breaker: { trip: half }, bulkhead: { maxConcurrent: permits } })

type Protect = (work: Work) => Effect.Effect<unknown, unknown>

const policies = async (timed: boolean): Promise<{ readonly plain: Protect; readonly everything: Protect }> => {
  const all = { ...parts(), budget: {}, deadline: "3 seconds" } as const
  if (timed) {
    const plain = await made(Policy.make("bench", { ...parts(), timeout: "1 second" }))
    const everything = await made(Policy.make("bench", { ...all, timeout: "1 second" }))
    return { plain: (work) => plain.protect(work), everything: (work) => everything.protect(work) }
  }
  const plain = await made(Policy.make("bench", parts()))
  const everything = await made(Policy.make("bench", all))
  return { plain: (work) => plain.protect(work), everything: (work) => everything.protect(work) }
}

/** A board that never answers. */
const silent = Shared.Board.of({ name: "none", sync: () => Effect.never, pushes: () => Effect.void })

const memberOf = async (board: Shared.Board["Service"], named: { readonly name: string; readonly what: string }) => {
  const policy = await made(
    Policy.make("bench shared", { ...parts(), shared: { breaker: {} } }).pipe(
      Effect.provideService(Shared.Board, board),
      // It reports as long as the process lives.
      Effect.provideService(Scope.Scope, Scope.makeUnsafe())
    )
  )
  return inFiber({ ...named, family: "ours" }, (work) => policy.protect(work))
}

/** An adaptive policy, while nothing is wrong. */
export const adaptive = async (): Promise<Candidate> => {
  const policy = await made(Policy.make("bench adaptive", { timeout: "1 second", adaptive: {} }))
  const named = { name: names.adaptive, what: "`adaptive` in place of breaker and bulkhead, with a timeout" }
  return inFiber({ ...named, family: "ours" }, (work) => policy.protect(work))
}

/** The plain policy as a member of a fleet whose board never answers. */
export const shared = (): Promise<Candidate> =>
  memberOf(silent, { name: names.shared, what: "with `shared`, and a board that never answers" })

/** The plain policy alone, and as a member of a fleet whose board never answers, or is in the memory of the process. */
export const fleets = async (): Promise<ReadonlyArray<Candidate>> => {
  const { plain } = await policies(false)
  const memory = await Effect.runPromise(
    Effect.provideService(Layer.build(Shared.layerMemory), Scope.Scope, Scope.makeUnsafe())
  )
  return [
    inFiber({ name: names.ours, family: "ours", what: "`Policy.make` of retry, breaker and bulkhead" }, plain),
    await shared(),
    await memberOf(Context.get(memory, Shared.Board), {
      name: names.inTouch,
      what: "with `shared`, and a board that answers"
    })
  ]
}

/** The singles that the fused policy must beat. */
export const singles = async (): Promise<ReadonlyArray<Candidate>> => {
  const breaker = await made(CircuitBreaker.make("bench", { trip: half }))
  const bulkhead = await made(Bulkhead.make("bench", { maxConcurrent: permits }))
  const retry = Retry.transient(Retry.backoff())
  const again = Retry.transient(Retry.backoff())
  return [
    inFiber(
      { name: names.piped, family: "ours", what: "`pipe(bulkhead, breaker, retry)`: the same without fusion" },
      (work) => pipe(bulkhead.protect(work), breaker.protect, again)
    ),
    inFiber({ name: names.retry, family: "ours", what: "`Retry.transient(Retry.backoff())`" }, (work) => retry(work)),
    inFiber({ name: names.breaker, family: "ours", what: "`CircuitBreaker.make`" }, (work) => breaker.protect(work)),
    inFiber({ name: names.bulkhead, family: "ours", what: "`Bulkhead.make`" }, (work) => bulkhead.protect(work))
  ]
}

export const stacks = async (timed: boolean): Promise<ReadonlyArray<Candidate>> => {
  const { everything, plain } = await policies(timed)
  const limit = timed ? TimeoutBaseline.timeout(second) : <A>(self: A): A => self
  const ownBulkhead = BulkheadBaseline.failFastOwn(permits)
  const ownBreaker = BreakerBaseline.windowOwn(new BreakerBaseline.Window())
  const ownRetry = RetryBaseline.retryOwn(schedule)
  const publicBulkhead = BulkheadBaseline.failFastPublic(permits)
  const publicBreaker = BreakerBaseline.windowPublic(new BreakerBaseline.Window())
  const publicRetry = RetryBaseline.retryPublic(schedule)
  const breaker = await makeBuiltIn()
  const semaphore = Semaphore.makeUnsafe(permits)
  const protectBuiltIn = (work: Effect.Effect<unknown, unknown>) =>
    work.pipe(semaphore.withPermit, breaker.execute({ key: "bench" }), Effect.retry(schedule))
  const bulkheadPeer = cockatiel.bulkhead(permits)
  const wrapped = timed
    ? cockatiel.wrap(cockatielRetry(), samplingBreaker(), bulkheadPeer, cockatielTimeout())
    : cockatiel.wrap(cockatielRetry(), samplingBreaker(), bulkheadPeer)
  const withTimeout = timed ? ", timeout of 1 s" : ""
  return [
    inFiber(
      { name: names.ours, family: "ours", what: `\`Policy.make\` of retry, breaker and bulkhead${withTimeout}` },
      plain
    ),
    inFiber(
      {
        name: names.everything,
        family: "ours",
        what: "the same with a retry budget and a deadline of 3 s, which the others lack"
      },
      everything
    ),
    inFiber(
      {
        name: names.ownBaseline,
        family: "baseline, own primitive",
        what: `hand-written, window and histogram${withTimeout}`
      },
      (work) => pipe(limit(work), ownBulkhead, ownBreaker, ownRetry)
    ),
    inFiber(
      {
        name: names.publicBaseline,
        family: "baseline, public API",
        what: `hand-written, window and histogram${withTimeout}`
      },
      (work) => pipe(limit(work), publicBulkhead, publicBreaker, publicRetry)
    ),
    inFiber(
      {
        name: names.builtIns,
        family: "Effect",
        what: `retry, CircuitBreaker, Semaphore${timed ? ", Effect.timeout of 1 s" : ""}`
      },
      (work) => protectBuiltIn(timed ? Effect.timeout(work, second) : work)
    ),
    inPromise(
      {
        name: names.cockatiel,
        family: "cockatiel",
        what: `\`wrap(retry, circuitBreaker, bulkhead${timed ? ", timeout" : ""})\``
      },
      (task) => wrapped.execute(task)
    )
  ]
}

/** How many policies can be stacked. */
export const heights = [1, 2, 3, 4, 5, 6] as const

const layersOf = ["breaker", "bulkhead", "retry", "fallback", "timeout", "deadline"]

export const heightName = (height: number): string => {
  const last = layersOf[height - 1] ?? "nothing"
  return height === 1 ? `1: ${last}` : `${height}: and ${last}`
}

/** Policies stacked to a height, the same ones for everybody: breaker, bulkhead, retry, fallback, timeout, deadline. */
export const stacked = async (height: number): Promise<ReadonlyArray<Candidate>> => {
  const breaker = await made(CircuitBreaker.make("bench", { trip: half }))
  const bulkhead = await made(Bulkhead.make("bench", { maxConcurrent: permits }))
  const retry = Retry.transient(Retry.backoff())
  const fallback = Fallback.value(0, { when: "any" })
  const timeout = Timeout.after(second)
  const deadline = Deadline.within(3 * second)
  const piped: ReadonlyArray<Protect> = [
    (work) => breaker.protect(work),
    (work) => breaker.protect(bulkhead.protect(work)),
    (work) => retry(breaker.protect(bulkhead.protect(work))),
    (work) => fallback(retry(breaker.protect(bulkhead.protect(work)))),
    (work) => fallback(retry(breaker.protect(bulkhead.protect(timeout(work))))),
    (work) => fallback(deadline(retry(breaker.protect(bulkhead.protect(timeout(work))))))
  ]
  const fused = await fusedOf(height)
  const builtIn = await builtInOf(height)
  const peers: ReadonlyArray<cockatiel.IPolicy<cockatiel.IDefaultPolicyContext, unknown>> = [
    cockatiel.timeout(3 * second, cockatiel.TimeoutStrategy.Aggressive),
    cockatiel.fallback(cockatiel.handleAll, 0),
    cockatielRetry(),
    samplingBreaker(),
    cockatiel.bulkhead(permits),
    cockatielTimeout()
  ]
  const taken = [[3], [3, 4], [2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 0, 2, 3, 4, 5]][height - 1] ?? []
  const wrapped = cockatiel.wrap(...taken.flatMap((at) => peers[at] ?? []))
  return [
    inFiber({ name: names.ours, family: "ours", what: "one `Policy`, with `Fallback` around it from 4 on" }, fused),
    inFiber({ name: names.piped, family: "ours", what: "the single policies" }, piped[height - 1] ?? ((work) => work)),
    inFiber({ name: names.builtIns, family: "Effect", what: "the built-in of each kind" }, builtIn),
    inPromise({ name: names.cockatiel, family: "cockatiel", what: "`wrap`; a second timeout as deadline" }, (task) =>
      wrapped.execute(task)
    )
  ]
}

const fusedOf = async (height: number): Promise<Protect> => {
  const { breaker, bulkhead, retry } = parts()
  const fallback = Fallback.value(0, { when: "any" })
  switch (height) {
    case 1: {
      const policy = await made(Policy.make("bench", { breaker }))
      return (work) => policy.protect(work)
    }
    case 2: {
      const policy = await made(Policy.make("bench", { breaker, bulkhead }))
      return (work) => policy.protect(work)
    }
    case 3: {
      const policy = await made(Policy.make("bench", { breaker, bulkhead, retry }))
      return (work) => policy.protect(work)
    }
    case 4: {
      const policy = await made(Policy.make("bench", { breaker, bulkhead, retry }))
      return (work) => fallback(policy.protect(work))
    }
    case 5: {
      const policy = await made(Policy.make("bench", { breaker, bulkhead, retry, timeout: second }))
      return (work) => fallback(policy.protect(work))
    }
    default: {
      const policy = await made(
        Policy.make("bench", { breaker, bulkhead, retry, timeout: second, deadline: 3 * second })
      )
      return (work) => fallback(policy.protect(work))
    }
  }
}

const builtInOf = async (height: number): Promise<Protect> => {
  const breaker = await makeBuiltIn()
  const semaphore = Semaphore.makeUnsafe(permits)
  return (work) => {
    let self: Effect.Effect<unknown, unknown> = work
    if (height >= 5) self = Effect.timeout(self, second)
    if (height >= 2) self = semaphore.withPermit(self)
    self = breaker.execute(self, { key: "bench" })
    if (height >= 3) self = Effect.retry(self, schedule)
    if (height >= 6) self = Effect.timeout(self, 3 * second)
    if (height >= 4) self = Effect.catch(self, () => Effect.succeed(0))
    return self
  }
}
