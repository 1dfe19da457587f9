// Is a policy that shares its breaker ever worse than one that does not? The senders of a fleet beside `ours`, with boards that are quick, slow,
// dead, and stopped in the middle: npx tool lab:shared; --clients, --seeds, --only S1, --senders "shared 2 ms,dead", --json.
import { parseArgs } from "node:util"
import { type Engine, Lab, Scenario, Sender } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { type CircuitBreaker, Policies, Policy, Retry, Shared } from "effect-resilience"
import { scenarioNamed } from "../../../lab/src/cli/catalogue.ts"

interface Way {
  /** Milliseconds from a member to the board and back. */
  readonly latency: number
  /** When the board stands still, in milliseconds since the world began. */
  readonly stops?: { readonly from: number; readonly to: number } | undefined
}

const boards = new WeakMap<Engine.Engine, Shared.Board["Service"]>()

/** One board in the memory of each world. */
const memoryOf = (engine: Engine.Engine): Shared.Board["Service"] => {
  const board = boards.get(engine) ?? Shared.makeMemory("lab", () => {})
  boards.set(engine, board)
  return board
}

/** The board at the end of a way. */
const boardAt = (engine: Engine.Engine, { latency, stops }: Way): Shared.Board["Service"] => {
  const board = memoryOf(engine)
  const isStopped = () => stops !== undefined && engine.now >= stops.from && engine.now < stops.to
  const go = Effect.sleep(latency / 2)
  return {
    name: "lab",
    sync: (scope, report) =>
      Effect.andThen(
        go,
        Effect.suspend(() => (isStopped() ? Effect.never : Effect.tap(board.sync(scope, report), () => go)))
      ),
    pushes: (scope, listener) =>
      board.pushes(scope, (push) => {
        if (!isStopped()) engine.after(latency / 2, () => listener(push))
      })
  }
}

interface Options {
  readonly way: (scenario: Scenario.Scenario) => Way
  readonly breaker?: Omit<CircuitBreaker.Options, "keys"> | undefined
  readonly shared?: Shared.BreakerOptions | undefined
}

const sharing = (name: string, title: string, { breaker = {}, shared = {}, way }: Options): Sender.Sender => ({
  name,
  title,
  make: (client) =>
    Effect.sync(() => {
      const { engine, scenario } = client
      if (engine === undefined) throw new RangeError("a fleet of the lab needs its world")
      const policy = engine.fork(
        Policy.make("ours", {
          deadline: scenario.deadline,
          retry: Retry.backoff(),
          budget: {},
          breaker,
          bulkhead: { maxConcurrent: Sender.permits(scenario) },
          timeout: scenario.timeout,
          shared: { breaker: shared }
        }).pipe(
          Effect.provideService(Shared.Board, boardAt(engine, way(scenario))),
          // Each client is a process.
          Effect.provideService(Policies.CurrentRegistry, Policies.makeRegistry()),
          Effect.provideService(Scope.Scope, Scope.makeUnsafe())
        )
      )
      // The first news comes before the first call, or after 100 ms at most.
      return (call: Sender.Call) =>
        Effect.flatMap(Fiber.join(policy), (made) => call.attempt.pipe(made.protect({ key: call.key })))
    })
})

const inTouch = (latency: number) => (): Way => ({ latency })

const stoppedFrom = ({ warmUp }: Scenario.Scenario): number => warmUp + 5000

const allSenders: ReadonlyArray<Sender.Sender> = [
  Sender.ours,
  sharing("shared 2 ms", "a board 2 ms away", { way: inTouch(2) }),
  sharing("shared 20 ms", "a board 20 ms away", { way: inTouch(20) }),
  sharing("dead", "a board that never answers", { way: () => ({ latency: 2, stops: { from: 0, to: Infinity } }) }),
  sharing("stopped", "a board that stands still from the fifth second of the fault on, for 15 s", {
    way: (scenario) => ({
      latency: 2,
      stops: { from: stoppedFrom(scenario), to: stoppedFrom(scenario) + 15_000 }
    })
  }),
  sharing("close", "a board 2 ms away, evidence of 500 ms, open for 250 ms, close with the fleet", {
    way: inTouch(2),
    breaker: { openFor: { initial: "250 millis" } },
    shared: { window: "500 millis", rejoin: "close" }
  })
]

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "10,50,200" },
    seeds: { type: "string", default: "3" },
    only: { type: "string", default: "S1,S2b,S5,S6,S7,S11" },
    senders: { type: "string", default: "" },
    json: { type: "boolean", default: false }
  }
})

/** The first is always there: the others are compared with it. */
const senders = allSenders.filter(
  ({ name }, at) => at === 0 || values.senders === "" || values.senders.split(",").includes(name)
)

const percent = (value: number): string => (Number.isNaN(value) ? "-" : `${(value * 100).toFixed(2)} %`)

const rows: Array<Readonly<Record<string, string | number>>> = []
for (const name of values.only.split(",")) {
  const input = scenarioNamed(name)
  for (const clients of name === "S11" ? [1000] : values.clients.split(",").map(Number)) {
    const scenario = Scenario.make({ ...input, clients })
    const { rows: compared } = Lab.compare({ scenario, senders, seeds: Number(values.seeds) })
    const alone = compared[0]?.runs.map(({ metrics }) => metrics.regret) ?? []
    for (const { runs, sender, summary } of compared) {
      const attempts = runs.reduce((sum, run) => sum + run.attempts, 0) / runs.reduce((sum, run) => sum + run.calls, 0)
      // Of the same seed, so that the luck of a seed is not taken for a difference.
      const more = runs.map(({ metrics }, i) => metrics.regret - (alone[i] ?? Number.NaN))
      const row = {
        scenario: name,
        clients,
        sender,
        regret: percent(summary.regret.median),
        more: percent(more.reduce((sum, one) => sum + one, 0) / more.length),
        most: percent(Math.max(...more)),
        leak: percent(summary.leak.median),
        attempts: attempts.toFixed(3),
        detection: `${(summary.detection.median / 1000).toFixed(2)} s`,
        recovery: `${(summary.recovery.median / 1000).toFixed(2)} s`
      }
      rows.push(row)
      if (!values.json)
        console.log(
          Object.values(row)
            .map((cell, i) => String(cell).padStart([4, 5, 13, 9, 9, 9, 9, 7, 9, 9][i] ?? 9))
            .join(" ")
        )
    }
  }
}
if (values.json) console.log(JSON.stringify(rows, undefined, 2))
