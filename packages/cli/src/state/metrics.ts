/** The state of a job in the text format of Prometheus. Names that `effect-resilience/telemetry/Metrics` has mean the same here. */
import * as Duration from "effect/Duration"
import type { Status } from "./jobs.ts"
import { budgetCapacity } from "./policies.ts"

interface Metric {
  readonly name: string
  readonly type: "counter" | "gauge"
  readonly help: string
  /** By the label that tells the series apart; `""` without one. */
  readonly values: Readonly<Record<string, number | undefined>>
  readonly label?: string
}

const states = ["closed", "open", "half-open", "isolated", "disabled"] as const

const metricsOf = ({ balance, circuit, job, lost, overrides, running, spool }: Status): ReadonlyArray<Metric> => {
  const { totals } = job
  const last = lost ?? job.last
  const runs = totals.success + totals.failure + totals.ignored
  const held = overrides.find(({ command }) => command === "isolate" || command === "disable")?.command
  const isOpened = overrides.some(({ command }) => command === "open")
  const state = held === "isolate" ? "isolated" : held === "disable" ? "disabled" : isOpened ? "open" : circuit?._tag
  const counter = (name: string, help: string, value: number): Metric => ({
    name,
    type: "counter",
    help,
    values: { "": value }
  })
  const gauge = (name: string, help: string, value: number | undefined): Metric => ({
    name,
    type: "gauge",
    help,
    values: { "": value }
  })
  const seconds = (millis: number | undefined) => (millis === undefined ? undefined : millis / 1000)
  return [
    counter(
      "resilience_calls_total",
      "Runs, those that were not admitted included.",
      runs + totals.refused + totals.late
    ),
    {
      name: "resilience_attempts_total",
      type: "counter",
      help: "Attempts that have ended, by how they count.",
      label: "outcome",
      values: {
        success: totals.success,
        failure: totals.failedAttempts,
        ignored: totals.ignored
      }
    },
    {
      name: "resilience_rejections_total",
      type: "counter",
      help: "Runs that did not begin: the circuit was open, the job was isolated, or it was too late.",
      label: "reason",
      values: { CircuitOpen: totals.refused, TooLate: totals.late }
    },
    counter("resilience_retries_total", "Retries of the job.", totals.retries),
    counter("resilience_circuit_openings_total", "Openings of the circuit, after failed probes too.", totals.openings),
    {
      name: "resilience_circuits",
      type: "gauge",
      help: "1 for the state of the circuit when the file was written.",
      label: "state",
      values: state === undefined ? {} : Object.fromEntries(states.map((one) => [one, one === state ? 1 : 0]))
    },
    gauge(
      "resilience_circuit_unhealthy_seconds",
      "The time since the circuit left closed, through failed probes; 0 when it is closed.",
      circuit === undefined
        ? undefined
        : circuit._tag === "open" || circuit._tag === "half-open"
          ? Duration.toMillis(circuit.unhealthySince) / 1000
          : 0
    ),
    gauge("resilience_budget_balance", "Retries that the budget can pay for.", balance),
    gauge(
      "resilience_budget_capacity",
      "Retries that the budget holds.",
      balance === undefined ? undefined : budgetCapacity
    ),
    gauge("resilience_overrides", "Commands of an operator that hold.", overrides.length),
    {
      name: "resilience_job_runs_total",
      type: "counter",
      help: "Runs that have ended, by how they count.",
      label: "outcome",
      values: { success: totals.success, failure: totals.failure, ignored: totals.ignored }
    },
    counter("resilience_job_run_seconds_total", "Time of the runs, all added up.", totals.millis / 1000),
    gauge("resilience_job_failures", "Failed runs in a row.", job.failures),
    {
      name: "resilience_job_spooled",
      type: "gauge",
      help: "Runs that failed for good and are kept, by state.",
      label: "state",
      values: { waiting: spool.waiting, parked: spool.parked }
    },
    gauge("resilience_job_running", "Runs that are under way.", running.length),
    gauge("resilience_job_last_exit_code", "The exit code of the last run.", last?.exit),
    gauge("resilience_job_last_duration_seconds", "How long the last run took.", seconds(last?.millis)),
    gauge("resilience_job_last_start_timestamp_seconds", "When the last run started.", seconds(last?.started)),
    gauge(
      "resilience_job_last_success_timestamp_seconds",
      "When the last successful run ended.",
      seconds(job.lastSuccess)
    )
  ]
}

/** A name has no character that a label escapes. */
export const text = (status: Status): string =>
  metricsOf(status)
    .map(({ help, label, name, type, values }) => {
      const series = Object.entries(values).filter(([, value]) => value !== undefined)
      if (series.length === 0) return ""
      const lines = series.map(([at, value]) => {
        const by = label === undefined ? "" : `,${label}="${at}"`
        return `${name}{policy="${status.name}",kind="Job"${by}} ${value}\n`
      })
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`
    })
    .join("")
