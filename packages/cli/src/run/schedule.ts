/** When a job is due, by the line of its crontab, in the time zone of the machine. */
import * as Cron from "effect/Cron"

/** The last moment at which the job was due, `now` included. */
export const dueBefore = (schedule: string, now: number): number =>
  Cron.prev(Cron.parseUnsafe(schedule), new Date(now + 1)).getTime()

/** Runs that are looked at for the longest time between two of them: those of a week, if they are daily. */
const looked = 8

/** The longest time between two runs that are due, of those that come next. */
export const longestGap = (schedule: string, now: number): number => {
  let longest = 0
  let due = dueAfter(schedule, now)
  for (let run = 0; run < looked; run++) {
    const next = dueAfter(schedule, due)
    longest = Math.max(longest, next - due)
    due = next
  }
  return longest
}

/** The next moment at which the job is due. */
export const dueAfter = (schedule: string, now: number): number =>
  Cron.next(Cron.parseUnsafe(schedule), new Date(now)).getTime()
