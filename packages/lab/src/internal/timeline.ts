/** The faults of a scenario as a row of moments at which something changes, and what holds from there on. */
import type { Fault, Scenario } from "../Scenario.ts"

/** A cache that is empty. */
export interface Cold {
  /** Work on a key that is not there takes so many times as long. */
  readonly factor: number
  readonly keys: number
}

/** How one shard is. */
export interface Condition {
  readonly down: boolean
  readonly hangs: boolean
  readonly errors: number
  readonly slow: number
  readonly capacity: number
  /** What its cache is from here on: it does not stay so. */
  readonly empties: Cold | undefined
}

export interface Piece {
  readonly at: number
  /** Calls a second. */
  readonly rate: number
  readonly shards: ReadonlyArray<Condition>
}

interface Spell {
  readonly from: number
  readonly to: number
  readonly fault: Fault
}

const spellsOf = ({ faults, warmUp }: Scenario): ReadonlyArray<Spell> =>
  faults.flatMap((fault) =>
    Array.from({ length: fault.times }, (_, time) => {
      const from = warmUp + fault.at + time * (fault.every ?? 0)
      return { from, to: from + fault.lasts, fault }
    })
  )

const hits = (fault: Fault, shard: number): boolean => fault.shards === undefined || fault.shards.includes(shard)

const healthy: Condition = { down: false, hangs: false, errors: 0, slow: 1, capacity: 1, empties: undefined }

const conditionOf = (at: number, shards: number, spells: ReadonlyArray<Spell>): Condition => {
  let condition = healthy
  for (const { fault, from } of spells) {
    switch (fault.kind) {
      case "down":
        condition = { ...condition, down: true }
        break
      case "hang":
        condition = { ...condition, hangs: true }
        break
      case "errors":
        condition = { ...condition, errors: 1 - (1 - condition.errors) * (1 - fault.rate) }
        break
      case "slow":
        condition = { ...condition, slow: condition.slow * fault.factor }
        break
      case "capacity":
        condition = { ...condition, capacity: condition.capacity * fault.factor }
        break
      case "cold":
        if (from === at) {
          condition = { ...condition, empties: { factor: fault.factor, keys: Math.ceil(fault.keys / shards) } }
        }
        break
      case "surge":
        break
    }
  }
  return condition
}

export const timelineOf = (scenario: Scenario): ReadonlyArray<Piece> => {
  const spells = spellsOf(scenario)
  const moments = [...new Set([0, ...spells.flatMap(({ from, to }) => [from, to])])].sort((a, b) => a - b)
  return moments.map((at) => {
    const there = spells.filter(({ from, to }) => from <= at && at < to)
    const surge = there.reduce((rate, { fault }) => (fault.kind === "surge" ? rate * fault.factor : rate), 1)
    return {
      at,
      rate: scenario.rate * surge,
      shards: Array.from({ length: scenario.shards }, (_, shard) =>
        conditionOf(
          at,
          scenario.shards,
          there.filter(({ fault }) => hits(fault, shard))
        )
      )
    }
  })
}

/** What holds at a moment. */
export const pieceAt = (timeline: ReadonlyArray<Piece>, moment: number): Piece => {
  let found = timeline[0]!
  for (const piece of timeline) if (piece.at <= moment) found = piece
  return found
}

export const unreachable = ({ down, hangs }: Condition): boolean => down || hangs
