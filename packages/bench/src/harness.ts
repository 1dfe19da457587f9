/**
 * An interleaved harness: every round runs every subject once, in a new shuffled order, after a forced collection. So
 * whatever disturbs the machine disturbs all of them, and ratios hold where absolute figures do not. A sample is the low percentile of
 * short slices; a loop of integer arithmetic around each slice marks the phases in which the machine is slow, which are dropped.
 */
import type { Holder, Row, Spread, Subject } from "./model.ts"

export interface Effort {
  /** Milliseconds of the processor that every subject runs before anything is measured, so that the compiler has seen all of them. */
  readonly heat: number
  readonly warmups: number
  readonly rounds: number
  /** Milliseconds that one slice is to take: short, so that one in ten is free of what else runs on the machine. */
  readonly slice: number
  /** Slices per sample, of which a low percentile counts. */
  readonly slices: number
  /**
   * The collection before every sample. A minor one takes less time, and leaves the code as it is; a full one also puts
   * what lives long where it will stay.
   */
  readonly collect: "major" | "minor"
  /**
   * Milliseconds that a subject runs after the collection, before its sample. V8 throws away code for hidden classes of which
   * a full collection finds no object, Effect's own included: whoever comes next would pay for compiling it again.
   */
  readonly rewarm: number
}

