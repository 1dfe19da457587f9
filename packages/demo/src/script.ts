/** What the upstream goes through, and when. */

/**
 * - `healthy`: a call takes 40 ms on average.
 * - `slow`: four times that, so the upstream can do only half of what is asked of it.
 * - `hanging`: calls are taken up and held until the phase is over.
 * - `errors`: half of the calls end in a status 500.
 * - `down`: the process does not listen: connections are refused.
 */
export type Mode = "healthy" | "slow" | "hanging" | "errors" | "down"

interface Phase {
  readonly name: string
  readonly mode: Mode
  readonly seconds: number
}

export type Script = ReadonlyArray<Phase>

/** Each fault is followed by a healthy phase, so that recovering from it can be seen. */
export const full: Script = [
  { name: "healthy", mode: "healthy", seconds: 4 },
  { name: "slow", mode: "slow", seconds: 4 },
  { name: "after slow", mode: "healthy", seconds: 3 },
  { name: "hanging", mode: "hanging", seconds: 4 },
  { name: "after hanging", mode: "healthy", seconds: 3 },
  { name: "50 % errors", mode: "errors", seconds: 4 },
  { name: "after errors", mode: "healthy", seconds: 2 },
  { name: "down", mode: "down", seconds: 4 },
  { name: "healthy again", mode: "healthy", seconds: 4 }
]

export const quick: Script = [
  { name: "healthy", mode: "healthy", seconds: 1 },
  { name: "slow", mode: "slow", seconds: 4 },
  { name: "after slow", mode: "healthy", seconds: 2 },
  { name: "down", mode: "down", seconds: 1 },
  { name: "healthy again", mode: "healthy", seconds: 1 }
]

/** Milliseconds from the beginning to the end of each phase. */
export const ends = (script: Script): ReadonlyArray<number> => {
  let end = 0
  return script.map((phase) => (end += phase.seconds * 1000))
}

export const lengthOf = (script: Script): number => script.reduce((sum, phase) => sum + phase.seconds * 1000, 0)

/** The phase at a moment: -1 before the first, the number of phases after the last. */
export const phaseAt = (script: Script, at: number): number => {
  if (at < 0) return -1
  const index = ends(script).findIndex((end) => at < end)
  return index === -1 ? script.length : index
}

/** A phase in which the upstream gets over the fault before it. */
export const isRecovery = (script: Script, index: number): boolean =>
  script[index]?.mode === "healthy" && index > 0 && script[index - 1]?.mode !== "healthy"
