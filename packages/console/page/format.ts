/** Numbers as people read them. */

const trim = (value: number, digits: number): string => String(Number(value.toFixed(digits)))

/** `850 ms`, `12 s`, `3 min 12 s`, `1 h 4 min`. */
export const duration = (millis: number): string => {
  if (millis > 0 && millis < 1) return "< 1 ms"
  if (millis < 1000) return `${Math.round(millis)} ms`
  if (millis < 10_000) return `${trim(millis / 1000, 1)} s`
  const seconds = Math.round(millis / 1000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return two(Math.floor(seconds / 60), "min", seconds % 60, "s")
  const minutes = Math.round(seconds / 60)
  if (minutes < 48 * 60) return two(Math.floor(minutes / 60), "h", minutes % 60, "min")
  return `${Math.round(minutes / 60 / 24)} days`
}

const two = (a: number, unitOfA: string, b: number, unitOfB: string): string =>
  b === 0 ? `${a} ${unitOfA}` : `${a} ${unitOfA} ${b} ${unitOfB}`

/** `-3 min`: how long until a moment. */
export const until = (now: number, at: number): string => (at <= now ? "now" : `in ${duration(at - now)}`)

export const ago = (millis: number): string => (millis < 1500 ? "just now" : `${duration(millis)} ago`)

export const count = (value: number): string =>
  value < 10_000 ? value.toLocaleString("en") : value < 1e6 ? `${trim(value / 1000, 1)}k` : `${trim(value / 1e6, 1)}M`

export const rate = (value: number): string => (value < 10 ? trim(value, 1) : count(Math.round(value)))

/** Never 100 % when something failed. */
export const percent = (share: number): string => {
  const value = share * 100
  if (value > 99 && value < 100) return `${Math.floor(value * 100) / 100} %`
  return `${trim(value, value < 10 ? 1 : 0)} %`
}

export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`

export const time = (at: number): string =>
  new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false })

export const list = (parts: ReadonlyArray<string>): string =>
  parts.length < 2 ? (parts[0] ?? "") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`
