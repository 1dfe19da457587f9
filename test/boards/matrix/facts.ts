/** What rows of the matrix look for, and what they do to a fleet. */
import { isShut, isState, type Kid, until } from "./kids.ts"
import type { Backend, Request } from "./process.ts"
import type { Plan, Stage } from "./stage.ts"

export interface Row {
  readonly name: string
  readonly backends: ReadonlyArray<Backend>
  readonly plan: Plan
  /** Fails when something does not hold; returns what was measured. */
  readonly play: (stage: Stage) => Promise<string>
}

export const both: ReadonlyArray<Backend> = ["sqlite", "redis"]
export const each: ReadonlyArray<Backend> = [...both, "threads"]

export const check = (holds: boolean, problem: string): void => {
  if (!holds) throw new Error(problem)
}

export const seconds = (millis: number): string => `${(millis / 1000).toFixed(2)} s`

/** Milliseconds of a lease of a probe. */
const lease = 2000

/** Two requests at once, of which both began in touch and neither outlived its lease: two probes of one fleet. */
export const twoAtOnce = (requests: ReadonlyArray<Request>): boolean => {
  const probes = requests.filter(({ inTouch }) => inTouch).toSorted((a, b) => a.from - b.from)
  return probes.some((one, index) => {
    const next = probes[index + 1]
    return next !== undefined && next.from < one.to && next.from < one.from + lease
  })
}

/** What all have sent since this moment. Asks them first. */
export const requestsSince = async (kids: ReadonlyArray<Kid>, at: number): Promise<ReadonlyArray<Request>> => {
  await Promise.all(kids.map((kid) => kid.ask()))
  return kids.flatMap(({ requests }) => requests).filter(({ from }) => from > at)
}

/** What all have sent since this moment, those that were killed too: as far as they have reported it. */
export const allRequestsSince = async (stage: Stage, at: number): Promise<ReadonlyArray<Request>> => {
  await requestsSince(stage.living, at)
  return stage.kids.flatMap(({ requests }) => requests).filter(({ from }) => from > at)
}

export const noneOpens = async (kids: ReadonlyArray<Kid>, at: number, when: string): Promise<void> => {
  await Promise.all(kids.map((kid) => kid.ask()))
  const since = kids.map(({ openings }) =>
    openings.filter((one) => one.at > at).map((one) => ({ ...one, at: one.at - at }))
  )
  check(since.flat().length === 0, `circuits opened ${when}: ${JSON.stringify(since)}`)
}

/** Waits until these members together may use as much as this; returns how long it took. */
const reach = async (kids: ReadonlyArray<Kid>, part: "permits" | "rate", wanted: number): Promise<number> => {
  const start = Date.now()
  let last: ReadonlyArray<number> = []
  while (Date.now() - start < 60_000) {
    last = (await Promise.all(kids.map((kid) => kid.ask()))).map((report) => report[part])
    if (last.reduce((sum, one) => sum + one, 0) >= wanted) return Date.now() - start
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`members do not reach ${part} ${wanted} together: ${last}`)
}

export const permitsReach = (kids: ReadonlyArray<Kid>, wanted: number): Promise<number> =>
  reach(kids, "permits", wanted)

export const rateReaches = (kids: ReadonlyArray<Kid>, wanted: number): Promise<number> => reach(kids, "rate", wanted)

/** The fleet opens, while its dependency is down; returns how long that took. */
export const outage = async (stage: Stage): Promise<number> => {
  stage.down(true)
  return until(stage.living, "all open", isShut)
}

export const recovery = async (stage: Stage): Promise<number> => {
  stage.down(false)
  return until(stage.living, "all closed", isState("closed"))
}

/** The member that holds the lease of the probe. */
export const prober = async (kids: ReadonlyArray<Kid>): Promise<Kid> => {
  const start = Date.now()
  while (Date.now() - start < 20_000) {
    const reports = await Promise.all(kids.map((kid) => kid.ask()))
    const index = reports.findIndex(({ hasLease }) => hasLease)
    const found = kids[index]
    if (found !== undefined) return found
  }
  throw new Error("no member got the lease of a probe")
}

/** Everything works: the dependency fails and returns, and a command reaches all. */
export const works = async (stage: Stage): Promise<void> => {
  await outage(stage)
  await recovery(stage)
  const { living } = stage
  living[0]?.say("isolate")
  await until(living, "all isolated", isState("isolated"))
  living.at(-1)?.say("close")
  await until(living, "all closed by a command", isState("closed"))
}
