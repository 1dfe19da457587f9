/** Bytes allocated per call, whether they are collected or not. */
import type { BytesTable, Subject } from "../model.ts"
import * as Breakers from "../policies/breakers.ts"
import * as Singles from "../policies/singles.ts"
import * as Stacks from "../policies/stacks.ts"
import * as Work from "../policies/work.ts"

export const groups = {
  breaker: "breaker, closed",
  open: "breaker, open",
  retry: "retry, first try succeeds",
  timeout: "timeout that does not fire, promise",
  bulkhead: "bulkhead with room",
  fallback: "fallback not used",
  policy: "whole policy",
  timed: "whole policy with a timeout, promise"
} as const

const bytesSubjects = async (): Promise<ReadonlyArray<Subject>> => [
  ...Work.subjectsOf(await Breakers.breakers(), { inner: Work.sync }, groups.breaker),
  ...Work.subjectsOf(await Breakers.openBreakers(), { inner: Work.sync, failing: true }, groups.open),
  ...Work.subjectsOf(Singles.retries(), { inner: Work.sync }, groups.retry),
  ...Work.subjectsOf(Singles.timeouts(1000), { inner: Work.promise }, groups.timeout),
  ...Work.subjectsOf(await Singles.bulkheads(), { inner: Work.sync }, groups.bulkhead),
  ...Work.subjectsOf(Singles.fallbacks(), { inner: Work.sync }, groups.fallback),
  ...Work.subjectsOf(await Stacks.stacks(false), { inner: Work.sync }, groups.policy),
  ...Work.subjectsOf(await Stacks.stacks(true), { inner: Work.promise }, groups.timed)
]

export const bytesTable: BytesTable = {
  kind: "bytes",
  name: "bytes",
  title: "Bytes allocated per call",
  about:
    "Growth of the heap over many calls without a collection, in a young generation large enough for that. Garbage is not free: it is what the pauses of the collector are made of.",
  // A call through bottleneck waits for a timer of a millisecond: thousands of them are for the thorough run.
  prepare: async (quick) => (await bytesSubjects()).filter(({ family }) => !quick || family !== "bottleneck")
}
