/**
 * Logs what an operator should know about policies, in words that say what to do: circuits that opened and closed, budgets that
 * are spent, overrides that were forgotten, events that were lost.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Change from "../Change.ts"
import * as Event from "../Event.ts"
import * as Instances from "../engine/instances.ts"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import { defaultKey } from "../Types.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The time for which a policy logs no second line of one kind. What was left out is counted, and logged in one line when the time
   * is over. Default: `"10 seconds"`.
   */
  readonly every?: Duration.Input | undefined
  /**
   * A circuit that an operator has isolated or disabled for this long is logged, and then again each time that it has passed.
   * `Duration.infinity`: never. Default: `"1 hour"`.
   */
  readonly forgottenAfter?: Duration.Input | undefined
}

const where = "Logs.layer"

// ---------------------------------------------------------------------------------------------------------------------
// Words
// ---------------------------------------------------------------------------------------------------------------------

type Kind =
  | "opened"
  | "reopened"
  | "closed"
  | "operated"
  | "observed"
  | "changed"
  | "limited"
  | "budget"
  | "board"
  | "fleet"
  | "lost"

interface Line {
  readonly kind: Kind
  readonly level: "Info" | "Warn"
  readonly policy: string
  readonly key: string
  readonly text: string
  /** Fields beside the policy and the key. */
  readonly fields: Readonly<Record<string, unknown>>
}

const whatHappened: Readonly<Record<Kind, string>> = {
  opened: "circuits opened",
  reopened: "probes failed, and their circuits opened again",
  closed: "circuits closed again",
  operated: "commands of an operator",
  changed: "changes by code",
  observed: "times circuits would have opened or closed",
  limited: "limits began or ended",
  budget: "retries were refused because the budget is spent",
  board: "times the board was lost or found",
  fleet: "findings of the fleet",
  lost: "times events were lost"
}

const circuitOf = (policy: string, key: string): string =>
  key === defaultKey ? `${policy}: the circuit` : `${policy}: the circuit of key "${key}"`

const figuresIn = (figures: Readonly<Record<string, number>>): string =>
  Object.entries(figures)
    .map(([name, value]) => `${name} ${Number.isInteger(value) ? value : value.toFixed(3)}`)
    .join(", ")

const inWords = (duration: Duration.Duration): string =>
  Duration.format(Duration.millis(Math.round(Duration.toMillis(duration))))

const argument = (key: string): string => (key === defaultKey ? "" : `{ key: ${JSON.stringify(key)} }`)

const ofTransition = (event: Event.Transition): Line | undefined => {
  const { cause, evidence, from, key, openFor, openings, policy, to, unhealthySince } = event
  const circuit = circuitOf(policy, key)
  const times = {
    from,
    to,
    ...(openFor === undefined ? {} : { openForMillis: Duration.toMillis(openFor) }),
    ...(openings === undefined ? {} : { openings }),
    ...(unhealthySince === undefined ? {} : { unhealthyMillis: Duration.toMillis(unhealthySince) })
  }
  if (cause === "tripped") {
    const because = evidence === undefined ? "" : ` because of ${evidence.trip}`
    const figures = evidence === undefined ? "" : figuresIn(evidence.figures)
    // An adaptive policy has no open time that is over: it sends probes until one of them is answered well.
    const follows = evidence?.trip.startsWith("adaptive.")
      ? "One probe at a time is sent, with gaps that grow with the outage; other calls wait for their turn or are rejected. Look at " +
        "the dependency."
      : "Its calls are rejected until then, and a probe decides whether it closes. Look at the dependency first. If it is healthy, " +
        `close the circuit with control.close(${argument(key)}) and give the trip policy more room.`
    return {
      kind: "opened",
      level: "Warn",
      policy,
      key,
      fields: { ...times, ...(evidence === undefined ? {} : { trip: evidence.trip, ...evidence.figures }) },
      text:
        `${circuit} opened for ${inWords(openFor ?? Duration.zero)}${because}${figures === "" ? "" : ` (${figures})`}. ` +
        follows
    }
  }
  if (cause === "probes" && to === "open") {
    const lasted = unhealthySince === undefined ? "" : ` The outage has lasted ${inWords(unhealthySince)}.`
    return {
      kind: "reopened",
      level: "Info",
      policy,
      key,
      fields: times,
      text: `${circuit} opened again for ${inWords(openFor ?? Duration.zero)}: the probe failed.${lasted}`
    }
  }
  if (cause === "probes" && to === "closed") {
    const lasted = unhealthySince === undefined ? "" : ` The outage lasted ${inWords(unhealthySince)}.`
    return {
      kind: "closed",
      level: "Info",
      policy,
      key,
      fields: times,
      text: `${circuit} closed again: the dependency responds.${lasted}`
    }
  }
  if (cause !== "control") return undefined
  const consequence =
    to === "isolated"
      ? ` Every call of it is rejected until control.close(${argument(key)}).`
      : to === "disabled"
        ? ` Every call of it is admitted, and nothing counts, until control.enable(${argument(key)}).`
        : ""
  return {
    kind: "operated",
    level: "Info",
    policy,
    key,
    fields: times,
    text: `${circuit} is ${to}, by an operator or a restore; it was ${from}.${consequence}`
  }
}

