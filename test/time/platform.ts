/** A platform with timers as bad as are allowed: `setTimeout` truncates its delay, and fires up to a millisecond early. */
interface Waiting {
  readonly at: number
  readonly run: () => void
}

export interface Platform {
  readonly now: () => number
  /** Moves the time, fires what is due, and lets fibers run in between. */
  readonly advance: (millis: number) => Promise<void>
  /** Timers that were set, and those that are waiting. */
  readonly counts: () => { readonly set: number; readonly waiting: number }
  readonly restore: () => void
}

const real = { setTimeout, clearTimeout, performance }

export const install = (early = 0.9): Platform => {
  let now = 1000.123
  let set = 0
  let last = 0
  const waiting = new Map<number, Waiting>()
  const fakes = {
    setTimeout: (run: () => void, delay: number) => {
      set += 1
      waiting.set(++last, { at: now + Math.max(1, Math.trunc(delay)) - early, run })
      return last
    },
    clearTimeout: (handle: number) => void waiting.delete(handle),
    performance: { now: () => now }
  }
  const turns = async () => {
    for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => void setImmediate(resolve))
  }
  Object.assign(globalThis, fakes)
  return {
    now: () => now,
    counts: () => ({ set, waiting: waiting.size }),
    restore: () => void Object.assign(globalThis, real),
    advance: async (millis) => {
      const until = now + millis
      for (;;) {
        const [next] = [...waiting].sort(([, a], [, b]) => a.at - b.at)
        if (next === undefined || next[1].at > until) break
        waiting.delete(next[0])
        now = Math.max(now, next[1].at)
        next[1].run()
        await turns()
      }
      now = until
      await turns()
    }
  }
}
