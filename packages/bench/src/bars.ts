/** What the library has to reach, as data: each bar with the rows that it is about. */

import { median } from "./harness.ts"
import type { Result, Row } from "./model.ts"
import { names as breaker } from "./policies/breakers.ts"
import { names as single } from "./policies/singles.ts"
import { names as whole } from "./policies/stacks.ts"
import { names as watched } from "./policies/telemetry.ts"
import { groups as bytes } from "./tables/bytes.ts"
import { groupName, keyCounts, oursName, policyName, trafficName } from "./tables/heap.ts"
import { queueLengths, queueName } from "./tables/time.ts"

interface Bar {
  readonly measure: string
  readonly against: string
  readonly table: string
  /** The largest figure that meets the bar. */
  readonly bar: number
  /** The same with each subject in a process of its own, where it is another. */
  readonly freshBar?: number | undefined
  readonly aim?: number | undefined
  /** Measured in one process only: the difference is smaller than that of two processes. */
  readonly together?: true
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
    bar: 1.3,
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
    freshBar: 0.75,
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
    bar: 1 / 8,
    aim: 1 / 10,
    unit: "×",
    figure: against(whole.ours, whole.cockatiel)
  },
  {
    measure: "whole Policy with timeout, promise work",
    against: "Effect's built-ins",
    table: "policy-timeout-promise",
    bar: 1 / 16,
    aim: 1 / 25,
    unit: "×",
    figure: against(whole.ours, whole.builtIns)
  },
  {
    measure: "whole Policy without timeout, sync work",
    against: "cockatiel `wrap`",
    table: "policy-sync",
    bar: 0.6,
    aim: 0.4,
    unit: "×",
    figure: against(whole.ours, whole.cockatiel)
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
    measure: "whole Policy that a fleet shares, no board answers; the whole call",
    against: "the same without sharing",
    table: "policy-shared",
    bar: 1.05,
    unit: "×",
    figure: (rows) => rows.value(whole.shared) / rows.value(whole.ours)
  },
  {
    measure: "a call with telemetry, the record of changes and sharing on, sync work",
    against: "the same call with all of them off",
    table: "telemetry",
    bar: 1.02,
    together: true,
    unit: "×",
    figure: (rows) => rows.value(watched.on) / rows.value(watched.off)
  },
  {
    measure: "heap per key, breaker with a window of ten buckets",
    against: "",
    table: "heap",
    bar: 250,
    aim: 200,
    unit: "B",
    figure: (rows) => rows.value(oursName, groupName(keyCounts[0]))
  },
  {
    measure: "heap per key, Policy of a breaker and a bulkhead, after one call",
    against: "",
    table: "heap",
    bar: 600,
    aim: 400,
    unit: "B",
    figure: (rows) => rows.value(policyName, groupName(keyCounts[0]))
  },
  {
    measure: "heap per key, the same Policy after 50 calls over two and a half windows",
    against: "",
    table: "heap",
    bar: 1000,
    aim: 700,
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

/** In one process all subjects of a table, or each subject in a process of its own. Both are real: a gateway, and a small service. */
type Layout = "shared" | "fresh"

export interface Verdict {
  readonly bar: Bar
  readonly layout: Layout
  /** The largest figure that meets the bar in this layout. */
  readonly limit: number
  /** The median over all rounds; `undefined` when the table was not measured or the overhead drowned in noise. */
  readonly figure: number | undefined
  /** The 95 % confidence interval of the median: a bar is met if its upper end is. */
  readonly low: number
  readonly high: number
  readonly met: "met" | "not met" | "beyond" | "not measured"
}

const find = (results: ReadonlyArray<Result>, name: string, group: string | undefined): Row => {
  const row = results.flatMap(({ rows }) => rows).find((one) => isRow(one, name, group))
  if (row === undefined) throw new Error(`a bar asks for "${name}" in "${group}", which was not measured`)
  return row
}

const isRow = (row: Row, name: string, group: string | undefined): boolean =>
  row.name === name && (group === undefined || row.group === group)

/** The figures of one round. */
const roundOf = (results: ReadonlyArray<Result>, round: number): Rows => {
  const of = (row: Row) => row.rounds[round % row.rounds.length] ?? { value: Number.NaN, overhead: undefined }
  return {
    overhead: (name, group) => {
      const { overhead, value } = of(find(results, name, group))
      return overhead ?? value
    },
    value: (name, group) => of(find(results, name, group)).value
  }
}

/** The subjects of a table that a bar compares. */
export const comparedBy = ({
  figure
}: Bar): ReadonlyArray<{ readonly name: string; readonly group: string | undefined }> => {
  const names: Array<{ readonly name: string; readonly group: string | undefined }> = []
  const note = (name: string, group?: string): number => {
    names.push({ name, group })
    return 1
  }
  figure({ overhead: note, value: note })
  return names
}

/** Whether a table has bars on ratios of times. */
export const isCompared = (table: string): boolean => bars.some((bar) => bar.table === table && bar.unit === "×")

/** The bars of tables of times that are measured with each subject in a process of its own, too. */
export const fresh = (table: string): ReadonlyArray<Bar> =>
  bars.filter((bar) => bar.table === table && bar.unit === "×" && bar.together !== true)

/** The places of the 95 % confidence interval of a median in sorted values, by the normal approximation of the binomial. */
const interval = (values: ReadonlyArray<number>): readonly [low: number, high: number] => {
  const sorted = values.toSorted((a, b) => a - b)
  const half = 0.98 * Math.sqrt(sorted.length)
  const at = (place: number): number => sorted[Math.min(sorted.length - 1, Math.max(0, place))] ?? Number.NaN
  return [at(Math.floor(sorted.length / 2 - half)), at(Math.ceil(sorted.length / 2 + half) - 1)]
}

const judge = (bar: Bar, layout: Layout, runs: ReadonlyArray<ReadonlyArray<Result>>): Verdict => {
  const figures = runs.flatMap((results) => {
    const own = results.filter(({ table }) => table === bar.table)
    if (own.length === 0) return []
    const rounds = Math.max(...comparedBy(bar).map(({ group, name }) => find(own, name, group).rounds.length))
    return Array.from({ length: rounds }, (_, round) => bar.figure(roundOf(own, round)))
  })
  const figure = median(figures)
  const [low, high] = interval(figures)
  const limit = layout === "fresh" ? (bar.freshBar ?? bar.bar) : bar.bar
  const known = { bar, layout, limit, low, high }
  // A negative overhead is the noise of the machine: no ratio can be made of it.
  if (!(figure > 0) || !Number.isFinite(figure)) return { ...known, figure: undefined, met: "not measured" }
  if (bar.aim !== undefined && high <= bar.aim) return { ...known, figure, met: "beyond" }
  return { ...known, figure, met: high <= limit ? "met" : "not met" }
}

/** What runs of whole tables say, and after each bar what runs with each subject in a process of its own say. */
export const verdicts = (
  shared: ReadonlyArray<ReadonlyArray<Result>>,
  alone: ReadonlyArray<ReadonlyArray<Result>>
): ReadonlyArray<Verdict> =>
  bars.flatMap((bar) => {
    const hasOwn = alone.some((results) => results.some(({ table }) => table === bar.table))
    return [
      judge(bar, "shared", shared),
      ...(hasOwn && bar.unit === "×" && bar.together !== true ? [judge(bar, "fresh", alone)] : [])
    ]
  })