/** The beginning and the end of a limit: what comes between is a figure. */
const ofLimit = ({ before, evidence, key, limit, policy }: Event.LimitChanged): Line | undefined => {
  const who = key === defaultKey ? policy : `${policy}, key "${key}"`
  if (limit !== undefined && before === undefined) {
    return {
      kind: "limited",
      level: "Warn",
      policy,
      key,
      fields: { limit, trip: evidence.trip, ...evidence.figures },
      text:
        `${who}: up to ${Math.max(1, Math.floor(limit))} calls are sent at once from now on, because of ${evidence.trip} ` +
        `(${figuresIn(evidence.figures)}). The dependency answers late. Others wait for a short time or are rejected.`
    }
  }
  if (limit !== undefined || before === undefined) return undefined
  return { kind: "limited", level: "Info", policy, key, fields: {}, text: `${who}: every call is sent again.` }
}

/** Overrides hold until something ends them; other commands are acts. */
const overrides: ReadonlyArray<Change.Action> = ["isolate", "disable", "resize", "mode", "set"]

const ofChange = ({ change, key, policy }: Event.Changed): Line => {
  const { action, by, ends, id, reason, until, values } = change
  const where = change.key === undefined ? "every key" : `key ${JSON.stringify(change.key)}`
  const asked = Object.keys(values).length === 0 ? "" : ` ${JSON.stringify(values)}`
  const done =
    action === "undo"
      ? `${by} has undone change ${ends} (${where}).`
      : action === "expire"
        ? `change ${ends} has expired (${where}).`
        : `${by}: ${action}${asked} for ${where}, change ${id}.`
  const end =
    until !== undefined
      ? ` It ends at ${DateTime.formatIso(DateTime.makeUnsafe(until))}.`
      : overrides.includes(action)
        ? ` It has no end: Policies.undo(${id}) ends it.`
        : ""
  return {
    kind: "changed",
    level: "Info",
    policy,
    key,
    fields: {
      change: id,
      action,
      by,
      ...(reason === "" ? {} : { reason }),
      ...(until === undefined ? {} : { until }),
      ...(ends === undefined ? {} : { ends })
    },
    text: `${policy}: ${done}${end}${reason === "" ? "" : ` Reason: ${reason}`}`
  }
}

/** Of what observes the openings and closings: they say what enforcing would have meant. */
const ofObserved = ({ candidate, key, policy }: Event.Observed, transition: Event.Transition): Line | undefined => {
  const { cause, evidence, openFor, to } = transition
  const isOpening = cause === "tripped" && to === "open"
  if (!isOpening && !(cause === "probes" && to === "closed")) return undefined
  const who = candidate === undefined ? "" : ` of candidate "${candidate}"`
  const why = evidence === undefined ? "" : ` (${evidence.trip}: ${figuresIn(evidence.figures)})`
  return {
    kind: "observed",
    level: "Info",
    policy,
    key,
    fields: candidate === undefined ? {} : { candidate },
    text: isOpening
      ? `${circuitOf(policy, key)}${who} would have opened for ${inWords(openFor ?? Duration.zero)}${why}. No call was rejected.`
      : `${circuitOf(policy, key)}${who} would have closed again.`
  }
}

