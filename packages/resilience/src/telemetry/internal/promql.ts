/** What rules and panels for Prometheus are written with. */

/** A string in PromQL and in YAML's double quotes: both read the escapes of JSON. */
export const quote = (text: string): string => JSON.stringify(text)

/** A duration as Prometheus writes it: `1m`, `90s`, `1h`; 0 is `0s`. */
export const span = (milliseconds: number): string => {
  const whole = Math.round(milliseconds)
  if (whole !== milliseconds && milliseconds < 1) return `${milliseconds}ms`
  for (const [unit, size] of [
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1000]
  ] as const) {
    if (whole % size === 0 && whole > 0) return `${whole / size}${unit}`
  }
  return whole === 0 ? "0s" : `${whole}ms`
}

/** Seconds, as PromQL reads them. */
export const seconds = (milliseconds: number): string => String(milliseconds / 1000)

interface Owner {
  readonly name: string
  readonly kind: string
}

/** Selects the series of one policy, by its labels and by others: `state=~"open|half-open"`. */
export const select = ({ kind, name }: Owner, metric: string, ...matchers: ReadonlyArray<string>): string =>
  `${metric}{${[`policy=${quote(name)}`, `kind=${quote(kind)}`, ...matchers].join(",")}}`

/** Text in an annotation, where Prometheus reads `{{` as the start of a template. */
export const literal = (text: string): string => text.replaceAll("{{", '{{ "{{" }}')
