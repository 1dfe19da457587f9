/** One run in real time: a dependency and its clients in processes of their own, over HTTP on loopback. */
import { type Metrics, Oracle, Scenario } from "@effect-resilience/lab"
import { figuresOf } from "../../../../lab/src/internal/figures.ts"
import { Child } from "./child.ts"
import { now } from "./clock.ts"
import type { Called, Lag, Served } from "./messages.ts"

export interface Options {
  readonly scenario: Scenario.Scenario
  /** The name of a sender of the lab. */
  readonly sender: string
  readonly seed: number
  /** Ends the run, and its processes, before its time. */
  readonly signal?: AbortSignal | undefined
}

export interface Run {
  readonly seed: number
  /** Computed as in the lab. Who was refused that the dependency would have served, nobody can say here: `NaN`. */
  readonly metrics: Metrics.Metrics
  readonly calls: number
  readonly lag: { readonly clients: Lag; readonly dependency: Lag }
}

/** For both processes to get the message, and to be ready. */
const head = 200

/** Clients that have not reported so long after the end of the run, in milliseconds, never will, also on a busy machine. */
const patience = 30_000

/** How long a run takes, in milliseconds, but for a second or so. */
export const lengthOf = (scenario: Scenario.Scenario): number => Scenario.span(scenario).until + head

/** Processes that are ready. */
export interface Started {
  /** Has them run, and ends them. */
  readonly run: () => Promise<Run>
}

/** Starts the processes of a run: that takes time that other runs should not lose. */
export const start = async ({ scenario, seed, sender, signal }: Options): Promise<Started> => {
  if (scenario.shards !== 1) throw new RangeError(`real run: shards must be 1, got ${scenario.shards}`)
  signal?.throwIfAborted()
  const dependency = new Child<Served>("dependency")
  const clients = new Child<Called>("clients")
  const onAbort = () => void end()
  const end = async () => {
    signal?.removeEventListener("abort", onAbort)
    await Promise.all([dependency.end(), clients.end()])
  }
  signal?.addEventListener("abort", onAbort)
  /** Whatever comes of it, the processes end when it fails; when they were ended, that is why. */
  const guarded = async <A>(what: () => Promise<A>): Promise<A> => {
    try {
      return await what()
    } catch (error) {
      await end()
      signal?.throwIfAborted()
      throw error
    }
  }

  const [port] = await guarded(() => Promise.all([dependency.ready, clients.ready]))

  const measure = async (): Promise<Run> => {
    if (port === undefined) throw new Error("the dependency listens nowhere")
    const begin = { scenario, sender, seed, port, startsAt: now() + head }
    dependency.tell({ _tag: "Begin", begin })
    clients.tell({ _tag: "Begin", begin })
    const limit = lengthOf(scenario) + patience
    const { ledger, lag } = await Promise.race([
      clients.reportWithin(limit),
      // When it ends before its time, there is nothing left to wait for.
      dependency.report.then(() => clients.report)
    ])
    dependency.tell({ _tag: "Report" })
    const served = await dependency.reportWithin(limit)
    await end()
    const { wasted, worked } = served
    return {
      seed,
      metrics: { ...figuresOf({ ...ledger, wasted, worked }, Oracle.of(scenario)), falseRejects: NaN },
      calls: ledger.calls,
      lag: { clients: lag, dependency: served.lag }
    }
  }
  return { run: () => guarded(measure) }
}

export const run = async (options: Options): Promise<Run> => (await start(options)).run()
