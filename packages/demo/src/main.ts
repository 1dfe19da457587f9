/** `npm run demo`: four clients of an HTTP service that has a bad half minute. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import { Command, Flag } from "effect/cli"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import { run } from "./coordinator.ts"
import { claimsOf } from "./fleet/claims.ts"
import { runFleet } from "./fleet/run.ts"
import { scriptOf, usualSeconds } from "./fleet/script.ts"
import { rate as rateOfEach } from "./fleet/settings.ts"
import { table as claimsTable, fleetView } from "./fleet/view.ts"
import { howToWatch } from "./metrics.ts"
import { clientsView, table } from "./report.ts"
import { Screen } from "./screen.ts"
import { full, lengthOf, quick } from "./script.ts"
import { clients, deadline, timeout } from "./settings.ts"
import { wrap } from "./text.ts"
import { distrust } from "./verdict.ts"

/** A claim of the fleet does not hold. */
class ClaimFailed extends Data.TaggedError("ClaimFailed")<{}> {}

class ClosedPipe extends Data.TaggedError("ClosedPipe")<{}> {}

const between = (minimum: number, maximum: number) =>
  Flag.filter(
    (value: number) => value >= minimum && value <= maximum,
    () => `a number from ${minimum} to ${maximum}`
  )

const flags = {
  rate: Flag.Int("rate").pipe(
    Flag.withDescription("Calls a second, from 100 to 1000; the upstreams have twice that capacity (default: 200)"),
    between(100, 1000),
    Flag.withDefault(200)
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDescription("A whole number; the same seed gives the same calls at the same times (default: 1)"),
    between(0, 2 ** 31 - 1),
    Flag.withDefault(1)
  ),
  quick: Flag.Boolean("quick").pipe(
    Flag.withDescription("A short script: slow and down only, 9 seconds"),
    Flag.withDefault(false)
  ),
  metrics: Flag.Boolean("metrics").pipe(
    Flag.withDescription("Serve the metrics of policy for a Prometheus on this machine, and print how to see them"),
    Flag.withDefault(false)
  ),
  fleet: Flag.Int("fleet").pipe(
    Flag.withDescription(
      "The other demo: from 3 to 16 processes share a circuit and a budget over a SQLite file (usual: 8)"
    ),
    between(3, 16),
    Flag.optional
  ),
  redis: Flag.Boolean("redis").pipe(
    Flag.withDescription(
      "With --fleet: over a Redis server that the demo starts on a free port of the loopback interface"
    ),
    Flag.withDefault(false)
  ),
  seconds: Flag.Int("seconds").pipe(
    Flag.withDescription(`With --fleet: how long it takes, from ${usualSeconds} to 300 (default: ${usualSeconds})`),
    between(usualSeconds, 300),
    Flag.withDefault(usualSeconds)
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("Print the figures as JSON; progress goes to the error output"),
    Flag.withDefault(false)
  )
}

/** Fails when nobody reads any more. */
const pipeClosed: Effect.Effect<never, ClosedPipe> = Effect.callback((resume) => {
  const closed = () => resume(Effect.fail(new ClosedPipe()))
  process.stdout.on("error", closed)
  process.stderr.on("error", closed)
})

const about = (rate: number, seconds: number, width: number): string =>
  [
    `Four clients make the same ${rate} calls a second to an HTTP service for ${seconds} seconds. It is well, then it is not.`,
    "",
    "bare      the call alone",
    `retry     Effect.retry, exponential from 100 ms, jittered, 3 retries, ${timeout} ms for each attempt`,
    `policy    an effect-resilience Policy: the same retries and timeout, a deadline of ${deadline} ms, a retry budget, a circuit breaker and a bulkhead`,
    "adaptive  a Policy with that timeout and deadline, retries, and no other number: it learns what the others are told",
    "",
    "Each client has an upstream of its own, in a process of its own, so that none suffers from another's retries.",
    ""
  ]
    .map((text) => wrap(text, width, /^\w+ {2,}/.exec(text)?.[0].length))
    .join("\n")

interface Fleet {
  readonly size: number
  readonly redis: boolean
  readonly seconds: number
  readonly seed: number
  readonly json: boolean
}

