/** Signals to processes that may have ended, and whether a process exists. */

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
  leader !== undefined && send(-leader, signal)

/** Whether a process exists, of another user too. */
export const exists = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}
