/**
 * A circuit under every interleaving of admissions, results, time and an operator's commands. Who is inside is known here,
 * apart from what the machine keeps. Calls may be any number in all, so many at a time; time goes in ticks, any number.
 */
import type { Explore } from "@effect-resilience/testing"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"

/** A call that has been admitted and not ended. */
interface Call {
  readonly generation: number
  readonly ticket: number
  readonly at: number
}

export interface State {
  now: number
  readonly circuit: Circuit.Circuit<unknown>
  calls: Array<Call>
  /** Probes that hang, and of which nobody will ever hear again. */
  hung: Array<Call>
  /** Probes of this half-open generation whose result counted. */
  decided: number
  /** The last thing that happened to a call. */
  last: "admitted" | "rejected" | "success" | "failure" | "ignored" | "none"
  /** Was it a result from an older generation? */
  stale: boolean
}

export interface Bounds {
  readonly name: string
  readonly trip: Circuit.TripRule<unknown>
  /** What of the evidence can still matter; all of it when nothing is said. */
  readonly evidence?: (evidence: unknown, now: number) => unknown
  readonly settings: Circuit.ProbeRule
  readonly openFor: number
  /** Calls inside at the same time; how many there are in all is not bounded. */
  readonly calls: number
  /** With an operator's commands. */
  readonly operator: boolean
  /** Bugs to plant. */
  readonly bug?: Bug
}

export type Bug = "no fencing" | "probes on trust" | "a lease without an end" | "an ignored probe is forgotten"

const said = [
  ["success", Circuit.Success],
  ["failure", Circuit.Failure],
  ["ignored", Circuit.Ignored]
] as const

/** What a circuit knows of its openings, also before it has any; without changing it. */
const openingsOf = (circuit: Circuit.Circuit<unknown>): Circuit.Openings =>
  circuit.openings ?? Circuit.openingsOf(Circuit.make({ initial: () => ({}), record: () => {}, trips: () => false }, 0))

const outcome = { success: true, failure: true, ignored: true, admitted: false, rejected: false, none: false }

