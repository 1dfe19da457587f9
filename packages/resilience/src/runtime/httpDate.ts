/** A date of HTTP (RFC 9110, section 5.6.7). `Date.parse` would take much else for one, in the local time zone. */

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

const time = String.raw`(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)`
const formats = [
  // Sun, 06 Nov 1994 08:49:37 GMT
  new RegExp(String.raw`^[a-z]{3}, (?<day>\d\d) (?<month>[a-z]{3}) (?<year>\d{4}) ${time} gmt$`, "i"),
  // Sunday, 06-Nov-94 08:49:37 GMT
  new RegExp(String.raw`^[a-z]{6,9}, (?<day>\d\d)-(?<month>[a-z]{3})-(?<year>\d\d) ${time} gmt$`, "i"),
  // Sun Nov  6 08:49:37 1994
  new RegExp(String.raw`^[a-z]{3} (?<month>[a-z]{3}) (?<day>[\d ]\d) ${time} (?<year>\d{4})$`, "i")
]

/** Days from 1970-01-01 to a day of the Gregorian calendar; `month` from 0 (H. Hinnant, "chrono-compatible date algorithms"). */
const daysFromCivil = (year: number, month: number, day: number): number => {
  const shifted = month < 2 ? year - 1 : year
  const cycle = Math.floor(shifted / 400)
  const yearOfCycle = shifted - cycle * 400
  const dayOfYear = Math.floor((153 * ((month + 10) % 12) + 2) / 5) + day - 1
  return cycle * 146_097 + yearOfCycle * 365 + Math.floor(yearOfCycle / 4) - Math.floor(yearOfCycle / 100) + dayOfYear - 719_468
}

/** Milliseconds since the epoch; `undefined` for what is no date of HTTP. */
export const parse = (text: string): number | undefined => {
  for (const format of formats) {
    const found = format.exec(text)?.groups
    if (found === undefined) continue
    const month = months.indexOf(String(found.month).toLowerCase())
    const [year, day, hour, minute, second] = [found.year, found.day, found.hour, found.minute, found.second].map(
      Number
    )
    if (month < 0 || day! < 1 || day! > 31 || hour! > 23 || minute! > 59 || second! > 60) return undefined
    // Two digits: as POSIX reads them, from 1970 on. The RFC's own rule would need a clock.
    const full = found.year!.length > 2 ? year! : year! + (year! < 70 ? 2000 : 1900)
    return ((daysFromCivil(full, month, day!) * 24 + hour!) * 60 + minute!) * 60_000 + second! * 1000
  }
  return undefined
}
