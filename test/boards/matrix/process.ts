/**
 * One process, or one thread, of a fleet: it joins a fleet when it is told to, calls a dependency every 20 ms, and does what its parent says.
 * It outlives its fleets, because starting it costs more than all it does.
 */
import { DatabaseSync } from "node:sqlite"
import { isMainThread, parentPort } from "node:worker_threads"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { Effect, Fiber, Layer, Stream } from "effect"
import { Policy, Retry, type Shared, Transient, TripPolicy } from "effect-resilience"
import * as SharedRedis from "effect-resilience/shared/Redis"
import * as SharedSqlite from "effect-resilience/shared/Sqlite"
import * as SharedThreads from "effect-resilience/shared/Threads"

export type Backend = "sqlite" | "redis" | "threads"

/** A fleet, and where its board is: a path, a port, or the name that threads use. */
export interface Fleet {
  readonly name: string
  readonly backend: Backend
  readonly where: string
  readonly quorum?: number | undefined
  /** Retries per second of the whole fleet. */
  readonly floor?: number | undefined
  /** Calls that may run at once in the whole fleet. */
  readonly permits?: number | undefined
  /** Calls that may start in a second in the whole fleet, which saves up a tenth of them. */
  readonly rate?: number | undefined
  /** Milliseconds by which the wall clock of this process is wrong. */
  readonly skew?: number | undefined
}

/** What the dependency does, as this process sees it. */
export interface World {
  readonly isDown?: boolean
  /** Every second request fails: circuits stay closed, and there is something to retry. */
  readonly isFlaky?: boolean
  /** Milliseconds that a request takes. */
  readonly takes?: number
  readonly skew?: number
}

export type Order =
  | { readonly join: Fleet }
  | { readonly leave: true }
  | { readonly world: World }
  | { readonly say: "isolate" | "close"; readonly key?: string | undefined }
  /** Holds the lock of a file. */
  | { readonly hold: string }
  | { readonly ask: number; readonly key?: string | undefined }

/** A request that reached the dependency. Moments are wall time of the machine, whatever the process believes. */
export interface Request {
  readonly from: number
  readonly to: number
  readonly inTouch: boolean
  readonly hasLease: boolean
}

export interface Report {
  readonly ask: number
  readonly state: string | undefined
  readonly members: number
  readonly away: number
  readonly inTouch: boolean
  /** What the fleet has found out about the key. */
  readonly fleet: string | undefined
  readonly hasLease: boolean
  readonly calls: number
  readonly retries: number
  /** What this process may run now of the permits of the fleet. */
  readonly permits: number
  /** The calls per second that it may start now of the rate of the fleet. */
  readonly rate: number
  readonly requests: ReadonlyArray<Request>
  /** When a circuit opened, and why. */
  readonly openings: ReadonlyArray<{ readonly at: number; readonly cause: string }>
  /** What each call took to reach the dependency or to be rejected, in milliseconds. */
  readonly waits: ReadonlyArray<number>
}

export type Message = Report | { readonly ready: true } | { readonly joined: true } | { readonly held: true }

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

// The wall clock of the machine, whatever this process believes.
const machineNow = Date.now
let world: World = {}
let skew = 0
Date.now = () => machineNow() + skew

const post = (message: Message): void => {
  // That the coordinator has gone is said by the disconnect that follows.
  if (isMainThread) process.send?.(message, () => {})
  else parentPort?.postMessage(message)
}

const boardOf = ({ backend, where }: Fleet): Layer.Layer<Shared.Board, unknown> => {
  switch (backend) {
    case "sqlite":
      return SharedSqlite.layer({ path: where })
    case "threads":
      return SharedThreads.layer({ name: where })
    case "redis":
      return SharedRedis.layer().pipe(
        Layer.provide(
          NodeRedis.layer({
            socket: { host: "127.0.0.1", port: Number(where), connectTimeout: 500, reconnectStrategy: 50 },
            disableOfflineQueue: true
          })
        )
      )
  }
}

