/** What a console says of the policies of a service, for a terminal. */
import { byText, spanText, table } from "../text.ts"

/** What is read of the state that `GET api/state` of `@effect-resilience/console` responds with. */
interface Policy {
  readonly name: string
  readonly kind: string
  readonly status: string
  readonly running: number
  readonly waiting: number
  readonly maxConcurrent?: number
  readonly balance?: number
  readonly capacity?: number
  readonly circuits?: Readonly<Record<string, number>>
  readonly lastError?: { readonly tag: string; readonly message: string; readonly agoMillis: number }
  readonly recent: {
    readonly attempts: number
    readonly successRate?: number
    readonly p95Millis?: number
  }
  readonly troubled: ReadonlyArray<{
    readonly key: string
    readonly circuit?: {
      readonly state: string
      readonly unhealthySinceMillis?: number
      readonly retryAfterMillis?: number
      readonly evidence?: { readonly trip: string; readonly figures: Readonly<Record<string, number>> }
    }
  }>
  readonly minute: {
    readonly calls: number
    readonly rejections: Readonly<Record<string, number>>
    readonly retries: number
  }
}

interface State {
  readonly title: string
  readonly at: number
  readonly policies: ReadonlyArray<Policy>
  readonly inForce: ReadonlyArray<{
    readonly policy: string
    readonly action: string
    readonly by: string
    readonly reason: string
    readonly until?: number | null
  }>
}

const none = "-"

const circuitText = ({ circuits, troubled }: Policy): string => {
  if (circuits === undefined) return none
  const shut = troubled.find(({ circuit }) => circuit !== undefined && circuit.state !== "closed")
  if (shut?.circuit === undefined) return "closed"
  const { evidence, retryAfterMillis, state, unhealthySinceMillis } = shut.circuit
  const since = unhealthySinceMillis === undefined ? "" : ` for ${spanText(unhealthySinceMillis)}`
  const until = retryAfterMillis === undefined ? "" : `, a probe in ${spanText(retryAfterMillis)}`
  const figures = Object.entries(evidence?.figures ?? {}).map(([name, value]) => `${name} ${Number(value.toFixed(2))}`)
  const why = evidence === undefined ? "" : `, ${evidence.trip} (${figures.join(", ")})`
  const key = shut.key === "default" ? "" : `${shut.key}: `
  return `${key}${state}${since}${until}${why}`
}

const percent = (share: number | undefined): string => (share === undefined ? none : `${(share * 100).toFixed(1)}%`)

const rowOf = (policy: Policy): ReadonlyArray<string> => {
  const { balance, capacity, lastError, maxConcurrent, minute, name, recent, running, status, waiting } = policy
  const rejected = Object.values(minute.rejections).reduce((sum, count) => sum + count, 0)
  const p95 = recent.p95Millis
  return [
    name,
    status,
    String(minute.calls),
    percent(recent.attempts === 0 ? undefined : recent.successRate),
    String(rejected),
    String(minute.retries),
    p95 === undefined ? none : spanText(p95),
    maxConcurrent === undefined
      ? String(running)
      : `${running} of ${maxConcurrent}${waiting > 0 ? ` +${waiting}` : ""}`,
    balance === undefined ? none : `${balance.toFixed(1)}${capacity === undefined ? "" : ` of ${capacity}`}`,
    circuitText(policy),
    lastError === undefined
      ? none
      : `${lastError.tag} ${spanText(lastError.agoMillis)} ago: ${lastError.message}`.trim()
  ]
}

const header = [
  "POLICY",
  "STATUS",
  "CALLS/MIN",
  "GOOD",
  "REJECTED",
  "RETRIES",
  "P95",
  "RUNNING",
  "BUDGET",
  "CIRCUIT",
  "LAST ERROR"
]

/** Throws for what is no state of a console. */
export const topText = (found: unknown): string => {
  const { at, inForce, policies, title } = found as State
  const troubled = policies.filter(({ status }) => status !== "healthy").length
  const changes = inForce.map(({ action, policy, until, ...given }) => {
    const end = typeof until === "number" ? `, ${spanText(until - at)} left` : ", without an end"
    return `  ${policy}: ${action} ${byText(given)}${end}\n`
  })
  const held = changes.length === 0 ? "" : `\nin force\n${changes.join("")}`
  return `${title === "" ? "" : `${title}: `}${policies.length} ${policies.length === 1 ? "policy" : "policies"}, ${troubled} not healthy\n\n${table([header, ...policies.map(rowOf)])}${held}`
}
