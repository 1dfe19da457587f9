/** One policy in the overview: what is wrong, what callers get, and its numbers against their limits. */
import type { Change as Core } from "effect-resilience"
import type { Key, Policy } from "../src/State.ts"
import type { Calmed } from "./calm.ts"
import { ago, count, duration, percent, plural, rate } from "./format.ts"
import { Badge, Bar, Calls, Figure, Trends } from "./parts.tsx"
import { linkTo } from "./route.ts"
import * as Words from "./words.ts"

type Change = Core.Change

const numberOf = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined)

const perSecond = ({ trend }: Policy): number => {
  const recent = trend.calls.slice(-5)
  const sum = recent.reduce((a, b) => a + b, 0)
  return recent.length === 0 ? 0 : sum / ((recent.length * trend.stepMillis) / 1000)
}

/** The numbers of a policy or of one key. */
export const Figures = ({ of, timeout }: { readonly of: Policy | Key; readonly timeout: number | undefined }) => {
  const { balance, capacity, maxConcurrent, maxQueued, recent, running, waiting } = of
  const isPolicy = "trend" in of
  const success = recent.successRate
  // A single policy measures neither.
  const isMeasured = recent.windowMillis > 0
  return (
    <dl class="figures">
      <Figure label={isPolicy ? "calls" : "calls in all"}>
        {isPolicy ? `${rate(perSecond(of))} /s` : count(of.totals.calls)}
      </Figure>
      {isMeasured ? (
        <Figure label="success" bad={success !== undefined && success < 0.9}>
          {success === undefined ? "–" : percent(success)}
        </Figure>
      ) : undefined}
      {!isMeasured ? undefined : recent.p95Millis === undefined ? (
        <Figure label="p95">–</Figure>
      ) : timeout === undefined ? (
        <Figure label="p95">{duration(recent.p95Millis)}</Figure>
      ) : (
        <Bar
          label="p95 of timeout"
          now={recent.p95Millis}
          limit={timeout}
          text={`${duration(recent.p95Millis)} of ${duration(timeout)}`}
        />
      )}
      {maxConcurrent === undefined ? (
        <Figure label="running">{count(running)}</Figure>
      ) : (
        <Bar
          label="permits"
          now={running}
          limit={maxConcurrent}
          text={`${count(running)} of ${count(maxConcurrent)}`}
          isBad={running >= maxConcurrent && waiting >= (maxQueued ?? 0)}
        />
      )}
      {maxQueued === undefined || maxQueued === 0 ? undefined : (
        <Bar label="queue" now={waiting} limit={maxQueued} text={`${count(waiting)} of ${count(maxQueued)}`} />
      )}
      {balance === undefined || capacity === undefined ? undefined : (
        <Bar
          label="budget"
          low
          now={balance}
          limit={capacity}
          text={`${count(Math.floor(balance * 10) / 10)} of ${count(capacity)} tokens`}
        />
      )}
    </dl>
  )
}

export const timeoutOf = ({ settings }: Policy): number | undefined => numberOf(settings["timeout"])

/** The change that holds a key in its state. */
export const overrideOf = (inForce: ReadonlyArray<Change>, policy: Policy, key: string): Change | undefined =>
  inForce.find(
    (change) =>
      change.policy === policy.name &&
      change.instance === policy.instance &&
      (change.key === undefined || change.key === key) &&
      ["isolate", "disable", "open"].includes(change.action)
  )

const TroubledKey = ({
  policy,
  one,
  inForce,
  now,
  alone
}: {
  readonly policy: Policy
  readonly one: Key
  readonly inForce: ReadonlyArray<Change>
  readonly now: number
  readonly alone: boolean
}) => (
  <li>
    <a href={linkTo({ name: policy.name, instance: policy.instance, key: one.key })}>
      {alone ? undefined : <Badge status={one.status} text={one.key === "" ? '""' : one.key} />}
      <span>{Words.reason(one, overrideOf(inForce, policy, one.key), now)}</span>
    </a>
  </li>
)

const Heading = ({ policy, twins }: { readonly policy: Policy; readonly twins: boolean }) => (
  <h3>
    <a href={linkTo({ name: policy.name, instance: policy.instance })}>{policy.name}</a>
    {twins ? <span class="faint"> instance {policy.instance}</span> : undefined}
  </h3>
)

const would = ({ would }: Policy): string =>
  would === undefined
    ? ""
    : Object.entries(would)
        .map(([name, n]) => `${name} ${count(n)}`)
        .join(", ")

export const Card = ({
  policy,
  calmed,
  inForce,
  now,
  twins
}: {
  readonly policy: Policy
  /** What it was a moment ago, if it is healthy. */
  readonly calmed: Calmed | undefined
  readonly inForce: ReadonlyArray<Change>
  readonly now: number
  /** Whether another live policy has its name. */
  readonly twins: boolean
}) => {
  const timeout = timeoutOf(policy)
  const callers = Words.callers(policy)
  const observed = would(policy)
  const lonely = policy.fleet === undefined ? "" : Words.fleetTrouble(policy.fleet)
  const { lastError, status, troubled, unhealthy } = policy
  const isSingle = policy.keys <= 1
  const isBad = status !== "healthy"
  const more = unhealthy - troubled.length
  return (
    <article class={`card ${status}`} aria-label={`${policy.name}, ${Words.statusName[status]}`}>
      <header>
        <Badge status={status} />
        <Heading policy={policy} twins={twins} />
        <span class="faint kind">
          {policy.mode === undefined || policy.mode === "enforce" ? "" : `${policy.mode} · `}
          {isSingle ? policy.kind : `${policy.kind} · ${plural(policy.keys, "key")}`}
        </span>
      </header>
      {calmed === undefined ? undefined : (
        <p>
          {Words.statusName[calmed.status]} {ago(calmed.agoMillis)}
        </p>
      )}
      {troubled.length === 0 ? undefined : (
        <ul class="troubled">
          {troubled.map((one) => (
            <TroubledKey key={one.key} policy={policy} one={one} inForce={inForce} now={now} alone={isSingle} />
          ))}
          {more > 0 ? (
            <li>
              <a href={linkTo({ name: policy.name, instance: policy.instance })}>and {plural(more, "more key")}</a>
            </li>
          ) : undefined}
        </ul>
      )}
      {lonely === "" ? undefined : (
        <p class="fleet">
          <b>Fleet</b> {lonely}.
        </p>
      )}
      {callers === "" ? undefined : (
        <p class="callers">
          <b>Callers get</b> {callers}.
        </p>
      )}
      {isBad && lastError !== undefined ? (
        <p class="error">
          <b>Last error</b> {lastError.tag}
          {lastError.message === "" ? "" : `: ${lastError.message}`}{" "}
          <span class="faint">
            {duration(lastError.agoMillis)} ago{isSingle ? "" : `, ${lastError.key}`}
          </span>
        </p>
      ) : undefined}
      {observed === "" ? undefined : (
        <p class="observed">
          <b>If it enforced</b> {observed}.
        </p>
      )}
      <Trends trend={policy.trend} timeout={timeout} />
      <Figures of={policy} timeout={timeout} />
    </article>
  )
}

/** A healthy policy is one line. */
export const Row = ({ policy, twins }: { readonly policy: Policy; readonly twins: boolean }) => {
  const timeout = timeoutOf(policy)
  return (
    <article class="row" aria-label={`${policy.name}, healthy`}>
      <header>
        <Badge status={policy.status} />
        <Heading policy={policy} twins={twins} />
      </header>
      <Calls trend={policy.trend} />
      <Figures of={policy} timeout={timeout} />
    </article>
  )
}
