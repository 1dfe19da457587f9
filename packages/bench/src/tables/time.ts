/** The tables of time per call. */
import * as Effect from "effect/Effect"
import type { Subject, TimeTable } from "../model.ts"
import { adapters } from "../policies/adapters.ts"
import * as Breakers from "../policies/breakers.ts"
import * as Singles from "../policies/singles.ts"
import * as Stacks from "../policies/stacks.ts"
import { watched } from "../policies/telemetry.ts"
import * as Work from "../policies/work.ts"

const one = "one caller"
const hundred = "100 callers at the same time"

const checkAll = async (candidates: ReadonlyArray<Work.Candidate>, inner: Work.Inner): Promise<void> => {
  for (const candidate of candidates) await Work.checked(candidate, { inner })
}

const table = (
  name: string,
  title: string,
  about: string,
  candidates: () => Promise<ReadonlyArray<Work.Candidate>> | ReadonlyArray<Work.Candidate>,
  inner: Work.Inner,
  bares?: ReadonlyArray<Work.Candidate>
): TimeTable => ({
  kind: "time",
  name,
  title,
  about,
  prepare: async () => {
    const all = await candidates()
    await checkAll(all, inner)
    return Work.subjectsOf(all, { inner }, one, bares)
  }
})

const concurrent = (name: string, title: string, about: string, inner: Work.Inner): TimeTable => ({
  kind: "time",
  name,
  title,
  about,
  prepare: async () => {
    const candidates = await Breakers.breakers()
    await checkAll(candidates, inner)
    return [
      ...Work.subjectsOf(candidates, { inner }, one),
      ...Work.subjectsOf(candidates, { inner, callers: 100 }, hundred)
    ]
  }
})

/** Everybody at the gate at once: each call of a sample is a caller of its own. */
const queued = async (waiters: number, quick: boolean): Promise<ReadonlyArray<Subject>> => {
  const candidates = await Singles.queues(waiters)
  const inner: Work.Inner = { name: "yield", effect: () => Effect.as(Effect.yieldNow, 0), task: async () => 0 }
  const group = queueName(waiters)
  const patient = candidates.filter(({ family }) => family !== "bottleneck" || !quick || waiters <= queueLengths[0])
  return Work.subjectsOf(patient, { inner, callers: waiters }, group).map((subject) => {
    const slow = subject.family === "bottleneck" || (subject.family === "Effect" && waiters > queueLengths[0])
    return slow ? { ...subject, calls: waiters, rounds: quick ? 1 : 3 } : { ...subject, calls: waiters }
  })
}

export const queueName = (waiters: number): string => `${waiters.toLocaleString("en-US")} callers, one permit`
export const queueLengths = [1000, 10_000] as const

/** Work that never ends by itself, for timeouts that fire. */
const hanging: Work.Inner = {
  name: "hanging",
  effect: () => Effect.callback<number>(() => {}),
  task: () => new Promise<number>(() => {})
}

const firesAfter = 2

const waiting: ReadonlyArray<Work.Candidate> = [
  Work.inFiber({ name: Work.bareFiber, family: "bare", what: "`Effect.sleep` of as long" }, () =>
    Effect.sleep(firesAfter)
  ),
  Work.inPromise(
    { name: Work.barePromise, family: "bare", what: "a `setTimeout` of as long" },
    () => new Promise((resolve) => setTimeout(resolve, firesAfter))
  )
]

const firing = (): ReadonlyArray<Subject> => {
  // Cooperative timeouts need work that listens, so they would do another job.
  const candidates = Singles.timeouts(firesAfter).filter(({ name }) => name !== "cockatiel, cooperative")
  const callers = 2000
  return Work.subjectsOf(
    candidates,
    { inner: hanging, callers, failing: true },
    `${callers} calls at once`,
    waiting
  ).map((subject) => ({ ...subject, calls: callers }))
}

const keyCounts = [1, 1000, 100_000] as const
const keysName = (count: number): string => (count === 1 ? "one key" : `${count.toLocaleString("en-US")} keys`)

