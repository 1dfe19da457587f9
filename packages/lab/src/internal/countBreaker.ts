/** resilience4j's breaker: a window of calls, then a fixed open time, then so many probes, judged together. */
import type { Rule } from "./rule.ts"

interface Options {
  readonly window: number
  readonly minimum: number
  readonly rate: number
  /** Milliseconds. */
  readonly open: number
  readonly probes: number
}

export const breakerOf = ({
  minimum,
  open,
  probes,
  rate,
  window
}: Options): Required<Pick<Rule, "admits" | "circuit" | "ended">> => {
  let state: "closed" | "halfOpen" | "open" = "closed"
  let until = 0
  let permits = 0
  let calls: Array<boolean> = []
  let failures = 0
  const enter = (next: typeof state): void => {
    state = next
    calls = []
    failures = 0
  }
  const record = (failed: boolean, size: number): void => {
    calls.push(failed)
    if (failed) failures += 1
    if (calls.length > size && calls.shift() === true) failures -= 1
  }
  return {
    circuit: () => state,
    admits: (now) => {
      if (state === "open" && now >= until) {
        enter("halfOpen")
        permits = probes
      }
      if (state === "open") return false
      if (state === "closed") return true
      permits -= 1
      return permits >= 0
    },
    ended: (now, cause) => {
      if (state === "open") return
      const size = state === "closed" ? window : probes
      record(cause !== undefined, size)
      if (calls.length < (state === "closed" ? minimum : probes)) return
      if (failures / calls.length >= rate) {
        enter("open")
        until = now + open
      } else if (state === "halfOpen") {
        enter("closed")
      }
    }
  }
}
