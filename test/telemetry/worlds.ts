/** What Prometheus has scraped of one policy, every 15 seconds, healthy but for what a test changes. */
import type { World } from "./promtool.ts"

const interval = 15

type Step = (second: number) => number

/** The value at each scrape from 0 seconds on. */
const sampled = (length: number, value: Step): ReadonlyArray<number> =>
  Array.from({ length: length / interval + 1 }, (_, i) => value(i * interval))

/** A counter that grows by `rate` per second. */
const counter =
  (rate: Step): Step =>
  (second) => {
    let total = 0
    for (let i = 0; i < second; i++) total += rate(i)
    return total
  }

const constant =
  (value: number): Step =>
  () =>
    value

const owner = 'policy="app/Payments",kind="Policy",job="app",instance="a:1"'

const series = (metric: string, labels = ""): string => `${metric}{${owner}${labels === "" ? "" : `,${labels}`}}`

const states = ["closed", "open", "half-open", "isolated", "disabled"] as const
type State = (typeof states)[number]

const bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

export interface Changes {
  /** The state of its one circuit at each second. */
  readonly state?: (second: number) => State
  /** Openings in each second. */
  readonly openings?: Step
  /** Share of each second that the circuit is open. */
  readonly openTime?: Step
  readonly unhealthy?: Step
  readonly rejections?: Step
  readonly refusedRetries?: Step
  readonly running?: Step
  /** Changes of permits in force that have no end. */
  readonly openEnded?: Step
  /** Whether another process of it, at each second, is in touch with the board; this one is. */
  readonly inTouch?: Step
  /** Seconds that every attempt takes. */
  readonly latency?: Step
}

/** A policy with every part, 10 calls a second, of 10 permits 2 taken, for `length` seconds. */
export const world = (length: number, changes: Changes = {}): World => {
  const {
    inTouch = constant(1),
    latency = constant(0.2),
    openings = constant(0),
    openEnded = constant(0),
    openTime = constant(0),
    refusedRetries = constant(0),
    rejections = constant(0),
    running = constant(2),
    state = () => "closed",
    unhealthy = constant(0)
  } = changes
  const steps: Record<string, Step> = {
    [series("resilience_calls_total")]: counter(constant(10)),
    [series("resilience_rejections_total", 'reason="CircuitOpen"')]: counter(rejections),
    [series("resilience_rejections_total", 'reason="BulkheadFull"')]: constant(0),
    [series("resilience_rejections_total", 'reason="DeadlineExceeded"')]: constant(0),
    [series("resilience_retry_giveups_total", 'reason="budget"')]: counter(refusedRetries),
    [series("resilience_circuit_openings_total")]: counter(openings),
    [series("resilience_circuit_unhealthy_seconds")]: unhealthy,
    [series("resilience_circuit_time_seconds_total", 'state="open"')]: counter(openTime),
    [series("resilience_circuit_time_seconds_total", 'state="closed"')]: counter((second) => 1 - openTime(second)),
    [series("resilience_overrides", 'action="resize",open_ended="true"')]: openEnded,
    [series("resilience_overrides", 'action="resize",open_ended="false"')]: constant(1),
    [series("resilience_fleet_in_touch")]: constant(1),
    [series("resilience_fleet_in_touch").replace("a:1", "b:1")]: inTouch,
    [series("resilience_bulkhead_running")]: running,
    [series("resilience_bulkhead_max_concurrent")]: constant(10)
  }
  for (const one of states) {
    steps[series("resilience_circuits", `state="${one}"`)] = (second) => (state(second) === one ? 1 : 0)
  }
  for (const bound of [...bounds, Infinity]) {
    const le = bound === Infinity ? "+Inf" : String(bound)
    steps[series("resilience_attempt_duration_seconds_bucket", `le="${le}"`)] = counter((second) =>
      latency(second) <= bound ? 10 : 0
    )
  }
  return Object.fromEntries(Object.entries(steps).map(([name, step]) => [name, sampled(length, step)]))
}
