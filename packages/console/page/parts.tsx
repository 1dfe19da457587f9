/** Small pieces: badges, bars, trends, forms. */
import type { ComponentChildren } from "preact"
import type { Status, Trend } from "../src/State.ts"
import { count, duration, rate } from "./format.ts"
import { statusName } from "./words.ts"

/** A shape for each status: colour is never the only sign. */
const shapes: Readonly<Record<Status, string>> = {
  failing: "M2 2 10 10M10 2 2 10",
  isolated: "M1.5 6a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0M3 9 9 3",
  erring: "M6 1.5v5.5M6 9.5v1",
  recovering: "M6 1.5a4.5 4.5 0 1 0 4.5 4.5",
  strained: "M1.5 9.5h9M3 6.5h6M4.5 3.5h3",
  disabled: "M2 6h8",
  healthy: "M2 6.5 4.8 9 10 3"
}

export const Badge = ({ status, text }: { readonly status: Status; readonly text?: string }) => (
  <span class={`badge ${status}`}>
    <svg viewBox="0 0 12 12" aria-hidden="true">
      <path d={shapes[status]} />
    </svg>
    {text ?? statusName[status]}
  </span>
)

/** A number against its limit. */
export const Bar = ({
  label,
  now,
  limit,
  text,
  low = false,
  isBad = low ? now < 1 : now >= limit
}: {
  readonly label: string
  readonly now: number
  readonly limit: number
  readonly text: string
  /** Whether it is bad when little is left, instead of when much is taken. */
  readonly low?: boolean
  readonly isBad?: boolean
}) => {
  const share = limit <= 0 ? (now > 0 ? 1 : 0) : Math.max(0, Math.min(1, now / limit))
  const isNear = low ? share < 0.25 : share > 0.8
  return (
    <div class={`figure ${isBad ? "bad" : isNear ? "near" : ""}`}>
      <dt>{label}</dt>
      <dd>
        {text}
        <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
          <rect class="rail" width="100" height="4" />
          <rect class="fill" width={share * 100} height="4" />
        </svg>
      </dd>
    </div>
  )
}

export const Figure = ({
  label,
  children,
  bad = false
}: {
  readonly label: string
  readonly children: ComponentChildren
  readonly bad?: boolean
}) => (
  <div class={`figure ${bad ? "bad" : ""}`}>
    <dt>{label}</dt>
    <dd>{children}</dd>
  </div>
)

const width = 240
const height = 36
/** Two minutes in samples: a trend that has just begun is at the right. */
const samples = 60

const xOf = (i: number, n: number): number => ((samples - n + i) / (samples - 1)) * width

const area = (values: ReadonlyArray<number>, top: number): string => {
  if (values.length < 2 || top === 0) return ""
  const points = values.map(
    (one, i) => `${xOf(i, values.length).toFixed(1)} ${(height - (one / top) * height).toFixed(1)}`
  )
  return `M${xOf(0, values.length).toFixed(1)} ${height}L${points.join("L")}L${width} ${height}Z`
}

/** Calls of two minutes, and what of them failed or was rejected. */
export const Calls = ({ trend }: { readonly trend: Trend }) => {
  const seconds = trend.stepMillis / 1000
  const bad = trend.failures.map((n, i) => n + (trend.rejections[i] ?? 0))
  const top = Math.max(1, ...trend.calls, ...bad)
  const now = rate((trend.calls.at(-1) ?? 0) / seconds)
  const lost = trend.rejections.reduce((a, b) => a + b, 0)
  const failed = trend.failures.reduce((a, b) => a + b, 0)
  const label =
    `calls of the last two minutes: ${now} a second now, at most ${rate(Math.max(0, ...trend.calls) / seconds)}; ` +
    `${count(failed)} attempts failed, ${count(lost)} calls were rejected`
  return (
    <svg class="trend" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <path class="calls" d={area(trend.calls, top)} />
      <path class="rejected" d={area(bad, top)} />
      <path class="failed" d={area(trend.failures, top)} />
    </svg>
  )
}

/** Latency of two minutes against the timeout. */
const Latency = ({ trend, timeout }: { readonly trend: Trend; readonly timeout: number | undefined }) => {
  const known = trend.p95Millis.filter((one) => one !== null)
  const top = Math.max(1, timeout ?? 0, ...known) * 1.05
  const line = trend.p95Millis
    .map((one, i, all) =>
      one === null ? "" : `${xOf(i, all.length).toFixed(1)} ${(height - (one / top) * height).toFixed(1)}`
    )
    .filter((point) => point !== "")
  const limit = timeout === undefined ? undefined : height - (timeout / top) * height
  const label = `95th percentile of the last two minutes: ${known.length === 0 ? "none" : `at most ${duration(Math.max(...known))}`}${
    timeout === undefined ? "" : `, with a timeout of ${duration(timeout)}`
  }`
  return (
    <svg class="trend" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {limit === undefined ? undefined : <path class="limit" d={`M0 ${limit}H${width}`} />}
      {line.length < 2 ? undefined : <path class="line" d={`M${line.join("L")}`} />}
    </svg>
  )
}

/** Both trends of a policy; one that measures no latency has the first only. */
export const Trends = ({ trend, timeout }: { readonly trend: Trend; readonly timeout: number | undefined }) => (
  <div class="trends">
    <figure>
      <Calls trend={trend} />
      <figcaption>
        calls, 2 min
        {trend.rejections.some((n) => n > 0) ? <span class="key rejected">rejected</span> : undefined}
        {trend.failures.some((n) => n > 0) ? <span class="key failed">failed</span> : undefined}
      </figcaption>
    </figure>
    {trend.p95Millis.every((one) => one === null) ? undefined : (
      <figure>
        <Latency trend={trend} timeout={timeout} />
        <figcaption>p95{timeout === undefined ? "" : `, timeout ${duration(timeout)}`}</figcaption>
      </figure>
    )}
  </div>
)
