/** What is measured, and what comes out of it. */

/** Who does the job. `bare` is the work without any protection, in the same loop. */
export type Family =
  | "bare"
  | "ours"
  | "baseline, own primitive"
  | "baseline, public API"
  | "Effect"
  | "cockatiel"
  | "opossum"
  | "p-retry"
  | "bottleneck"

/** One line of a table. */
export interface Subject {
  readonly name: string
  readonly family: Family
  /** One line: what exactly does the job here. */
  readonly what: string
  /** Subjects of one group are compared with each other only. */
  readonly group: string
  /** The bare subject of the same group whose cost is subtracted; bare subjects have none. */
  readonly over: string | undefined
  /** Does the job so many times. */
  readonly run: (calls: number) => unknown
  /** When the number of calls is part of the job (a full queue); otherwise the harness chooses. */
  readonly calls?: number | undefined
  /** At most so many rounds, for a subject that would take minutes. */
  readonly rounds?: number | undefined
}

/** A line of a table of heap sizes: what it makes is held while the heap is measured. */
export interface Holder extends Omit<Subject, "run" | "over" | "calls" | "rounds"> {
  readonly keys: number
  readonly hold: () => Held | Promise<Held>
}

export interface Held {
  readonly held: unknown
  /** Fewer than asked for when they took too long. */
  readonly keys: number
}

interface Common {
  readonly name: string
  readonly title: string
  /** A paragraph of Markdown under the title. */
  readonly about: string
}

export interface TimeTable extends Common {
  readonly kind: "time"
  readonly prepare: (quick: boolean) => Promise<ReadonlyArray<Subject>>
}

export interface BytesTable extends Common {
  readonly kind: "bytes"
  readonly prepare: (quick: boolean) => Promise<ReadonlyArray<Subject>>
}

export interface HeapTable extends Common {
  readonly kind: "heap"
  readonly prepare: (quick: boolean) => Promise<ReadonlyArray<Holder>>
}

export type Table = TimeTable | BytesTable | HeapTable

/** A median with the median absolute deviation from it. */
export interface Spread {
  readonly median: number
  readonly mad: number
}

export interface Row {
  readonly name: string
  readonly family: Family
  readonly what: string
  readonly group: string
  /** Calls per sample, or keys held. */
  readonly count: number
  /** Nanoseconds or bytes per call, or bytes per key. */
  readonly value: Spread
  /** The same above the bare subject; `undefined` for bare subjects and heap sizes. */
  readonly overhead: Spread | undefined
  /** The value and the overhead of each round, for the confidence intervals of ratios. */
  readonly rounds: ReadonlyArray<Round>
}

interface Round {
  readonly value: number
  readonly overhead: number | undefined
}

export interface Result {
  readonly table: string
  readonly kind: Table["kind"]
  readonly rows: ReadonlyArray<Row>
  /** The share of samples that were dropped because the machine was slow; of a table of times. */
  readonly slow?: number | undefined
}

export const unitOf = (kind: Table["kind"]): string =>
  kind === "time" ? "ns per call" : kind === "bytes" ? "bytes per call" : "bytes per key"

/** The figure that rows are compared by: what is on top of the bare work, where there is such a thing. */
export const compared = (row: Row): Spread => row.overhead ?? row.value
