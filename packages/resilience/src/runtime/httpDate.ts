/** A date of HTTP (RFC 9110, section 5.6.7). `Date.parse` would take much else for one, in the local time zone. */

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

const time = String.raw`(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)`
const formats = [
  // Sun, 06 Nov 1994 08:49:37 GMT, and Sunday, 06-Nov-94 08:49:37 GMT
  new RegExp(String.raw`^[a-z]+, (?<day>\d\d)[ -](?<month>[a-z]{3})[ -](?<year>\d\d|\d{4}) ${time} gmt$`, "i"),
  // Sun Nov  6 08:49:37 1994
  new RegExp(String.raw`^[a-z]{3} (?<month>[a-z]{3}) (?<day>[\d ]\d) ${time} (?<year>\d{4})$`, "i")
]

/** Milliseconds since the epoch; `undefined` for what is no date of HTTP. */
export const parse = (text: string): number | undefined => {
  const found = (formats[0]?.exec(text) ?? formats[1]?.exec(text))?.groups
  if (found === undefined) return undefined
  const [year, day, hour, minute, second] = [found.year, found.day, found.hour, found.minute, found.second].map(Number)
  const month = months.indexOf(String(found.month).toLowerCase())
  if (month < 0 || day! < 1 || day! > 31 || hour! > 23 || minute! > 59 || second! > 60) return undefined
  // Two digits: as POSIX reads them, from 1970 on. The RFC's own rule would need a clock.
  const full = found.year!.length > 2 ? year! : year! + (year! < 70 ? 2000 : 1900)
  // 400 years later and back, which is a whole number of days: `Date.UTC` takes a year below 100 for one of the 20th century.
  // biome-ignore lint/style/noRestrictedGlobals: arithmetic of the calendar; no clock is read
  return Date.UTC(full + 400, month, day, hour, minute, second) - 146_097 * 86_400_000
}
