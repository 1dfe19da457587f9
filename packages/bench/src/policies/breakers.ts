/** Circuit breakers of the same kind wherever they have it: half of at least 20 calls in ten buckets of a second. */
import * as cockatiel from "cockatiel"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as BuiltIn from "effect/persistence/CircuitBreaker"
import { CircuitBreaker, Policy, Retry, TripPolicy } from "effect-resilience"
import Opossum from "opossum"
import * as Baseline from "../baselines/breaker.ts"
import { type Candidate, down, inFiber, inPromise, inRuntime, made, type Task, type Work } from "./work.ts"

const hour = 3_600_000

/** What the others have too, which is not our default. */
export const half = TripPolicy.failureRate({ threshold: 0.5 })
const slow = TripPolicy.slowCallRate({ slowerThan: "1 second", threshold: 0.5 })

class Users extends CircuitBreaker.Service<Users>()("bench/Users", { trip: half }) {}

const consecutive = BuiltIn.consecutive(5)
const rate = BuiltIn.rate({ threshold: 0.5, size: 100, minimumCalls: 20 })

/** Effect's own breaker, with its store in memory; it lives as long as the process. */
export const builtIn = (tripPolicy: BuiltIn.TripPolicy): Promise<BuiltIn.CircuitBreaker> =>
  ManagedRuntime.make(
    BuiltIn.layer({ tripPolicy, openDuration: "1 hour" }).pipe(Layer.provide(BuiltIn.layerStoreMemory()))
  ).runPromise(BuiltIn.CircuitBreaker)

export const makeBuiltIn = (): Promise<BuiltIn.CircuitBreaker> => builtIn(rate)

export const samplingBreaker = (): cockatiel.CircuitBreakerPolicy =>
  cockatiel.circuitBreaker(cockatiel.handleAll, {
    halfOpenAfter: hour,
    breaker: new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 10_000, minimumRps: 2 })
  })

type AnyOpossum = Opossum<[Task], number>

export const opossumOptions: Opossum.Options = {
  timeout: false,
  errorThresholdPercentage: 50,
  rollingCountTimeout: 10_000,
  rollingCountBuckets: 10,
  volumeThreshold: 20,
  resetTimeout: hour
}

const makeOpossum = (options: Opossum.Options): AnyOpossum =>
  new Opossum((task: Task) => task(), { ...opossumOptions, ...options })

const lean: Opossum.Options = { rollingPercentilesEnabled: false, enableSnapshots: false }

export const names = {
  ours: "effect-resilience",
  production: "effect-resilience, production shape",
  ownBaseline: "baseline, own primitive",
  publicBaseline: "baseline, public API",
  ownWindow: "baseline, own primitive, production shape",
  publicWindow: "baseline, public API, production shape",
  consecutive: "Effect CircuitBreaker, consecutive",
  rate: "Effect CircuitBreaker, rate",
  sampling: "cockatiel SamplingBreaker",
  opossum: "opossum"
} as const

