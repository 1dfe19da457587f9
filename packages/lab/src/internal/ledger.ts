/** The counts of a run, in slots of a tenth of a second. */
import type { Propagation } from "effect-resilience"
import type { Scenario } from "../Scenario.ts"
import { span } from "../Scenario.ts"
import { Latencies, type LatencyData } from "./latencies.ts"
import { segmentAt, timelineOf, unreachable } from "./timeline.ts"

/** Milliseconds. */
export const slotMs = 100

export class Ledger {
  /** When the first slot begins: at the start of the world or shortly before, so that a slot begins with the faults. */
  readonly origin: number
  readonly from: number
  readonly clear: number
  readonly until: number
  /** By the arrival of the call. */
  readonly offered: Float64Array
  readonly good: Float64Array
  /** By the moment at which the attempt was sent. */
  readonly attempts: Float64Array
  /** Calls that failed without an attempt, by their arrival, and those of them that would have been served. */
  readonly rejected: Float64Array
  readonly falselyRejected: Float64Array
  /** Calls answered in time without a successful attempt, by their arrival. */
  readonly degraded: Float64Array
  /** By shard: parts of calls that arrived during the fault, and those of them that were answered in time. */
  readonly offeredTo: Float64Array
  readonly goodOf: Float64Array
  /** The criticalities of the scenario, and by them: calls that arrived during the fault, and those of them that were answered in time. */
  readonly classes: ReadonlyArray<Propagation.Criticality>
  readonly offeredIn: Float64Array
  readonly goodIn: Float64Array
  /** Attempts are counted per part of a call. */
  readonly parts: number
  /** Slots in which no shard can be reached. */
  readonly unreachable: Uint8Array
  /** Latencies of calls that arrived during the fault and were answered in time. */
  readonly latencies = new Latencies()
  /** Calls that arrived during the fault and failed, and the milliseconds that their callers waited. */
  failed = 0
  failWait = 0
  calls = 0
  ended = 0
  waits = 0
  waited = 0
  worked = 0
  wasted = 0

  constructor(scenario: Scenario) {
    const { clear, from, until } = span(scenario)
    this.origin = from - Math.ceil(from / slotMs) * slotMs
    this.from = from
    this.clear = clear
    this.until = until
    const slots = Math.ceil((until - this.origin) / slotMs)
    this.offered = new Float64Array(slots)
    this.good = new Float64Array(slots)
    this.attempts = new Float64Array(slots)
    this.rejected = new Float64Array(slots)
    this.falselyRejected = new Float64Array(slots)
    this.degraded = new Float64Array(slots)
    this.offeredTo = new Float64Array(scenario.shards)
    this.goodOf = new Float64Array(scenario.shards)
    this.classes = Object.keys(scenario.classes ?? {}) as Array<Propagation.Criticality> // the schema has no other keys
    this.offeredIn = new Float64Array(this.classes.length)
    this.goodIn = new Float64Array(this.classes.length)
    this.parts = scenario.fanOut
    const timeline = timelineOf(scenario)
    this.unreachable = Uint8Array.from({ length: slots }, (_, index) =>
      segmentAt(timeline, slotStart(this, index)).shards.every(unreachable) ? 1 : 0
    )
  }

  /** Counts the end of a part of a call that arrived at `at`. */
  addPart(at: number, shard: number, isGood: boolean): void {
    if (at < this.from || at >= this.clear) return
    this.offeredTo[shard]! += 1
    if (isGood) this.goodOf[shard]! += 1
  }

  /** Adds one to the slot of a moment. Events after the end of the run are not counted. */
  add(to: Float64Array, at: number): void {
    const index = Math.floor((at - this.origin) / slotMs)
    if (index < to.length) to[index]! += 1
  }
}

/** The data of a ledger, which may come from another process. */
export type LedgerData = {
  readonly [K in keyof Ledger as Ledger[K] extends (...args: never) => unknown ? never : K]: K extends "latencies"
    ? LatencyData
    : Ledger[K]
}

/** The beginning of a slot. */
export const slotStart = ({ origin }: Pick<Ledger, "origin">, index: number): number => origin + index * slotMs

/** The slot that begins nearest to a moment. */
export const slotIndex = ({ origin }: Pick<Ledger, "origin">, moment: number): number =>
  Math.round((moment - origin) / slotMs)
