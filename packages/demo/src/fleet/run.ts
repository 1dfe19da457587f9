/** Starts a fleet of processes on one board, does to it what the script says, and records what it does. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { type Child, type ChildEnded, spawn } from "../children.ts"
import { lead, type TookTooLong, within } from "../coordinator.ts"
import type { Begin, Command, FromBoard, FromMember, FromUpstream, Start, ToBoard } from "../messages.ts"
import { random } from "../random.ts"
import { lengthOf, type Script } from "../script.ts"
import { now } from "../settings.ts"
import { addSeen, type Given, type Member, nothingSeen, type Record } from "./record.ts"
import { type Act, span } from "./script.ts"
import { type Backend, rate, tick } from "./settings.ts"
import type { Moment } from "./view.ts"

class NoBoard extends Data.TaggedError("NoBoard")<{ readonly message: string }> {}

export interface Options {
  readonly backend: Backend
  /** Processes. */
  readonly size: number
  readonly script: Script
  readonly seed: number
}

type Failed = ChildEnded | TookTooLong | NoBoard

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "resilience-demo-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const startBoard = Effect.fnUntraced(function* (backend: Backend) {
  const where = yield* Deferred.make<string, NoBoard>()
  const path = yield* directory
  const child = yield* spawn<FromBoard, ToBoard>("fleet/board", [backend, path], "the board", (message) => {
    if (message._tag === "Where") Deferred.doneUnsafe(where, Effect.succeed(message.where))
    else Deferred.doneUnsafe(where, Effect.fail(new NoBoard({ message: message.problem })))
  })
  return { child, where: yield* Deferred.await(where).pipe(within(30_000, "the board")) }
})

const startUpstream = Effect.fnUntraced(function* () {
  const port = yield* Deferred.make<number>()
  const child = yield* spawn<FromUpstream, Start | Begin>("upstream", [], "the upstream", (message) => {
    if (message._tag === "Ready") Deferred.doneUnsafe(port, Effect.succeed(message.port))
  })
  return { child, port: Deferred.await(port) }
})

interface Process {
  readonly child: Child<Start | Begin | Command>
  readonly seen: Member
  readonly ready: Effect.Effect<void>
}

/** What one run knows of time: nothing has begun at `Infinity`. */
class Course {
  startsAt = Infinity
  readonly at = (): number => now() - this.startsAt
}

const startMember = Effect.fnUntraced(function* (backend: Backend, where: string, index: number, course: Course) {
  const seen = nothingSeen()
  const ready = yield* Deferred.make<void>()
  const args = [backend, where, String(index)]
  const child = yield* spawn<FromMember, Start | Begin | Command>(
    "fleet/member",
    args,
    `process ${index + 1}`,
    (message) => {
      if (message._tag === "Ready") Deferred.doneUnsafe(ready, Effect.void)
      else addSeen(seen, message, course.at(), course.startsAt)
    }
  )
  return { child, seen, ready: Deferred.await(ready) } satisfies Process
})

/** The commands of an operator, one after the other, in processes at random. */
const commandsIn = (script: Script): ReadonlyArray<Given> => {
  const { from, to } = span(script, "commands")
  const first = from + 0.1 * (to - from)
  const rounds = 8
  const during = Array.from({ length: rounds }, (_, index) => ({
    to: index % 2 === 0 ? "isolated" : "closed",
    at: first + (0.85 * (to - from) * index) / rounds
  }))
  const back = span(script, "board back")
  const late = (part: number, to: string) => ({ to, at: back.from + part * (back.to - back.from) })
  return [...during, late(0.8, "isolated"), late(0.9, "closed")]
}

interface Event {
  readonly at: number
  readonly what: string
  readonly does: Effect.Effect<void>
}