/** Every breaker, closed and without keys. */
export const breakers = async (): Promise<ReadonlyArray<Candidate>> => {
  const ours = await made(CircuitBreaker.make("bench", { trip: half }))
  const slowToo = await made(CircuitBreaker.make("bench", { trip: TripPolicy.any(half, slow) }))
  const production = await made(Policy.make("bench", { breaker: { trip: TripPolicy.any(half, slow) } }))
  const users = ManagedRuntime.make(Users.layer)
  const byStreak = await builtIn(consecutive)
  const byRate = await builtIn(rate)
  const sampling = samplingBreaker()
  const streak = cockatiel.circuitBreaker(cockatiel.handleAll, {
    halfOpenAfter: hour,
    breaker: new cockatiel.ConsecutiveBreaker(5)
  })
  const full = makeOpossum({})
  const small = makeOpossum(lean)
  return [
    inFiber(
      {
        name: names.ours,
        family: "ours",
        what: "`CircuitBreaker.make` with a failure rate: window of 10 s in ten buckets"
      },
      (work) => ours.protect(work)
    ),
    inRuntime(
      { name: "effect-resilience, service", family: "ours", what: "the same as a service class, found in the context" },
      (work) => Users.protect(work),
      (loop) => users.runPromise(loop)
    ),
    inFiber(
      {
        name: "effect-resilience, slow calls too",
        family: "ours",
        what: "the same with a second window, of slow calls"
      },
      (work) => slowToo.protect(work)
    ),
    inFiber(
      {
        name: names.production,
        family: "ours",
        what: "`Policy.make` with a breaker alone: window, slow calls, counters and latency histogram"
      },
      (work) => production.protect(work)
    ),
    inFiber(
      {
        name: names.ownBaseline,
        family: "baseline, own primitive",
        what: "hand-written on Effect's internal keys: a failure streak"
      },
      Baseline.plainOwn(Baseline.makeState())
    ),
    inFiber(
      {
        name: names.publicBaseline,
        family: "baseline, public API",
        what: "hand-written with `onExitPrimitive`: a failure streak"
      },
      Baseline.plainPublic(Baseline.makeState())
    ),
    inFiber(
      {
        name: names.ownWindow,
        family: "baseline, own primitive",
        what: "hand-written: window of ten buckets, slow calls, latency histogram"
      },
      Baseline.windowOwn(new Baseline.Window())
    ),
    inFiber(
      { name: names.publicWindow, family: "baseline, public API", what: "the same with `onExitPrimitive`" },
      Baseline.windowPublic(new Baseline.Window())
    ),
    inFiber(
      {
        name: names.consecutive,
        family: "Effect",
        what: "5 failures in a row, store in memory; it has no time window"
      },
      (work) => byStreak.execute(work, { key: "bench" })
    ),
    inFiber({ name: names.rate, family: "Effect", what: "half of the last 100 calls, store in memory" }, (work) =>
      byRate.execute(work, { key: "bench" })
    ),
    inPromise(
      { name: names.sampling, family: "cockatiel", what: "half of at least 2 calls a second in 10 s" },
      (task) => sampling.execute(task)
    ),
    inPromise({ name: "cockatiel ConsecutiveBreaker", family: "cockatiel", what: "5 failures in a row" }, (task) =>
      streak.execute(task)
    ),
    inPromise(
      {
        name: names.opossum,
        family: "opossum",
        what: "half of at least 20 calls in 10 s, latency percentiles and snapshots; its timeout off"
      },
      (task) => full.fire(task)
    ),
    inPromise(
      { name: "opossum, lean", family: "opossum", what: "the same without percentiles and snapshots" },
      (task) => small.fire(task)
    )
  ]
}

/** The keys that a caller goes through, one after the other. */
const roundRobin = (keys: ReadonlyArray<string>) => {
  let next = 0
  return (): string => {
    const key = keys[next] ?? "none"
    next = next + 1 === keys.length ? 0 : next + 1
    return key
  }
}

const perKey = <A>(make: () => A) => {
  const entries = new Map<string, A>()
  return (key: string): A => {
    const found = entries.get(key)
    if (found !== undefined) return found
    const made = make()
    entries.set(key, made)
    return made
  }
}

/** opossum takes about 7 kB and its timers a key, which leaves a hundred thousand of them out of the question. */
const mostOpossums = 1000

/** One circuit per key; what has no keys of its own gets a `Map`, as its users would write it. */
export const keyedBreakers = async (count: number): Promise<ReadonlyArray<Candidate>> => {
  const keys = Array.from({ length: count }, (_, i) => `tenant-${i}`)
  const ours = await made(CircuitBreaker.make("bench", { trip: half, keys: { maxKeys: count + 1 } }))
  const own = perKey(() => Baseline.windowOwn(new Baseline.Window()))
  const open = perKey(() => Baseline.windowPublic(new Baseline.Window()))
  const byStreak = await builtIn(consecutive)
  const policies = perKey(samplingBreaker)
  const rotate = perKey(() => makeOpossum(lean))
  const [key1, key2, key3, key4, key5, key6] = [0, 1, 2, 3, 4, 5].map(() => roundRobin(keys)) as Six
  const candidates = [
    inFiber({ name: names.ours, family: "ours", what: "`work.pipe(protect({ key }))`, a failure rate" }, (work) =>
      work.pipe(ours.protect({ key: key1() }))
    ),
    inFiber(
      { name: names.ownWindow, family: "baseline, own primitive", what: "one record per key in a `Map`" },
      (work) => own(key2())(work)
    ),
    inFiber(
      { name: names.publicWindow, family: "baseline, public API", what: "one record per key in a `Map`" },
      (work) => open(key3())(work)
    ),
    inFiber(
      { name: names.consecutive, family: "Effect", what: "`execute({ key })`, 5 failures in a row, store in memory" },
      (work) => byStreak.execute(work, { key: key4() })
    ),
    inPromise({ name: names.sampling, family: "cockatiel", what: "one policy per key in a `Map`" }, (task) =>
      policies(key5()).execute(task)
    )
  ]
  if (count > mostOpossums) return candidates
  return [
    ...candidates,
    inPromise({ name: names.opossum, family: "opossum", what: "one lean breaker per key in a `Map`" }, (task) =>
      rotate(key6()).fire(task)
    )
  ]
}