/** What a member learns of its board and its fleet; leases and shares are figures. */
const ofFleet = (event: Event.OfFleet): Line | undefined => {
  const { key, policy } = event
  switch (event._tag) {
    case "BoardLost":
      return {
        kind: "board",
        level: "Warn",
        policy,
        key,
        fields: { board: event.board },
        text:
          `${policy}: the board of the fleet (${event.board}) does not answer. The policy decides as if it were alone, and calls notice ` +
          "nothing. Look at what keeps the board."
      }
    case "BoardFound":
      return {
        kind: "board",
        level: "Info",
        policy,
        key,
        fields: { board: event.board, awayMillis: Duration.toMillis(event.away) },
        text: `${policy}: the board of the fleet (${event.board}) answers again, after ${inWords(event.away)}.`
      }
    case "FleetOpened": {
      const { evidence, openFor } = event
      return {
        kind: "fleet",
        level: "Warn",
        policy,
        key,
        fields: { openForMillis: Duration.toMillis(openFor), trip: evidence.trip, ...evidence.figures },
        text:
          `${circuitOf(policy, key)} was opened by the fleet for ${inWords(openFor)} (${figuresIn(evidence.figures)}). One member probes for ` +
          "all of them. Look at the dependency."
      }
    }
    case "SettingsDiffered":
      return {
        kind: "fleet",
        level: "Warn",
        policy,
        key,
        fields: {},
        text:
          `${policy}: members of the fleet have other settings of what is shared. Those that were first hold. After a deploy this ends ` +
          "when the last process has the new ones."
      }
    case "ProbeLeased":
    case "ShareLowered":
    case "RateLowered":
      return undefined
  }
}

const lineOf = (event: Event.Event): Line | undefined => {
  switch (event._tag) {
    case "Changed":
      return ofChange(event)
    case "Transition":
      return ofTransition(event)
    case "Observed":
      return event.event._tag === "Transition" ? ofObserved(event, event.event) : undefined
    case "LimitChanged":
      return ofLimit(event)
    case "BoardLost":
    case "BoardFound":
    case "FleetOpened":
    case "SettingsDiffered":
    case "ProbeLeased":
    case "ShareLowered":
    case "RateLowered":
      return ofFleet(event)
    case "BudgetExhausted": {
      const { balance, key, policy } = event
      return {
        kind: "budget",
        level: "Warn",
        policy,
        key,
        fields: { balance },
        text:
          `${policy}: the retry budget is spent (balance ${balance.toFixed(2)}): calls fail without a retry until first attempts have ` +
          "earned tokens. More of them fail than the budget pays for, and more retries would add load to a dependency in trouble. " +
          "Look at the dependency. If it is healthy and has few calls, raise budget.minPerSecond."
      }
    }
    case "EventsLost": {
      const { count, key, policy } = event
      return {
        kind: "lost",
        level: "Warn",
        policy,
        key,
        fields: { count },
        text:
          `${policy}: ${count} events were lost, because a stream of events fell behind. Let its handler do less, or filter before ` +
          "what takes time."
      }
    }
    default:
      return undefined
  }
}

const log = ({ fields, key, level, policy, text }: Omit<Line, "kind">): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWithLevel(level)(text), { policy, key, ...fields })

// ---------------------------------------------------------------------------------------------------------------------
// One line of a kind at a time
// ---------------------------------------------------------------------------------------------------------------------

/** What was left out since the last line of one policy and kind. */
interface Pause {
  left: number
  readonly keys: Set<string>
}

/** Keys that a summary names. */
const mostNamed = 3

const named = (keys: ReadonlySet<string>, count: number): string => {
  const some = Array.from(keys).slice(0, mostNamed).join(", ")
  return count > mostNamed ? `keys ${some} and others` : `keys ${some}`
}

class Limiter {
  private readonly every: number
  private readonly scope: Scope.Scope
  private readonly pauses = new Map<string, Pause>()

  constructor(every: number, scope: Scope.Scope) {
    this.every = every
    this.scope = scope
  }

  /** Logs a line that stands for `count` events, unless one of its kind was logged a moment ago. */
  readonly handle = (line: Line, count: number): Effect.Effect<void> => {
    const id = `${line.kind} ${line.policy}`
    const pause = this.pauses.get(id)
    if (pause !== undefined) {
      pause.left += count
      if (pause.keys.size <= mostNamed) pause.keys.add(line.key)
      return Effect.void
    }
    const begun: Pause = { left: count - 1, keys: new Set([line.key]) }
    this.pauses.set(id, begun)
    return Effect.andThen(log(line), Effect.forkIn(this.end(id, line, begun), this.scope))
  }