export const quick: Effort = { heat: 100, warmups: 1, rounds: 5, slice: 0.5, slices: 16, collect: "minor", rewarm: 2 }
export const thorough: Effort = {
  heat: 300,
  warmups: 2,
  rounds: 11,
  slice: 1,
  slices: 40,
  collect: "major",
  rewarm: 20
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

const spread = (values: ReadonlyArray<number>): Spread => {
  const center = median(values)
  return { median: center, mad: median(values.map((value) => Math.abs(value - center))) }
}

/** The same order in every run, so that two runs differ in the machine alone. */
export const randomFrom = (seed: number) => {
  let state = seed
  return (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const shuffle = <A>(values: ReadonlyArray<A>, random: () => number): ReadonlyArray<A> =>
  values
    .map((value) => ({ value, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value)

const collect = (type: "major" | "minor" = "major"): void => {
  if (globalThis.gc === undefined) throw new Error("run this with node --expose-gc")
  if (type === "major") globalThis.gc()
  else globalThis.gc({ type, execution: "sync" })
}

/** Milliseconds of one run. */
const timed = async (subject: Subject, calls: number): Promise<number> => {
  const before = process.hrtime.bigint()
  await subject.run(calls)
  return Number(process.hrtime.bigint() - before) / 1e6
}

/** Of the time of the processor, because on a busy machine the compiler gets its share of that only. */
const heat = async (subject: Subject, millis: number): Promise<void> => {
  const spent = (): number => process.cpuUsage().user / 1000
  const start = spent()
  while (spent() - start < millis) await subject.run(subject.calls ?? 200)
}

/** The least of some runs: one that the machine has interrupted would make a sample of a few calls, and of what starts them. */
const leastTime = async (subject: Subject, calls: number): Promise<number> => {
  let least = Number.POSITIVE_INFINITY
  for (let run = 0; run < 5; run++) least = Math.min(least, await timed(subject, calls))
  return least
}

/** Calls that fill one sample. */
const calibrate = async (subject: Subject, sample: number): Promise<number> => {
  let calls = 1
  let took = await leastTime(subject, calls)
  while (took < sample / 4 && calls < 1e8) {
    calls *= took < sample / 40 ? 8 : 2
    took = await leastTime(subject, calls)
  }
  return Math.max(1, Math.round((calls * sample) / Math.max(took, 1e-6)))
}

/** The paired differences from the bare subject of the same round: what the machine did to both drops out. */
const overBare = (
  subject: Subject,
  samples: ReadonlyArray<number>,
  all: ReadonlyMap<Subject, ReadonlyArray<number>>
): ReadonlyArray<number> | undefined => {
  if (subject.over === undefined) return undefined
  for (const [bare, theirs] of all) {
    if (bare.group === subject.group && bare.name === subject.over) {
      return samples.map((value, round) => value - (theirs[round] ?? Number.NaN))
    }
  }
  throw new Error(`no subject "${subject.over}" in the group "${subject.group}"`)
}

const rowOf = (
  subject: Subject,
  count: number,
  samples: ReadonlyArray<number>,
  all: ReadonlyMap<Subject, ReadonlyArray<number>>
): Row => {
  const overheads = overBare(subject, samples, all)
  return {
    name: subject.name,
    family: subject.family,
    what: subject.what,
    group: subject.group,
    count,
    value: spread(samples),
    overhead: overheads && spread(overheads),
    rounds: samples.map((value, round) => ({ value, overhead: overheads?.[round] }))
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Times
// ---------------------------------------------------------------------------------------------------------------------

/** A loop that touches no memory and calls nothing, about a tenth of a millisecond long: how fast is the machine now? */
const calibration = (): number => {
  const before = process.hrtime.bigint()
  let state = 1
  for (let i = 0; i < 40_000; i++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
  const took = Number(process.hrtime.bigint() - before)
  return state === 0 ? took + 1 : took
}

/** A slice counts if the calibration before it and the one after it took at most this much longer than those of the quiet machine. */
const slowest = 1.25

const percentile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN
}

interface Slice {
  /** Nanoseconds per call. */
  readonly value: number
  /** The slower one of the calibrations around it. */
  readonly calibration: number
}

/** A slice of a subject that chooses the number of its calls is its whole job. */
const sample = async (subject: Subject, calls: number, slices: number): Promise<ReadonlyArray<Slice>> => {
  const all: Array<Slice> = []
  let before = calibration()
  for (let slice = 0; slice < (subject.calls === undefined ? slices : 1); slice++) {
    const took = await timed(subject, calls)
    const after = calibration()
    all.push({ value: (took * 1e6) / calls, calibration: Math.max(before, after) })
    before = after
  }
  return all
}

/** The low percentile of a sample, of its slices in quiet phases; of all if there were none. */
const valueOf = (slices: ReadonlyArray<Slice>, quiet: number): number => {
  const good = slices.filter(({ calibration }) => calibration <= slowest * quiet)
  return percentile(
    (good.length === 0 ? slices : good).map(({ value }) => value),
    0.1
  )
}

export interface Times {
  readonly rows: ReadonlyArray<Row>
  /** The share of slices in slow phases of the machine. */
  readonly slow: number
}

/** Nanoseconds per call. */
export const measureTime = async (subjects: ReadonlyArray<Subject>, effort: Effort): Promise<Times> => {
  const random = randomFrom(42)
  const counts = new Map<Subject, number>()
  const samples = new Map<Subject, Array<ReadonlyArray<Slice>>>(subjects.map((subject) => [subject, []]))
  for (const subject of subjects) {
    if (subject.rounds === undefined) await heat(subject, effort.heat)
  }
  for (const subject of subjects) counts.set(subject, subject.calls ?? (await calibrate(subject, effort.slice)))
  collect()
  for (let round = -effort.warmups; round < effort.rounds; round++) {
    for (const subject of shuffle(subjects, random)) {
      if (subject.rounds !== undefined && (round < 0 || round >= subject.rounds)) continue
      const calls = counts.get(subject) ?? 1
      collect(effort.collect)
      if (subject.rounds === undefined) await heat(subject, effort.rewarm)
      const slices = await sample(subject, calls, effort.slices)
      if (round >= 0) samples.get(subject)?.push(slices)
    }
  }
  const all = [...samples.values()].flat(2).map(({ calibration }) => calibration)
  const quiet = percentile(all, 0.1)
  const values = new Map(
    Array.from(samples, ([subject, rounds]) => [subject, rounds.map((slices) => valueOf(slices, quiet))] as const)
  )
  const rows = subjects.map((subject) => rowOf(subject, counts.get(subject) ?? 1, values.get(subject) ?? [], values))
  return { rows, slow: all.filter((one) => one > slowest * quiet).length / Math.max(1, all.length) }
}

// ---------------------------------------------------------------------------------------------------------------------
// Bytes
// ---------------------------------------------------------------------------------------------------------------------

/** What fits in the young generation of a process started with {@link bytesFlags}, so that no collection falls into a sample. */
const room = 32 * 2 ** 20
const mostCalls = 5000

/** Optimized code allocates less: compiled in the background it would come into use at another call in every run. */
export const bytesFlags = ["--min-semi-space-size=128", "--max-semi-space-size=128", "--no-concurrent-recompilation"]

const allocated = async (subject: Subject, calls: number): Promise<number> => {
  collect()
  const before = process.memoryUsage().heapUsed
  await subject.run(calls)
  return process.memoryUsage().heapUsed - before
}

/** Bytes allocated per call, collected or not. */
export const measureBytes = async (
  subjects: ReadonlyArray<Subject>,
  effort: { readonly heat: number; readonly rounds: number }
): Promise<ReadonlyArray<Row>> => {
  const samples = new Map<Subject, Array<number>>(subjects.map((subject) => [subject, []]))
  const counts = new Map<Subject, number>()
  for (const subject of subjects) {
    // Only code that has been compiled allocates what it will allocate for good.
    await heat(subject, effort.heat)
    const first = (await allocated(subject, 100)) / 100
    counts.set(subject, Math.max(100, Math.min(mostCalls, Math.floor(room / Math.max(first, 1)))))
  }
  for (let round = 0; round < effort.rounds; round++) {
    for (const subject of subjects) {
      const calls = counts.get(subject) ?? 1
      samples.get(subject)?.push((await allocated(subject, calls)) / calls)
    }
  }
  return subjects.map((subject) => rowOf(subject, counts.get(subject) ?? 1, samples.get(subject) ?? [], samples))
}

const held = async (): Promise<number> => {
  // What the last turn of the event loop refers to is garbage only in the next.
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
    collect()
  }
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

/** Bytes of heap per key. */
export const measureHeap = async (holders: ReadonlyArray<Holder>): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const holder of holders) {
    const before = await held()
    const kept = [await holder.hold()]
    const keys = kept[0]?.keys ?? 0
    const bytes = ((await held()) - before) / keys
    kept.length = 0
    const { family, group, name } = holder
    const what = keys === holder.keys ? holder.what : `${holder.what}; out of patience after ${keys} keys`
    rows.push({
      name,
      family,
      what,
      group,
      count: keys,
      value: { median: bytes, mad: 0 },
      overhead: undefined,
      rounds: [{ value: bytes, overhead: undefined }]
    })
  }
  return rows
}