const live = Effect.fnUntraced(function* (fleet: Fleet, onOrder: (handle: (order: Order) => void) => void) {
  const { floor, name, permits, quorum = 0.5, rate } = fleet
  const breaker = { quorum, window: "500 millis", rejoin: "close" } as const
  const policy = yield* Policy.make(name, {
    breaker: {
      // More in a row than a dependency fails of which every second request does. Where permits count no circuit opens, although a
      // process that stands still for a second has calls that time out.
      trip: TripPolicy.consecutive(permits === undefined && rate === undefined ? 6 : 1000),
      openFor: { initial: "300 millis", jitter: 0 }
    },
    ...(permits !== undefined
      ? {
          timeout: "1 second",
          bulkhead: { maxConcurrent: 50 },
          shared: { breaker, bulkhead: { fleet: permits } }
        }
      : rate !== undefined
        ? {
            rateLimit: { limit: rate, window: "1 second", burst: rate / 10 },
            // What it might start before it has reached the board would come on top.
            shared: { breaker, rateLimit: { fleet: rate, alone: 0 } }
          }
        : floor !== undefined
          ? {
              retry: Retry.backoff({ base: "10 millis", times: 1 }),
              budget: { ratio: 0.01, minPerSecond: floor, initial: 0 },
              shared: { breaker, budget: true }
            }
          : { shared: { breaker } })
  } as const)
  let requests: Array<Request> = []
  let openings: Array<Report["openings"][number]> = []
  let waits: Array<number> = []
  let sent = 0
  const viewOf = (key = "default") =>
    Effect.map(policy.fleet, (view) => ({ view, circuit: view?.circuits.find((one) => one.key === key) }))
  const call = Effect.suspend(() => {
    const at = performance.now()
    let hasReached = false
    const reached = () => {
      if (!hasReached) waits.push(performance.now() - at)
      hasReached = true
    }
    const work = Effect.gen(function* () {
      reached()
      const { circuit, view } = yield* viewOf()
      const from = machineNow()
      const { isDown = false, isFlaky = false, takes = 0 } = world
      sent += 1
      if (takes > 0) yield* Effect.sleep(takes)
      requests.push({ from, to: machineNow(), inTouch: view?.inTouch === true, hasLease: circuit?.probe === true })
      if (isDown || (isFlaky && sent % 2 === 0)) return yield* new Down()
    })
    return Effect.onExit(work.pipe(policy.protect), () => Effect.sync(reached)).pipe(Effect.exit)
  })
  yield* policy.events.pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        if (event._tag === "Transition" && event.to === "open")
          openings.push({ at: event.at - skew, cause: event.cause })
      })
    ),
    Effect.forkScoped
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.forkScoped(call), Effect.sleep("20 millis"))))
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const report = (ask: number, key: string | undefined) =>
    Effect.gen(function* () {
      const { circuit, view } = yield* viewOf(key)
      const { circuit: own, totals } = yield* policy.stats(key)
      post({
        ask,
        state: own?._tag,
        members: view?.members ?? 0,
        away: view?.away ?? 0,
        inTouch: view?.inTouch === true,
        fleet: circuit?.state,
        hasLease: circuit?.probe === true,
        calls: totals.calls,
        retries: totals.retries,
        permits: view?.permits.find((one) => one.key === "default")?.here ?? 0,
        rate: view?.rates.find((one) => one.key === "default")?.here ?? 0,
        requests,
        openings,
        waits
      })
      waits = []
      requests = []
      openings = []
    })
  onOrder((order) => {
    if ("say" in order) {
      const command = { by: "ann", ...(order.key === undefined ? {} : { key: order.key }) }
      run(order.say === "isolate" ? policy.control.isolate(command) : policy.control.close(command))
    } else if ("ask" in order) run(report(order.ask, order.key))
  })
  post({ joined: true })
  return yield* Effect.never
})

let handle: (order: Order) => void = () => {}
let running: Fiber.Fiber<unknown, unknown> | undefined

const leave = async (): Promise<void> => {
  // The client of Redis does not always end while its server is gone.
  if (running !== undefined)
    await Effect.runPromise(Effect.timeoutOption(Effect.interruptible(Fiber.interrupt(running)), "2 seconds"))
  running = undefined
  world = {}
  skew = 0
}

const onOrder = async (order: Order): Promise<void> => {
  if ("join" in order) {
    await leave()
    skew = order.join.skew ?? 0
    const program = live(order.join, (take) => {
      handle = take
    })
    running = Effect.runFork(program.pipe(Effect.scoped, Effect.provide(boardOf(order.join))))
  } else if ("leave" in order) await leave()
  else if ("world" in order) {
    world = { ...world, ...order.world }
    skew = world.skew ?? skew
  } else if ("hold" in order) {
    const database = new DatabaseSync(order.hold, { timeout: 10_000 })
    database.exec("BEGIN IMMEDIATE")
    post({ held: true })
  } else handle(order)
}

/** One after the other: it leaves before it joins. */
let done: Promise<void> = Promise.resolve()
const take = (order: Order): void => {
  done = done.then(() => onOrder(order))
}

// The client of Redis warns of each reconnect.
console.warn = () => {}
if (isMainThread) {
  process.on("message", take)
  process.on("disconnect", () => process.exit(0))
} else parentPort?.on("message", take)
post({ ready: true })
