/** The keys of a policy: only those in view are in the page, and only those are asked for. */
import { useEffect, useRef, useState } from "preact/hooks"
import type { Detail, Policy } from "../src/State.ts"
import * as Api from "./api.ts"
import { count, duration, percent, plural } from "./format.ts"
import { Badge } from "./parts.tsx"
import { linkTo } from "./route.ts"

const height = 40
const page = 50

/** The keys around the view, read again with each message of the stream. */
const useKeys = (policy: Policy, prefix: string, first: number, at: number, isLive: boolean): Detail | undefined => {
  const [detail, setDetail] = useState<Detail>()
  const { instance, name } = policy
  const from = Math.max(0, Math.floor(first / 10) * 10 - 10)
  // a new message asks again
  useEffect(() => {
    if (!isLive) return
    const abort = new AbortController()
    Api.detail({ name, instance, prefix, from, limit: page }, abort.signal).then(setDetail, () => undefined)
    return () => abort.abort()
  }, [name, instance, prefix, from, at, isLive])
  return detail
}

export const Keys = ({
  policy,
  at,
  isLive,
  chosen
}: {
  readonly policy: Policy
  readonly at: number
  readonly isLive: boolean
  readonly chosen: string | undefined
}) => {
  const [prefix, setPrefix] = useState("")
  const [first, setFirst] = useState(0)
  const detail = useKeys(policy, prefix, first, at, isLive)
  const box = useRef<HTMLDivElement>(null)
  const total = detail?.matching ?? policy.keys
  const shown = detail?.keys ?? []
  const from = detail?.from ?? 0
  return (
    <section class="keys" aria-label="Keys">
      <header>
        <h3>{plural(total, "key")}</h3>
        <input
          type="search"
          aria-label="Keys that begin with"
          placeholder="key begins with…"
          value={prefix}
          maxLength={200}
          onInput={(event) => {
            setPrefix(event.currentTarget.value)
            setFirst(0)
            box.current?.scrollTo(0, 0)
          }}
        />
      </header>
      <div class="keyrow head" aria-hidden="true">
        <span>key</span>
        <span>state</span>
        <span>success</span>
        <span>p95</span>
        <span>calls</span>
      </div>
      <div ref={box} class="view" onScroll={(event) => setFirst(Math.floor(event.currentTarget.scrollTop / height))}>
        <ul
          class="space"
          aria-label={`${count(total)} keys, the most troubled first`}
          style={{ height: `${total * height}px` }}
        >
          {shown.map((one, i) => (
            <li
              key={one.key}
              aria-setsize={total}
              aria-posinset={from + i + 1}
              class={`keyrow ${one.key === chosen ? "chosen" : ""}`}
              style={{ top: `${(from + i) * height}px` }}
            >
              <a href={linkTo({ name: policy.name, instance: policy.instance, key: one.key })}>
                {one.key === "" ? '""' : one.key}
              </a>
              <Badge status={one.status} />
              <span>{one.recent.successRate === undefined ? "–" : percent(one.recent.successRate)}</span>
              <span>{one.recent.p95Millis === undefined ? "–" : duration(one.recent.p95Millis)}</span>
              <span>{count(one.totals.calls)}</span>
            </li>
          ))}
        </ul>
      </div>
    </section>
  )
}

/** One key, read again with each message of the stream. */
export const useKey = (policy: Policy | undefined, key: string | undefined, at: number, isLive: boolean) => {
  const [detail, setDetail] = useState<Detail>()
  const name = policy?.name
  const instance = policy?.instance
  // a new message asks again
  useEffect(() => {
    if (name === undefined || instance === undefined || key === undefined || !isLive) return
    const abort = new AbortController()
    Api.detail({ name, instance, key, limit: 1 }, abort.signal).then(setDetail, () => undefined)
    return () => abort.abort()
  }, [name, instance, key, at, isLive])
  return detail?.keys.find((one) => one.key === key)
}
