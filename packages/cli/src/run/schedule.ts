/** When a job is due, by the line of its crontab, in the time zone of the machine. */
import * as Cron from "effect/Cron"

/** The last moment at which the job was due, `now` included. */
export const dueBefore = (schedule: string, now: number): number =>
  Cron.prev(Cron.parseUnsafe(schedule), new Date(now + 1)).getTime()

/** The next moment at which the job is due. */
export const dueAfter = (schedule: string, now: number): number =>
  Cron.next(Cron.parseUnsafe(schedule), new Date(now)).getTime()