const aboutFleet = ({ redis, seconds, size }: Fleet, width: number): string =>
  [
    `${size} processes make ${rateOfEach} calls a second each to one HTTP service, for ${seconds} seconds. They share a circuit and a retry budget over ${redis ? "a Redis server on this machine" : "a SQLite file: nothing is installed"}.`,
    "The service goes down and comes back, an operator gives commands, a process is killed, and the board is stopped while the service goes down once more. Every value below is measured.",
    ""
  ]
    .map((text) => wrap(text, width))
    .join("\n")

const shareInFleet = Effect.fnUntraced(function* (fleet: Fleet) {
  const { json, redis, seconds, seed, size } = fleet
  const script = scriptOf(seconds)
  const backend = redis ? "redis" : "sqlite"
  const screen = new Screen(json ? process.stderr : process.stdout, process.env, fleetView)
  if (!json) process.stdout.write(`${aboutFleet(fleet, screen.width)}\n`)
  const record = yield* runFleet({ backend, size, script, seed }, (moment) => screen.show(moment))
  const claims = claimsOf(record, script)
  const text = json
    ? JSON.stringify({ board: backend, processes: size, seconds, seed, claims }, undefined, 2)
    : `\n${claimsTable(claims, screen.paint, screen.width)}`
  process.stdout.write(`${text}\n`)
  if (!claims.every(({ holds }) => holds)) return yield* new ClaimFailed()
})

interface Clients {
  readonly rate: number
  readonly seed: number
  readonly quick: boolean
  readonly metrics: boolean
  readonly json: boolean
}

const allClients = Effect.fnUntraced(function* ({ json, metrics, quick: short, rate, seed }: Clients) {
  const script = short ? quick : full
  const progress = json ? process.stderr : process.stdout
  const screen = new Screen(progress, process.env, clientsView)
  if (!json) process.stdout.write(`${about(rate, lengthOf(script) / 1000, screen.width)}\n`)
  const onMetrics = metrics ? (url: string) => void progress.write(`${howToWatch(url)}\n`) : undefined
  const measured = yield* run({ script, rate, seed, onMetrics }, (moment) => screen.show(moment))
  const trusted = distrust(script, measured).length === 0
  const text = json
    ? JSON.stringify({ rate, seed, script, deadline, trusted, clients: measured }, undefined, 2)
    : `\n${table(script, measured, screen.paint, screen.width)}`
  process.stdout.write(`${text}\n`)
})

const demo = Command.make("demo", flags, ({ fleet, redis, seconds, ...ofClients }) => {
  const { json, seed } = ofClients
  const shown = Option.match(fleet, {
    onNone: () => allClients(ofClients),
    onSome: (size) => shareInFleet({ size, redis, seconds, seed, json })
  })
  return Effect.raceFirst(shown, pipeClosed)
}).pipe(
  Command.withDescription(
    [
      `Four clients (${clients.join(", ")}) under the same load, while the service they call is healthy, slow, hanging,`,
      "failing, down and healthy again. Real HTTP on loopback; all figures are measured. The calls are due at the same",
      "moments for all four. Each client has an upstream of its own, which behaves like the others: with one for all,",
      "the retries of one client would be counted against the others.",
      "",
      "With --fleet 8 another one: eight processes share a circuit and a retry budget. Exit code 1 when a claim does not hold."
    ].join("\n")
  )
)

/** As a shell says it: 128 and the number of the signal. */
const codes = { SIGINT: 130, SIGTERM: 143, SIGPIPE: 141 }
let interruptedBy: "SIGINT" | "SIGTERM" = "SIGINT"
process.once("SIGTERM", () => {
  interruptedBy = "SIGTERM"
})

const isClosedPipe = (cause: Cause.Cause<unknown>): boolean => Cause.squash(cause) instanceof ClosedPipe

/** The command line tells its own errors. */
const tell = (cause: Cause.Cause<unknown>): void => {
  const error = Cause.squash(cause)
  if (Cause.hasInterruptsOnly(cause) || isClosedPipe(cause) || error instanceof ClaimFailed) return
  if (typeof error === "object" && error !== null && "_tag" in error && error._tag === "ShowHelp") return
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`)
}

demo.pipe(
  Command.run({ version: "0.0.0" }),
  Effect.tapCause((cause) => Effect.sync(() => tell(cause))),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, done) => {
      if (Exit.isFailure(exit) && isClosedPipe(exit.cause)) return done(codes.SIGPIPE)
      Runtime.defaultTeardown(exit, (code) => done(code === codes.SIGINT ? codes[interruptedBy] : code))
    }
  })
)
