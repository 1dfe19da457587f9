/** Figures as people read them. */

import { median } from "../harness.ts"
import { compared, type Result, type Row } from "../model.ts"

export const whole = (value: number): string => Math.round(value).toLocaleString("en-US")

const ratio = (value: number): string =>
  value >= 100 ? whole(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2)

/** A bar or a figure: a part is written as one over something, as in "1/15". */
export const figure = (value: number, unit: "×" | "B"): string =>
  unit === "B" ? `${whole(value)} B` : value > 0 && value < 0.5 ? `1/${ratio(1 / value)}` : `${ratio(value)}×`

export const spreadShare = (row: Row): string => {
  const { mad, median: center } = row.value
  return center === 0 || mad === 0 ? "" : `± ${Math.round((100 * mad) / center)} %`
}

export const groupsOf = (rows: ReadonlyArray<Row>): ReadonlyArray<string> => [
  ...new Set(rows.map(({ group }) => group))
]

/** The row of a group that the others are compared with: the first of ours. */
const reference = (rows: ReadonlyArray<Row>, group: string): Row | undefined =>
  rows.find((row) => row.group === group && row.family === "ours")

/** How many times the cost of ours; nothing for ours itself, for bare work, and where noise ate the figure. */
export const timesOurs = (row: Row, rows: ReadonlyArray<Row>): string => {
  const ours = reference(rows, row.group)
  if (ours === undefined || row.family === "bare" || row === ours) return ""
  const times = compared(row).median / compared(ours).median
  return times > 0 && Number.isFinite(times) ? `${ratio(times)}×` : ""
}

const middle = (rows: ReadonlyArray<Row>, of: (row: Row) => number): number => median(rows.map(of))

/** Several runs of the same tables as one: the median of each figure. */
export const merged = (runs: ReadonlyArray<ReadonlyArray<Result>>): ReadonlyArray<Result> => {
  const [first = [], ...others] = runs
  if (others.length === 0) return first
  return first.map((result) => ({
    ...result,
    rows: result.rows.map((row) => {
      const same = runs
        .flatMap((results) => results.filter(({ table }) => table === result.table))
        .flatMap(({ rows }) => rows.filter(({ group, name }) => group === row.group && name === row.name))
      return {
        ...row,
        value: { median: middle(same, (one) => one.value.median), mad: middle(same, (one) => one.value.mad) },
        overhead: row.overhead && {
          median: middle(same, (one) => one.overhead?.median ?? Number.NaN),
          mad: middle(same, (one) => one.overhead?.mad ?? Number.NaN)
        }
      }
    })
  }))
}