export const circuit = (bounds: Bounds): Explore.Machine<State> => {
  const { bug, calls: most, openFor, operator, trip } = bounds
  const settings =
    bug === "a lease without an end"
      ? { ...bounds.settings, lease: Infinity }
      : bug === "probes on trust"
        ? { ...bounds.settings, permitted: Infinity }
        : bounds.settings
  const { lease, permitted, successes } = bounds.settings

  /** Probes that must hold a place, whatever the machine says. */
  const live = ({ calls, circuit, hung, now }: State): number =>
    [...calls, ...hung].filter(({ at, generation }) => generation === circuit.generation && now < at + lease).length

  /** Whatever happened in the half-open generation before is forgotten with it. */
  const entered = (state: State, generation: number): void => {
    if (state.circuit.generation !== generation) state.decided = 0
  }

  const call = (state: State): State => {
    const { circuit, now } = state
    const before = circuit.generation
    const ticket = Circuit.admit(circuit, settings, now)
    entered(state, before)
    state.stale = false
    state.last = ticket === Circuit.Rejected ? "rejected" : "admitted"
    if (ticket !== Circuit.Rejected) state.calls.push({ generation: circuit.generation, ticket, at: now })
    return state
  }

  const end =
    (at: number, how: (typeof said)[number]) =>
    (state: State): State => {
      const { circuit, now } = state
      const [ended] = state.calls.splice(at, 1)
      if (ended === undefined) return state
      const before = circuit.generation
      const [name, verdict] = how
      state.last = name
      state.stale = ended.generation !== before
      if (bug === "an ignored probe is forgotten" && name === "ignored") return state
      if (circuit.phase === Circuit.HalfOpen && !state.stale && name !== "ignored") state.decided += 1
      const generation = bug === "no fencing" ? before : ended.generation
      const asked = Circuit.settle(
        circuit,
        trip,
        settings,
        { generation, probe: ended.ticket },
        { outcome: verdict, duration: 1 },
        now
      )
      if (asked === Circuit.Tripped) Circuit.open(circuit, openFor, now)
      if (asked === Circuit.Recovered) Circuit.close(circuit, trip, now)
      entered(state, before)
      return state
    }

  const command =
    (f: (circuit: Circuit.Circuit<unknown>, now: number) => void) =>
    (state: State): State => {
      const before = state.circuit.generation
      f(state.circuit, state.now)
      entered(state, before)
      state.last = "none"
      state.stale = false
      return state
    }

  const commands: ReadonlyArray<Explore.Action<State>> = [
    { name: "isolate", next: command(Circuit.isolate) },
    { name: "disable", next: command(Circuit.disable) },
    { name: "close", next: command((circuit, now) => Circuit.close(circuit, trip, now)) },
    { name: "reset", next: command((circuit, now) => Circuit.reset(circuit, trip, now)) }
  ]

  const tick: Explore.Action<State> = {
    name: "tick",
    next: (state) => {
      state.now += 1
      state.last = "none"
      state.stale = false
      return state
    }
  }

  /** Instants and generations only count up: what matters is how far off they are, and not beyond what can matter. */
  const ahead = (at: number, now: number): number => Math.max(0, at - now)
  const key = ({ calls, circuit, decided, hung, last, now, stale }: State) => {
    const { generation, phase, since, tripState } = circuit
    const { length, probeFailures, probes, probeSuccesses, until } = openingsOf(circuit)
    return {
      phase,
      openFor: length,
      evidence: phase === Circuit.Closed ? (bounds.evidence?.(tripState, now) ?? tripState) : undefined,
      openIn: phase === Circuit.Open ? ahead(until, now) : undefined,
      /** Until the count of openings in a row would start again. */
      healthyIn: phase === Circuit.Closed ? ahead(since + length, now) : undefined,
      probes: probes
        .map(({ id, leaseEnds }) => [ahead(leaseEnds, now), calls.some(({ ticket }) => ticket === id)])
        .sort(),
      probeSuccesses,
      probeFailures,
      calls: calls
        .map((call) => (call.generation === generation ? [ahead(call.at + lease, now), call.ticket > 0] : "old"))
        .sort(),
      hung: hung.flatMap((call) => (call.generation === generation ? ahead(call.at + lease, now) || [] : [])).sort(),
      decided,
      last,
      stale
    }
  }

  return {
    name: bounds.name,
    initial: () => ({
      now: 0,
      circuit: Circuit.make(trip, 0),
      calls: [],
      hung: [],
      decided: 0,
      last: "none",
      stale: false
    }),
    actions: ({ calls }) => [
      ...(calls.length < most ? [{ name: "call", next: call }] : []),
      ...calls.flatMap((_, at) =>
        said.map((how): Explore.Action<State> => ({ name: `call ${at} ends: ${how[0]}`, next: end(at, how) }))
      ),
      // Nobody will ever hear of it again.
      ...calls.map(
        (_, at): Explore.Action<State> => ({
          name: `call ${at} hangs`,
          next: (state) => {
            // Only a probe holds a place that must come free.
            state.hung.push(...state.calls.splice(at, 1).filter(({ ticket }) => ticket > 0))
            state.last = "none"
            state.stale = false
            return state
          }
        })
      ),
      tick,
      ...(operator ? commands : [])
    ],
    key,
    invariants: {
      "I1: probes that hold a place are never more than n": (state) =>
        state.circuit.phase !== Circuit.HalfOpen || live(state) <= permitted,
      "I1: a place that is free can be had": (state) =>
        state.circuit.phase !== Circuit.HalfOpen ||
        live(state) + state.decided >= permitted ||
        Circuit.admits(structuredClone(state.circuit), settings, state.now),
      "admits says what admit does": (state) => {
        const copy = structuredClone(state)
        const admits = Circuit.admits(copy.circuit, settings, copy.now)
        return admits === (Circuit.admit(copy.circuit, settings, copy.now) !== Circuit.Rejected)
      },
      "a rejected caller knows when to come back": ({ circuit, now }) => {
        const copy = structuredClone(circuit)
        if (Circuit.admits(copy, settings, now)) return true
        const wait = Circuit.retryAfter(copy, settings, now)
        if (wait === Infinity) return copy.phase === Circuit.Isolated
        return wait > 0 && !Circuit.admits(copy, settings, now + wait - 1) && Circuit.admits(copy, settings, now + wait)
      }
    },
    steps: {
      // A probe that answers after its lease counts too, though its place has gone to another: so only at admission.
      "I1: none is admitted to more than n places, those of probes that counted included": ({ after }) =>
        after.last !== "admitted" ||
        after.circuit.phase !== Circuit.HalfOpen ||
        live(after) + after.decided <= permitted,
      "I8: a result from an older generation changes nothing": ({ after, before }) => {
        if (!outcome[after.last] || !after.stale) return true
        return JSON.stringify(after.circuit) === JSON.stringify(before.circuit)
      },
      "an ignored result never changes the phase": ({ after, before }) =>
        after.last !== "ignored" || after.circuit.phase === before.circuit.phase,
      "only a failure opens": ({ after, before }) =>
        after.circuit.phase !== Circuit.Open || before.circuit.phase === Circuit.Open || after.last === "failure",
      "each change of phase begins an generation, and no generation comes twice": ({ after, before }) =>
        after.circuit.phase === before.circuit.phase
          ? after.circuit.generation >= before.circuit.generation
          : after.circuit.generation > before.circuit.generation,
      "I5: while isolated nobody is let in, while closed or disabled nobody is kept out": ({ after, before }) =>
        before.circuit.phase === Circuit.Isolated
          ? after.last !== "admitted"
          : before.circuit.phase === Circuit.HalfOpen ||
            before.circuit.phase === Circuit.Open ||
            after.last !== "rejected",
      "an open circuit lets nobody in before its time": ({ after, before }) =>
        before.circuit.phase !== Circuit.Open ||
        after.last !== "admitted" ||
        before.now >= openingsOf(before.circuit).until,
      "half-open closes after k good probes and opens when k are out of reach": ({ after, before }) => {
        if (before.circuit.phase !== Circuit.HalfOpen || after.stale) return true
        const { probeFailures, probeSuccesses } = openingsOf(before.circuit)
        if (after.last === "success")
          return (after.circuit.phase === Circuit.Closed) === probeSuccesses + 1 >= successes
        if (after.last === "failure")
          return (after.circuit.phase === Circuit.Open) === probeFailures + 1 > permitted - successes
        return true
      }
    },
    goals: {
      // Nobody but the dependency and its callers may be needed; calls that hang are left to hang.
      "I4: a healthy dependency with traffic closes the circuit": {
        from: ({ circuit }) => circuit.phase !== Circuit.Isolated && circuit.phase !== Circuit.Disabled,
        reached: ({ circuit }) => circuit.phase === Circuit.Closed,
        by: ({ action }) =>
          action === "call" || action === "tick" || action.endsWith("success") || action.endsWith("hangs")
      }
    }
  }
}
