/** Signals to processes that may have ended, and whether a process exists. */
import { existsSync, readdirSync, readFileSync } from "node:fs"

/** What can be sent; 0 sends nothing, and only asks whether a signal would arrive. */
type Signal = NodeJS.Signals | 0

/** Sends a signal to a process; `false` when it has ended, or may not be signalled. */
export const send = (pid: number, signal: Signal): boolean => {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/** Sends a signal to every process of a group; `leader` is `undefined` for a command that was not started. */
export const sendToGroup = (leader: number | undefined, signal: Signal): boolean =>
  // -1 would be every process, and 0 the group of this one.
  leader !== undefined && leader > 1 && send(-leader, signal)

/** Whether a process exists, of another user too. */
export const exists = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

/** The fields of a process after its name, which may hold spaces and parentheses: its state, its parent, its group, and so on. */
const fieldsOf = (pid: number | string): ReadonlyArray<string> => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")
}

/** When a process started, in ticks since the machine did; `undefined` where nothing says so. */
export const ticksOf = (pid: number): number | undefined => {
  try {
    return Number(fieldsOf(pid)[19])
  } catch {
    return undefined
  }
}

/** A process: its number may be that of another one after its end, but not with the same start. */
export interface Process {
  readonly pid: number
  readonly ticks?: number | undefined
}

/** Whether this very process exists. */
export const lives = ({ pid, ticks }: Process): boolean =>
  exists(pid) && (ticks === undefined || ticksOf(pid) === ticks)

/** The groups of the processes that were started with a line in their environment, where there is a `/proc` that says so. */
export const groupsWith = (line: string): ReadonlySet<number> => {
  const groups = new Set<number>()
  if (!existsSync("/proc/self/environ")) return groups
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(line)) continue
      groups.add(Number(fieldsOf(pid)[2]))
    } catch {
      // It has ended, or is of another user.
    }
  }
  return groups
}
