/** Alerting rules and a dashboard for jobs, by the metrics that `resilience run --metrics` writes. */
import * as Schedules from "../run/schedule.ts"
import { spanText } from "../text.ts"
import * as Jobs from "./jobs.ts"

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly severity: "critical" | "warning"
  readonly summary: string
  readonly description: string
}

/** The name of the job, in the texts of Prometheus. */
const job = "{{ $labels.policy }}"

const common: ReadonlyArray<Rule> = [
  {
    alert: "ResilienceJobFailing",
    expr: "resilience_job_failures >= 3",
    severity: "warning",
    summary: `${job} has failed {{ $value }} times in a row`,
    description: `See resilience status ${job} and resilience history ${job}.`
  },
  {
    alert: "ResilienceJobNotClosed",
    expr: 'resilience_circuit_unhealthy_seconds{kind="Job"} > 3600',
    severity: "critical",
    summary: `The circuit of ${job} has not been closed for {{ $value | humanizeDuration }}`,
    description: `The job is started as a probe only. See resilience status ${job}.`
  },
  {
    alert: "ResilienceJobParked",
    expr: 'resilience_job_spooled{state="parked"} > 0',
    severity: "warning",
    summary: `{{ $value }} runs of ${job} are parked`,
    description: `They failed for good, and so did their replays: resilience spool list --name ${job}.`
  },
  {
    alert: "ResilienceJobOverride",
    expr: 'resilience_overrides{kind="Job"} > 0',
    for: "1d",
    severity: "warning",
    summary: `A command of an operator has held for ${job} for a day`,
    description: `See resilience status ${job}.`
  }
]

const dayMillis = 86_400_000

/** The longest time between two moments at which a job is due, of the next ones. */
const longestGap = (schedule: string, now: number): number => {
  let longest = 0
  let due = Schedules.dueAfter(schedule, now)
  for (let step = 0; step < 40; step++) {
    const next = Schedules.dueAfter(schedule, due)
    longest = Math.max(longest, next - due)
    due = next
  }
  return longest
}

/** A job is stale when it has missed two successes that its schedule promises; without a schedule after a day. */
const staleRule = (name: string, schedule: string | undefined, now: number): Rule => {
  const limit = schedule === undefined ? dayMillis : 2 * longestGap(schedule, now)
  return {
    alert: "ResilienceJobStale",
    expr: `time() - resilience_job_last_success_timestamp_seconds{policy="${name}"} > ${Math.ceil(limit / 1000)}`,
    for: "5m",
    severity: "critical",
    summary: `${job} has not succeeded for more than ${spanText(limit)}`,
    description: `See resilience status ${job}: it fails, is not started, or its timer is off.`
  }
}

const ruleText = ({ alert, description, expr, for: time, severity, summary }: Rule): string =>
  [
    `      - alert: ${alert}`,
    `        expr: ${JSON.stringify(expr)}`,
    ...(time === undefined ? [] : [`        for: ${time}`]),
    `        labels:\n          severity: ${severity}`,
    `        annotations:\n          summary: ${JSON.stringify(summary)}\n          description: ${JSON.stringify(description)}`
  ].join("\n")

/** A rules file of Prometheus. JSON's texts are YAML's. */
export const alerts = (stateDir: string, now: number): string => {
  const stale = Jobs.statuses(stateDir, undefined, now).map(({ job, name }) => staleRule(name, job.schedule, now))
  const rules = [...common, ...stale].map(ruleText)
  return `groups:\n  - name: "resilience jobs"\n    rules:\n${rules.join("\n")}\n`
}

const panels: ReadonlyArray<readonly [title: string, unit: string, expr: string, legend: string]> = [
  ["Failed runs in a row", "short", "resilience_job_failures", "{{policy}}"],
  ["Time since the last success", "s", "time() - resilience_job_last_success_timestamp_seconds", "{{policy}}"],
  [
    "Runs per hour, by outcome",
    "short",
    "sum by (policy, outcome) (increase(resilience_job_runs_total[1h]))",
    "{{policy}} {{outcome}}"
  ],
  ["Duration of the last run", "s", "resilience_job_last_duration_seconds", "{{policy}}"],
  ["Circuits that are not closed, for", "s", 'resilience_circuit_unhealthy_seconds{kind="Job"}', "{{policy}}"],
  [
    "Runs that did not begin, per hour",
    "short",
    'increase(resilience_rejections_total{kind="Job"}[1h])',
    "{{policy}} {{reason}}"
  ],
  ["Retries per hour", "short", 'increase(resilience_retries_total{kind="Job"}[1h])', "{{policy}}"],
  ["Spool", "short", "resilience_job_spooled", "{{policy}} {{state}}"]
]

/** A dashboard of Grafana. */
export const dashboard = () => {
  const datasource = { type: "prometheus", uid: `\${datasource}` }
  return {
    title: "Jobs",
    uid: "effect-resilience-jobs",
    tags: ["resilience", "jobs"],
    schemaVersion: 39,
    time: { from: "now-24h", to: "now" },
    refresh: "1m",
    templating: { list: [{ name: "datasource", type: "datasource", query: "prometheus" }] },
    panels: panels.map(([title, unit, expr, legendFormat], index) => ({
      id: index + 1,
      type: "timeseries",
      title,
      datasource,
      gridPos: { x: (index % 2) * 12, y: Math.floor(index / 2) * 8, w: 12, h: 8 },
      fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
      targets: [{ refId: "A", datasource, expr, legendFormat, range: true }]
    }))
  }
}