  /** When the pause is over: a line that sums up what was left out, after which the next pause begins. */
  private end(id: string, line: Line, pause: Pause): Effect.Effect<void> {
    return Effect.flatMap(Effect.sleep(this.every), () => {
      if (pause.left === 0) {
        this.pauses.delete(id)
        return Effect.void
      }
      const { keys, left } = pause
      const next: Pause = { left: 0, keys: new Set() }
      this.pauses.set(id, next)
      const text = `${line.policy}: in the last ${inWords(Duration.millis(this.every))} ${left} more ${whatHappened[line.kind]} (${named(keys, keys.size)}).`
      const summary = log({ level: line.level, policy: line.policy, key: "(several)", text, fields: { leftOut: left } })
      return Effect.andThen(summary, this.end(id, line, next))
    })
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Forgotten overrides
// ---------------------------------------------------------------------------------------------------------------------

interface Override {
  readonly state: "isolated" | "disabled"
  readonly since: number
}

/** The circuits of one policy that an operator has isolated or disabled. */
class Overrides {
  readonly policy: string
  private readonly byKey = new Map<string, Override>()

  constructor(policy: string) {
    this.policy = policy
  }

  get isEmpty(): boolean {
    return this.byKey.size === 0
  }

  update({ key, to }: Event.Transition, now: number): void {
    if (to === "isolated" || to === "disabled") this.byKey.set(key, { state: to, since: now })
    else this.byKey.delete(key)
  }

  /** The moment at which the oldest is due. */
  dueAt(after: number): number {
    let oldest = Infinity
    for (const { since } of this.byKey.values()) oldest = Math.min(oldest, since)
    return oldest + after
  }

  line(after: number, now: number): Omit<Line, "kind"> | undefined {
    const due = Array.from(this.byKey).filter(([, { since }]) => now - since >= after)
    const [first] = due
    if (first === undefined) return undefined
    const since = Math.min(...due.map(([, override]) => override.since))
    const states = Array.from(new Set(due.map(([, { state }]) => state)))
    const keys = new Set(due.map(([key]) => key))
    return {
      level: "Warn",
      policy: this.policy,
      key: due.length === 1 ? first[0] : "(several)",
      fields: { circuits: due.length, longestMillis: now - since },
      text:
        `${this.policy}: ${due.length === 1 ? "a circuit is" : `${due.length} circuits are`} ${states.join(" or ")} since ` +
        `${inWords(Duration.millis(now - since))} (${named(keys, keys.size)}). Was it forgotten? control.close ends an isolation, and ` +
        "control.enable lets a disabled circuit protect its calls again."
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Layer
// ---------------------------------------------------------------------------------------------------------------------

const now: Effect.Effect<number> = Time.withNow((now) => now)

/** Events of which none is left out of the buffer. */
const selected: ReadonlySet<Event.Event["_tag"]> = new Set([
  "Transition",
  "Changed",
  "LimitChanged",
  "BoardLost",
  "BoardFound",
  "FleetOpened",
  "SettingsDiffered"
])

/**
 * Events of which lines are made. In the buffer there is one refusal of a budget and one loss of a policy at a time, so that a
 * flood of them costs no transition; the others are counted.
 */
class Selection {
  private readonly hub: Event.Hub
  private readonly waiting = new Map<string, number>()
  private readonly lost = new Map<string, number>()

  constructor(hub: Event.Hub) {
    this.hub = hub
  }

  readonly select = (event: Event.Event): Event.Event | undefined => {
    if (selected.has(event._tag)) return event
    if (event._tag === "Observed" && event.event._tag === "Transition") return event
    if (event._tag === "BudgetExhausted") return this.first(event)
    const { at, key, policy } = event
    const lost = Event.lostOf(this.hub, policy)
    const before = this.lost.get(policy) ?? 0
    if (lost === before) return undefined
    const first = this.first({ _tag: "EventsLost", policy, key, at, count: lost - before })
    if (first !== undefined) this.lost.set(policy, lost)
    return first
  }

  private first(event: Event.Event): Event.Event | undefined {
    const id = `${event._tag} ${event.policy}`
    const waiting = this.waiting.get(id) ?? 0
    this.waiting.set(id, waiting + 1)
    return waiting === 0 ? event : undefined
  }

  /** The number of events that one stands for which is handled now. */
  take(event: Event.Event): number {
    const id = `${event._tag} ${event.policy}`
    const count = this.waiting.get(id) ?? 1
    this.waiting.delete(id)
    return event._tag === "EventsLost" ? 1 : count
  }
}

const run = (every: number, forgottenAfter: number) =>
  Effect.gen(function* () {
    const hub = yield* Event.CurrentHub
    const instances = yield* Instances.current
    const scope = yield* Effect.scope
    const limiter = new Limiter(every, scope)
    const overrides = new Map<string, Overrides>()

    /** Logs the overrides of a policy that are due, as long as there are some. */
    const remind = (of: Overrides): Effect.Effect<void> =>
      Effect.flatMap(now, (now) => {
        if (of.isEmpty || instances.named(of.policy).length === 0) {
          overrides.delete(of.policy)
          return Effect.void
        }
        const line = of.line(forgottenAfter, now)
        const wait = line === undefined ? Math.max(1, of.dueAt(forgottenAfter) - now) : forgottenAfter
        return Effect.andThen(
          line === undefined ? Effect.void : log(line),
          Effect.flatMap(Effect.sleep(wait), () => remind(of))
        )
      })

    const watch = (event: Event.Transition): Effect.Effect<void> =>
      Effect.flatMap(now, (now) => {
        const known = overrides.get(event.policy)
        const of = known ?? new Overrides(event.policy)
        of.update(event, now)
        if (known !== undefined || of.isEmpty || forgottenAfter === Infinity) return Effect.void
        overrides.set(event.policy, of)
        return Effect.asVoid(Effect.forkIn(remind(of), scope))
      })

    const selection = new Selection(hub)
    const handle = (event: Event.Event): Effect.Effect<void> => {
      const count = selection.take(event)
      const line = lineOf(event)
      // What a person did is never left out.
      const isByCode = event._tag !== "Changed" || event.change.by === "code"
      const logged = line === undefined ? Effect.void : isByCode ? limiter.handle(line, count) : log(line)
      return event._tag === "Transition" ? Effect.andThen(logged, watch(event)) : logged
    }
    yield* Effect.forkScoped(Stream.runForEach(Event.selectFrom(hub, selection.select), handle), {
      startImmediately: true
    })
  })

/**
 * Logs what happens to the policies of the program.
 *
 * **When to use** In every service: a person on call finds in its lines what happened and what to do.
 *
 * **Details**
 *
 * - Warning: a circuit opened, with the evidence, for how long, and what to look at; the retry budget of a policy is spent; a circuit
 *   is isolated or disabled for longer than `forgottenAfter`; a stream of events lost some.
 * - Info: a circuit that is observed would have opened or closed; a probe failed; a circuit closed again, and how long the outage lasted; an operator changed a circuit; each change of the
 * record: what, by whom, why, and until when.
 *
 * Changes that are not made by `"code"` are all logged. Otherwise of one policy and kind one line is logged every `every`, and what was left out is summed up. Each line has the annotations
 * `policy` and `key`, and figures such as `openings` or `unhealthyMillis`. Overrides are watched from the moment the layer is
 * built. While the layer lives, policies create events. Throws a `RangeError` at once when an option is out of range.
 *
 * **Example** (A circuit that opens)
 *
 * ```ts
 * import { Effect, Layer, Logger } from "effect"
 * import { CircuitBreaker, TripPolicy } from "effect-resilience"
 * import * as Logs from "effect-resilience/telemetry/Logs"
 *
 * class Users extends CircuitBreaker.Service<Users>()("app/Users", { trip: TripPolicy.consecutive(1), openFor: "30 seconds" }) {}
 *
 * const lines: Array<string> = []
 * const logger = Logger.make(({ message }) => { lines.push(String(message)) })
 * const program = Effect.fail({ _tag: "Down" as const }).pipe(Users.protect({ failures: ["Down"] }), Effect.ignore)
 * const live = Layer.mergeAll(Users.layer, Logs.layer()).pipe(Layer.provide(Logger.layer([logger])))
 * await Effect.runPromise(Effect.provide(program, live))
 * lines[0]?.startsWith("app/Users: the circuit opened for") // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never> => {
  Check.noUnknown(where, options, ["every", "forgottenAfter"])
  const every = Check.millis(where, "every", Check.orDefault(options.every, "10 seconds"))
  const forgottenAfter = Check.millis(where, "forgottenAfter", Check.orDefault(options.forgottenAfter, "1 hour"), {
    infinite: true
  })
  return Layer.effectDiscard(run(every, forgottenAfter))
}
