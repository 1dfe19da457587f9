/** Figures and sentences as text. */

export const percent = (share: number | undefined): string =>
  share === undefined ? "-" : `${(share * 100).toFixed(1)} %`

export const times = (value: number | undefined): string => (value === undefined ? "-" : value.toFixed(2))

export const duration = (millis: number | undefined): string => {
  if (millis === undefined) return "-"
  return millis < 1000 ? `${Math.round(millis)} ms` : `${(millis / 1000).toFixed(2)} s`
}

/** `a, b and c` */
export const list = (names: ReadonlyArray<string>): string =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`

/** Nothing that the demo writes is wider, if the terminal is not narrower. */
export const widest = 96

/** Breaks a text between words. All lines but the first begin with `indent` spaces. */
export const wrap = (text: string, width: number, indent = 0): string => {
  const lines: Array<string> = []
  let line = ""
  // A number stays with its unit.
  for (const word of text.replace(/(\d) (?=(?:%|ms|s)(?!\w))/g, "$1\u00a0").split(" ")) {
    if (line === "") line = word
    else if (line.length + 1 + word.length <= width) line += ` ${word}`
    else {
      lines.push(line)
      line = " ".repeat(indent) + word
    }
  }
  return [...lines, line].join("\n").replaceAll("\u00a0", " ")
}