type Next = () => string
type Six = [Next, Next, Next, Next, Next, Next]

/** What users get who say nothing; no peer has its like. */
export const atDefaults = async (): Promise<Candidate> => {
  const ours = await made(CircuitBreaker.make("bench"))
  return inFiber({ name: "at defaults", family: "ours", what: "`TripPolicy.standard`" }, (work) => ours.protect(work))
}

/** A trip policy that does nothing: what is left is what every breaker costs. */
const nothing = (usesDuration: boolean): TripPolicy.Any =>
  TripPolicy.make({ name: "nothing", initial: () => undefined, record: () => {}, trips: () => false, usesDuration })

/** One part more at each step, so that the difference of two lines is what the part costs. */
export const parts = async (): Promise<ReadonlyArray<Candidate>> => {
  const breaker = (name: string, what: string, trip: TripPolicy.Any) =>
    made(CircuitBreaker.make("bench", { trip })).then((ours) =>
      inFiber({ name, family: "ours", what }, (work) => ours.protect(work))
    )
  const policy = (name: string, what: string, options: Policy.Options) =>
    made(Policy.make("bench", options)).then((ours) =>
      // What fits an effect depends on the parts, which are not known here; the work has transient errors only.
      inFiber({ name, family: "ours", what }, ours.protect as (work: Work) => Work)
    )
  return Promise.all([
    inFiber(
      { name: "one reading of the clock", family: "baseline, public API", what: "`performance.now()`" },
      (work) => (performance.now() === 0 ? Effect.never : work)
    ),
    breaker("breaker that counts nothing", "frame, key, admission, one reading of the clock", nothing(false)),
    breaker("the same with durations", "a second reading of the clock", nothing(true)),
    breaker("breaker, failures in a row", "`TripPolicy.consecutive`", TripPolicy.consecutive(5)),
    breaker("breaker, failure rate", "a window of ten buckets", half),
    breaker("breaker, failure rate and slow calls", "a second window, and durations", TripPolicy.any(half, slow)),
    policy("policy, breaker that counts nothing", "counters, recent attempts, histogram, durations", {
      breaker: { trip: nothing(false) }
    }),
    policy("policy, failure rate", "and the window of the breaker", { breaker: { trip: half } }),
    policy("policy, and a bulkhead", "`maxConcurrent: 20`", {
      breaker: { trip: half },
      bulkhead: { maxConcurrent: 20 }
    }),
    policy("policy, and a retry", "`Retry.backoff()`", {
      breaker: { trip: half },
      bulkhead: { maxConcurrent: 20 },
      retry: Retry.backoff()
    })
  ])
}

/** Breakers that have been opened, and stay so. */
export const openBreakers = async (): Promise<ReadonlyArray<Candidate>> => {
  const ours = await made(CircuitBreaker.make("bench", { trip: half, openFor: "2 hours" }))
  const plainOwn = Baseline.makeState()
  const plainPublic = Baseline.makeState()
  Baseline.trip(plainOwn, hour)
  Baseline.trip(plainPublic, hour)
  const byStreak = await builtIn(consecutive)
  const sampling = samplingBreaker()
  const small = makeOpossum(lean)
  small.open()
  const candidates: ReadonlyArray<Candidate> = [
    inFiber(
      { name: names.ours, family: "ours", what: "`CircuitOpen` with policy, key, evidence and `retryAfter`" },
      (work) => ours.protect(work)
    ),
    inFiber(
      {
        name: names.ownBaseline,
        family: "baseline, own primitive",
        what: "`Object.create` of an error class with a tag and `retryAfter`"
      },
      Baseline.plainOwn(plainOwn)
    ),
    inFiber(
      { name: names.publicBaseline, family: "baseline, public API", what: "the same, by `suspend` and `fail`" },
      Baseline.plainPublic(plainPublic)
    ),
    inFiber(
      { name: names.consecutive, family: "Effect", what: "`CircuitBreakerError`, two Schema errors with stack traces" },
      (work) => byStreak.execute(work, { key: "bench" })
    ),
    inPromise({ name: names.sampling, family: "cockatiel", what: "`BrokenCircuitError` with a stack trace" }, (task) =>
      sampling.execute(task)
    ),
    inPromise(
      { name: names.opossum, family: "opossum", what: "`Breaker is open` with a stack trace; without percentiles" },
      (task) => small.fire(task)
    )
  ]
  // Enough failures for the slowest of them to open.
  for (const candidate of candidates) await candidate.calling({ inner: down, failing: true })(100)
  return candidates
}
