/** Numbers and moments for people. */

export const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

const spans = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000]
] as const

/** A span as the options are written, in its two largest units: `1h30m`. */
export const spanText = (millis: number): string => {
  if (millis < 1000) return `${Math.max(0, Math.round(millis))}ms`
  let rest = Math.round(millis / 1000) * 1000
  const parts: Array<string> = []
  for (const [unit, size] of spans) {
    const count = Math.floor(rest / size)
    if (count > 0) parts.push(`${count}${unit}`)
    rest -= count * size
  }
  return parts.slice(0, 2).join("")
}

const two = (value: number): string => String(value).padStart(2, "0")

/** A moment in the time zone of the machine. */
export const momentText = (moment: number): string => {
  const at = new Date(moment)
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

/** Who gave a command, and why. */
export const byText = ({ by, reason }: { readonly by: string; readonly reason: string }): string =>
  `by ${by}${reason === "" ? "" : `: ${reason}`}`

/** Rows of cells as columns. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .map((line) => `${line}\n`)
    .join("")
}
