/** What the library has to reach, as data: each bar with the rows that it is about. */

import { median } from "./harness.ts"
import { compared, type Result, type Row } from "./model.ts"
import { names as breaker } from "./policies/breakers.ts"
import { names as single } from "./policies/singles.ts"
import { names as whole } from "./policies/stacks.ts"
import { groups as bytes } from "./tables/bytes.ts"
import { groupName, keyCounts, oursName, policyName, trafficName } from "./tables/heap.ts"
import { queueLengths, queueName } from "./tables/time.ts"

interface Bar {
  readonly measure: string
  readonly against: string
  readonly table: string
  /** The largest figure that meets the bar. */
  readonly bar: number
  readonly aim?: number | undefined
  readonly unit: "×" | "B"
  readonly figure: (rows: Rows) => number
}

/** The rows of one table in one run. */
interface Rows {
  /** Above the bare work: nanoseconds or bytes. */
  readonly overhead: (name: string, group?: string) => number
  /** The whole, bare work included. */
  readonly value: (name: string, group?: string) => number
}

const against = (ours: string, theirs: string, group?: string) => (rows: Rows) =>
  rows.overhead(ours, group) / rows.overhead(theirs, group)

const bars: ReadonlyArray<Bar> = [
  {
    measure: "breaker closed, production shape, sync work",
    against: "plain public baseline",
    table: "breaker-sync",
    bar: 1.5,
    aim: 1,
    unit: "×",
    figure: against(breaker.production, breaker.publicBaseline)
  },
  {
    measure: "breaker closed, failure rate, sync work",
    against: "plain public baseline",
    table: "breaker-sync",
    bar: 1.5,
    aim: 1,
    unit: "×",
    figure: against(breaker.ours, breaker.publicBaseline)
  },
  {
    measure: "breaker closed, failure rate, sync work",
    against: "cockatiel's SamplingBreaker, which does the same",
    table: "breaker-sync",
    bar: 1,
    aim: 0.6,
    unit: "×",
    figure: against(breaker.ours, breaker.sampling)
  },
  {
    measure: "breaker closed, production shape, sync work",
    against: "Effect's breaker, the cheaper of its two",
    table: "breaker-sync",
    bar: 1 / 15,
    aim: 1 / 30,
    unit: "×",
    figure: (rows) =>
      rows.overhead(breaker.production) / Math.min(rows.overhead(breaker.consecutive), rows.overhead(breaker.rate))
  },
  {
    measure: "rejection, open",
    against: "`Object.create` error from the baseline on its own primitive",
    table: "breaker-open",
    bar: 1.5,
    aim: 1.1,
    unit: "×",
    figure: against(breaker.ours, breaker.ownBaseline)
  },
  {
    measure: "retry, first try succeeds",
    against: "`Effect.retry(exponential)`",
    table: "retry-success",
    bar: 1 / 10,
    unit: "×",
    figure: against(single.ours, single.exponential)
  },
  {
    measure: "timeout not firing, promise work",
    against: "`Effect.timeout`",
    table: "timeout-quiet",
    bar: 1 / 2.5,
    aim: 1 / 4,
    unit: "×",
    figure: against(single.ours, single.timeout, "promise")
  },
  {
    measure: "bulkhead with room",
    against: "`Semaphore.withPermit`",
    table: "bulkhead-free",
    bar: 1 / 1.5,
    aim: 1 / 3,
    unit: "×",
    figure: against(single.ours, single.semaphore)
  },
  {
    measure: "bulkhead, a call among 10,000 waiters",
    against: "a call among 1,000 waiters",
    table: "bulkhead-queue",
    bar: 1.3,
    unit: "×",
    figure: (rows) =>
      rows.value(single.ours, queueName(queueLengths[1])) / rows.value(single.ours, queueName(queueLengths[0]))
  },
  {
    measure: "whole Policy with timeout, promise work",
    against: "cockatiel `wrap`",
    table: "policy-timeout-promise",
    bar: 1 / 5,
    aim: 1 / 8,
    unit: "×",
    figure: against(whole.ours, whole.cockatiel)
  },
  {
    measure: "whole Policy with timeout, promise work",
    against: "Effect's built-ins",
    table: "policy-timeout-promise",
    bar: 1 / 5,
    aim: 1 / 8,
    unit: "×",
    figure: against(whole.ours, whole.builtIns)
  },
  {
    measure: "whole Policy without timeout, sync work",
    against: "the sum of its single policies",
    table: "policy-sync",
    bar: 0.7,
    unit: "×",
    figure: (rows) =>
      rows.overhead(whole.ours) /
      (rows.overhead(whole.retry) + rows.overhead(whole.breaker) + rows.overhead(whole.bulkhead))
  },
  {
    measure: "heap per key, breaker with a window of ten buckets",
    against: "",
    table: "heap",
    bar: 350,
    aim: 200,
    unit: "B",
    figure: (rows) => rows.value(oursName, groupName(keyCounts[0]))
  },
  {
    measure: "heap per key, Policy of a breaker and a bulkhead, after one call",
    against: "",
    table: "heap",
    bar: 600,
    unit: "B",
    figure: (rows) => rows.value(policyName, groupName(keyCounts[0]))
  },
  {
    measure: "heap per key, the same Policy after 50 calls over two and a half windows",
    against: "",
    table: "heap",
    bar: 1000,
    unit: "B",
    figure: (rows) => rows.value(trafficName, groupName(keyCounts[0]))
  },
  {
    measure: "bytes allocated per successful call, breaker, bare work included",
    against: "",
    table: "bytes",
    bar: 350,
    aim: 200,
    unit: "B",
    figure: (rows) => rows.value(breaker.ours, bytes.breaker)
  }
]

export interface Verdict {
  readonly bar: Bar
  /** The median of the runs; `undefined` when the table was not measured or the overhead drowned in noise. */
  readonly figure: number | undefined
  readonly met: "met" | "not met" | "beyond" | "not measured"
}

const rowsOf = (result: Result): Rows => {
  const find = (name: string, group: string | undefined): Row => {
    const row = result.rows.find((one) => one.name === name && (group === undefined || one.group === group))
    if (row === undefined) throw new Error(`a bar asks for "${name}" in "${group}", which ${result.table} has not`)
    return row
  }
  return {
    overhead: (name, group) => compared(find(name, group)).median,
    value: (name, group) => find(name, group).value.median
  }
}

const judge = (bar: Bar, runs: ReadonlyArray<ReadonlyArray<Result>>): Verdict => {
  const figures = runs
    .flatMap((results) => results.filter(({ table }) => table === bar.table))
    .map((result) => bar.figure(rowsOf(result)))
  const figure = median(figures)
  // A negative overhead is the noise of the machine: no ratio can be made of it.
  if (!(figure > 0) || !Number.isFinite(figure)) return { bar, figure: undefined, met: "not measured" }
  if (bar.aim !== undefined && figure <= bar.aim) return { bar, figure, met: "beyond" }
  return { bar, figure, met: figure <= bar.bar ? "met" : "not met" }
}

export const verdicts = (runs: ReadonlyArray<ReadonlyArray<Result>>): ReadonlyArray<Verdict> =>
  bars.map((bar) => judge(bar, runs))
