/** What a change would do: the calls of the last minutes, replayed in the lab. */
import { useState } from "preact/hooks"
import type { Outcome, Policy, Replay } from "../src/State.ts"
import * as Api from "./api.ts"
import { count, duration, percent, plural } from "./format.ts"
import { Problem, useSending } from "./sending.tsx"

const rows: ReadonlyArray<readonly [name: string, of: (outcome: Outcome) => string]> = [
  ["success", ({ success }) => percent(success)],
  ["rejected", ({ rejected }) => percent(rejected)],
  ["retries per call", ({ retries }) => String(Number(retries.toFixed(3)))],
  ["p95 of successes", ({ p95Millis }) => (p95Millis === null ? "–" : duration(p95Millis))],
  ["openings", ({ openings }) => count(Math.round(openings * 10) / 10)]
]

const Answer = ({
  of: { assumptions, calls, changed, measured, millis, present, runs, sentence }
}: {
  readonly of: Replay
}) => (
  <>
    <p>
      <b>{sentence}</b>
    </p>
    <table>
      <thead>
        <tr>
          <td />
          <th scope="col">measured</th>
          <th scope="col">now</th>
          <th scope="col">changed</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, of]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{of(measured)}</td>
            <td>{of(present)}</td>
            <td>{of(changed)}</td>
          </tr>
        ))}
      </tbody>
    </table>
    <p>
      <b>A simulation</b>, not a promise: {plural(calls, "call")} of the last {duration(millis)}, replayed {runs} times.
      The further “now” is from “measured”, the less “changed” says.
    </p>
    <details>
      <summary>What it takes for granted</summary>
      <ul>
        {assumptions.map((one) => (
          <li key={one}>{one}</li>
        ))}
      </ul>
    </details>
  </>
)

export const WhatIf = ({
  which,
  values,
  isLive
}: {
  readonly which: Policy
  readonly values: unknown
  readonly isLive: boolean
}) => {
  const [answer, setAnswer] = useState<Replay>()
  const { busy, error, send } = useSending()
  const ask = () => send(() => Api.replay({ policy: which.name, instance: which.instance, values }), setAnswer)
  return (
    <div class="whatif">
      <button type="button" disabled={busy || !isLive} onClick={() => void ask()}>
        {busy ? "Replaying the last minutes…" : "What would this do?"}
      </button>
      <Problem text={error} />
      <div role="status" aria-label="What this would do">
        {answer === undefined ? undefined : <Answer of={answer} />}
      </div>
    </div>
  )
}
