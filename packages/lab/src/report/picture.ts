/** The data of a chart from a comparison. */
import type * as Lab from "../Lab.ts"
import * as Oracle from "../Oracle.ts"
import * as Scenario from "../Scenario.ts"
import { type Line, none, type Picture } from "./page.ts"

const share = (value: number): number | null => (Number.isNaN(value) ? null : Math.round(1000 * value))

const tenth = (value: number): number => Math.round(10 * value) / 10

const percent = (value: number): string => `${tenth(100 * value)} %`

const labelOf = (fault: Scenario.Fault): string => {
  switch (fault.kind) {
    case "errors":
      return `${percent(fault.rate)} errors`
    case "slow":
      return `${tenth(fault.factor)}× as slow`
    case "cold":
      return `cold: ${tenth(fault.factor)}× as slow`
    case "surge":
      return `${tenth(fault.factor)}× the calls`
    case "capacity":
      return `${percent(fault.factor)} of the workers`
    case "stall":
      return fault.share === 1 ? "clients stand still" : `${percent(fault.share)} of the clients stand still`
    case "down":
    case "hang":
      return fault.kind
  }
}

const faultsOf = ({ faults }: Scenario.Scenario): Picture["faults"] =>
  faults.flatMap((fault) =>
    Array.from({ length: fault.times }, (_, time) => {
      const from = (fault.at + time * (fault.every ?? 0)) / 1000
      return { from, to: from + fault.lasts / 1000, label: labelOf(fault) }
    })
  )

const lineOf = ({ series }: Lab.Row): Line => {
  if (series === undefined) return none
  const { circuits } = series
  return {
    goodput: series.goodput.map(share),
    low: series.low.map(share),
    high: series.high.map(share),
    rejected: series.rejected.map(share),
    attempts: series.attempts.map(tenth),
    queued: series.queued.map(Math.round),
    ...(circuits === undefined
      ? {}
      : { circuits: { open: circuits.open.map(share), halfOpen: circuits.halfOpen.map(share) } })
  }
}

export const pictureOf = ({ rows, scenario }: Lab.Comparison): Picture => {
  const oracle = Oracle.of(scenario)
  const { from, until } = Scenario.span(scenario)
  const { offered = [], step = 1000 } = rows.find(({ series }) => series !== undefined)?.series ?? {}
  return {
    begin: -from / 1000,
    end: (until - from) / 1000,
    step: step / 1000,
    faults: faultsOf(scenario),
    oracle: offered.map((_, at) => share(oracle.at((at + 0.5) * step))),
    offered: offered.map(tenth),
    lines: rows.map(lineOf)
  }
}