/** What is done to the fleet, in its order. */
const eventsOf = (
  { script, seed }: Options,
  board: Child<ToBoard>,
  members: ReadonlyArray<Process>,
  given: Array<Given>,
  course: Course
): ReadonlyArray<Event> => {
  const next = random(seed)
  const anyOf = (processes: ReadonlyArray<Process>): number => Math.floor(next() * processes.length)
  const start = (act: Act) => span(script, act)
  const commands = commandsIn(script).map(({ at, to }): Event => {
    const index = anyOf(members)
    const command = to === "isolated" ? "isolate" : "close"
    const does = Effect.suspend(() => {
      // Not in the process that was killed.
      const living = members.filter(({ seen }) => seen.killedAt === Infinity)
      given.push({ to, at: course.at() })
      return living[index % living.length]?.child.tell({ _tag: "Command", command }) ?? Effect.void
    })
    return { at, what: `an operator says ${command} in one process`, does }
  })
  const killed = start("killed")
  const victim = anyOf(members)
  const kill = Effect.suspend(() => {
    const one = members[victim]
    if (one === undefined) return Effect.void
    one.seen.killedAt = course.at()
    return one.child.kill
  })
  const events: ReadonlyArray<Event> = [
    { at: start("down").from, what: "the service goes down", does: Effect.void },
    { at: start("back").from, what: "the service is back", does: Effect.void },
    ...commands,
    { at: killed.from, what: "half of the requests fail", does: Effect.void },
    { at: killed.from + 0.3 * (killed.to - killed.from), what: `process ${victim + 1} is killed`, does: kill },
    { at: start("board stopped").from, what: "the board stops", does: board.tell({ _tag: "Stop" }) },
    { at: start("down, alone").from, what: "the service goes down", does: Effect.void },
    { at: start("back, alone").from, what: "the service is back", does: Effect.void },
    { at: start("board back").from, what: "the board is back", does: board.tell({ _tag: "GoOn" }) }
  ]
  return events.toSorted((a, b) => a.at - b.at)
}

const allInTouch = (members: ReadonlyArray<Process>): boolean =>
  members.every(({ seen }) => {
    const last = seen.samples.at(-1)
    return last?.inTouch === true && last.members === members.length
  })

const follow = Effect.fnUntraced(function* (
  options: Options,
  board: Child<ToBoard>,
  upstream: Effect.Success<ReturnType<typeof startUpstream>>,
  members: ReadonlyArray<Process>,
  course: Course,
  show: (moment: Moment) => void
) {
  const { script, seed, size } = options
  const all: ReadonlyArray<Child<Start | Begin>> = [upstream.child, ...members.map(({ child }) => child)]
  const port = yield* upstream.port.pipe(within(60_000, "the start of the upstream"))
  yield* Effect.forEach(members, ({ ready }) => ready).pipe(within(60_000, "the start of the processes"))
  const run = { script, rate: rate * size, seed }
  yield* Effect.forEach(all, ({ tell }) => tell({ _tag: "Start", run, port, warmsUpAt: now() }))
  let last = ""
  const showing = Effect.sync(() =>
    show({
      script,
      at: course.at(),
      length: lengthOf(script),
      last,
      members: members.map(({ seen }) => seen)
    })
  )
  yield* Effect.forkChild(Effect.repeat(showing, Schedule.spaced(tick)))
  const waiting = Effect.repeat(Effect.sleep(tick), { while: () => !allInTouch(members) })
  yield* waiting.pipe(within(60_000, "the first news of the board"))
  course.startsAt = now() + lead
  yield* Effect.forEach(all, ({ tell }) => tell({ _tag: "Begin", startsAt: course.startsAt }))
  const commands: Array<Given> = []
  for (const { at, does, what } of eventsOf(options, board, members, commands, course)) {
    yield* Effect.sleep(Math.max(0, at - course.at()))
    last = what
    yield* does
  }
  // What they see last comes with the next tick.
  yield* Effect.sleep(Math.max(0, lengthOf(script) + 3 * tick - course.at()))
  return { members: members.map(({ seen }) => seen), commands } satisfies Record
})

/** One run. Its processes end with it, however it ends. */
export const runFleet = (options: Options, show: (moment: Moment) => void): Effect.Effect<Record, Failed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const course = new Course()
      const { backend, size } = options
      const board = yield* startBoard(backend)
      const upstream = yield* startUpstream()
      const members = yield* Effect.forEach(Array.from({ length: size }), (_, index) =>
        startMember(backend, board.where, index, course)
      )
      const ended = Effect.raceAllFirst(
        [board.child, upstream.child, ...members.map(({ child }) => child)].map(({ ended }) => ended)
      )
      return yield* Effect.raceFirst(follow(options, board.child, upstream, members, course, show), ended)
    })
  )