export const timeTables: ReadonlyArray<TimeTable> = [
  table(
    "breaker-sync",
    "Circuit breaker, closed, synchronous work",
    "A call that succeeds through a closed breaker. The work is one `Effect.sync`, or an async function that returns at once.",
    Breakers.breakers,
    Work.sync
  ),
  table(
    "parts",
    "Where the time of a call goes",
    "One part more at each line, around synchronous work: the difference of two lines is what the part costs.",
    Breakers.parts,
    Work.sync
  ),
  concurrent(
    "breaker-promise",
    "Circuit breaker, closed, work that is a promise",
    "The work waits for one microtask.",
    Work.promise
  ),
  concurrent(
    "breaker-immediate",
    "Circuit breaker, closed, work that waits for the event loop",
    "The work waits for `setImmediate`. With 100 callers the cost of the wait is shared, so the protection shows.",
    Work.immediate
  ),
  {
    kind: "time",
    name: "breaker-keys",
    title: "Circuit breaker, closed, by number of keys",
    about:
      "Callers go through the keys one after the other, so with 100,000 keys each call finds its state outside the caches.",
    prepare: async () => {
      const groups = await Promise.all(
        keyCounts.map(async (count) => {
          const candidates = await Breakers.keyedBreakers(count)
          await checkAll(candidates, Work.sync)
          return Work.subjectsOf(candidates, { inner: Work.sync }, keysName(count))
        })
      )
      return groups.flat()
    }
  },
  {
    kind: "time",
    name: "breaker-open",
    title: "Circuit breaker, open",
    about: "A call that is refused, and whose refusal is looked at: `Effect.exit`, or `try` and `catch`.",
    prepare: async () => Work.subjectsOf(await Breakers.openBreakers(), { inner: Work.sync, failing: true }, one)
  },
  table(
    "retry-success",
    "Retry, the first try succeeds",
    "What a retry costs when it is not needed.",
    Singles.retries,
    Work.sync
  ),
  table(
    "retry-failure",
    "Retry, one failure and then a success",
    "Without a pause in between. The error is made once, so no stack trace is measured.",
    Singles.immediateRetries,
    Work.flaky(),
    Work.bothTries
  ),
  {
    kind: "time",
    name: "timeout-quiet",
    title: "Timeout that does not fire",
    about: "A timeout of one second around work that ends long before.",
    prepare: async () => {
      const candidates = Singles.timeouts(1000)
      await checkAll(candidates, Work.promise)
      return [
        ...Work.subjectsOf(candidates, { inner: Work.promise }, "promise"),
        ...Work.subjectsOf(candidates, { inner: Work.sync }, "sync")
      ]
    }
  },
  {
    kind: "time",
    name: "timeout-fires",
    title: "Timeout that fires",
    about: `${firesAfter} ms around work that never ends, many at once. The overhead is what is above the bare timers.`,
    prepare: async () => firing()
  },
  table("bulkhead-free", "Bulkhead with room", "A permit is there at once.", Singles.bulkheads, Work.sync),
  {
    kind: "time",
    name: "bulkhead-queue",
    title: "Bulkhead with a long queue",
    about:
      "All callers arrive together and go through one at a time. The bare work is the same callers without a gate.",
    prepare: async (quick) => (await Promise.all(queueLengths.map((waiters) => queued(waiters, quick)))).flat()
  },
  table("fallback-unused", "Fallback that is not used", "The work succeeds.", Singles.fallbacks, Work.sync),
  {
    kind: "time",
    name: "policy-sync",
    title: "Whole policy without a timeout, synchronous work",
    about: "Retry, breaker and bulkhead around a call that succeeds; and each of them alone, for the sum.",
    prepare: async () => {
      const candidates = [...(await Stacks.stacks(false)), ...(await Stacks.singles())]
      await checkAll(candidates, Work.sync)
      return Work.subjectsOf(candidates, { inner: Work.sync }, one)
    }
  },
  table(
    "policy-shared",
    "Whole policy that a fleet shares, synchronous work",
    "Retry, breaker and bulkhead around a call that succeeds, alone and as a member of a fleet, which reports in the background.",
    Stacks.fleets,
    Work.sync
  ),
  table(
    "policy-promise",
    "Whole policy without a timeout, work that is a promise",
    "The same around work that waits for one microtask.",
    () => Stacks.stacks(false),
    Work.promise
  ),
  table(
    "policy-immediate",
    "Whole policy without a timeout, work that waits for the event loop",
    "The same around work that waits for `setImmediate`.",
    () => Stacks.stacks(false),
    Work.immediate
  ),
  table(
    "policy-timeout-sync",
    "Whole policy with a timeout, synchronous work",
    "Retry, breaker, bulkhead and timeout around a call that succeeds at once.",
    () => Stacks.stacks(true),
    Work.sync
  ),
  table(
    "policy-timeout-promise",
    "Whole policy with a timeout, work that is a promise",
    "Retry, breaker, bulkhead and timeout around work that waits for one microtask: the usual shape of a service's call.",
    () => Stacks.stacks(true),
    Work.promise
  ),
  table(
    "policy-timeout-immediate",
    "Whole policy with a timeout, work that waits for the event loop",
    "The same around work that waits for `setImmediate`.",
    () => Stacks.stacks(true),
    Work.immediate
  ),
  {
    kind: "time",
    name: "stack",
    title: "Cost by the number of policies",
    about:
      "One policy more at each step: breaker, bulkhead, retry, fallback, timeout, deadline, around synchronous work. A timeout runs the work in a fiber of its own, which is the step between 4 and 5.",
    prepare: async () => {
      const groups = await Promise.all(
        Stacks.heights.map(async (height) => {
          const candidates = await Stacks.stacked(height)
          await checkAll(candidates, Work.sync)
          return Work.subjectsOf(candidates, { inner: Work.sync }, Stacks.heightName(height))
        })
      )
      return groups.flat()
    }
  },
  table(
    "telemetry",
    "With telemetry and without",
    "The whole policy, and the same while everything looks at it: metrics, logs, spans, the record of changes, and a fleet's board.",
    watched,
    Work.sync
  ),
  {
    kind: "time",
    name: "adapters",
    title: "Whole clients",
    about:
      "A call of a client that succeeds, over a transport in memory, with retry, breaker and bulkhead around it. What the adapter adds beside the policy are the key, the marks on errors and what decides about a repeat.",
    prepare: () => adapters()
  }
]
