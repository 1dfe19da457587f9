/**
 * Sequences of commands that a model allows, with more of what was seen least.
 *
 * A sequence is drawn on the model alone: a command is drawn among those whose `when` holds in the state that the
 * model has reached. What a sequence is depends on the seed, its number and the length, and not on how many follow.
 */
import { random, seedOf } from "../random.ts"
import type { Drawn, Pool } from "./pool.ts"

export interface AnyCommand {
  readonly when?: ((model: unknown, input: unknown) => boolean) | undefined
  readonly next: (model: unknown, input: unknown) => unknown
  readonly weight?: number | undefined
}

export interface Planned extends Drawn {
  readonly name: string
}

export interface Source {
  readonly initial: () => unknown
  readonly expected: (model: unknown) => unknown
  readonly commands: ReadonlyArray<readonly [name: string, command: AnyCommand, pool: Pool]>
}

/** Sequences that are shorter than the others, at the start. */
const short = 40

/** Inputs that are asked for in one state. */
const asked = 24

/** How much likelier a command is in a kind of state in which it never ran. */
const novelty = 12

/**
 * The kind of a visible state: its texts, and numbers as none, one, two, many or negative. Lists count without their
 * order, because callers are alike.
 */
const kindOf = (value: unknown, depth = 0): string => {
  if (typeof value === "number") return value < 0 ? "-" : value > 2 ? "n" : String(Math.ceil(value))
  if (typeof value === "string") return value.slice(0, 40)
  if (typeof value !== "object" || value === null || depth > 5) return String(typeof value)
  if (Array.isArray(value)) return `[${value.map((item) => kindOf(item, depth + 1)).sort()}]`
  let text = ""
  for (const name of Object.keys(value)) text += `${name}:${kindOf((value as never)[name], depth + 1)},`
  return `{${text}}`
}

interface Place {
  readonly way: ReadonlyArray<Planned>
  visits: number
}

export class Generator {
  /** How often a command was drawn in a kind of state. */
  private readonly taken = new Map<string, number>()
  /** A shortest known way to each kind of state. */
  private readonly places = new Map<string, Place>()
  private readonly kinds: Array<string> = []
  private readonly source: Source
  private readonly seed: string | number
  private readonly length: number

  constructor(source: Source, seed: string | number, length: number) {
    this.source = source
    this.seed = seed
    this.length = length
  }

  /** The sequence of a number, from 0. Sequences must be asked for in order. */
  sequence(at: number): ReadonlyArray<Planned> {
    const next = random(seedOf(this.seed, "sequence", at))
    const wanted =
      at < short
        ? Math.max(1, Math.ceil((this.length * (at + 1)) / short))
        : next() < 0.5
          ? this.length
          : 1 + Math.floor(next() * this.length)
    const model = this.source.initial()
    const calls: Array<Planned> = []
    // Every other sequence goes on from where few have been.
    if (at >= short / 4 && next() < 0.5) {
      for (const call of this.rarest(next)) {
        if (calls.length >= wanted - 1) break
        this.commandOf(call.name)?.next(model, call.input)
        calls.push(call)
      }
    }
    while (calls.length < wanted) {
      const kind = this.visit(model, calls)
      const call = this.draw(model, kind, next)
      if (call === undefined) break
      calls.push(call)
    }
    return calls
  }

  private commandOf(name: string): AnyCommand | undefined {
    return this.source.commands.find((one) => one[0] === name)?.[1]
  }

  private visit(model: unknown, way: ReadonlyArray<Planned>): string {
    const kind = kindOf(this.source.expected(model))
    const place = this.places.get(kind)
    if (place === undefined) this.kinds.push(kind)
    if (place === undefined || way.length < place.way.length) {
      this.places.set(kind, { way: [...way], visits: (place?.visits ?? 0) + 1 })
    } else place.visits += 1
    return kind
  }

  private rarest(next: () => number): ReadonlyArray<Planned> {
    let best: Place | undefined
    for (let i = 0; i < 8; i++) {
      const place = this.places.get(this.kinds[Math.floor(next() * this.kinds.length)] ?? "")
      if (place !== undefined && (best === undefined || place.visits < best.visits)) best = place
    }
    return best?.way ?? []
  }

  /** Draws a command that is possible, runs it on the model, and returns it. */
  private draw(model: unknown, kind: string, next: () => number): Planned | undefined {
    const possible: Array<readonly [name: string, command: AnyCommand, inputs: ReadonlyArray<Drawn>, weight: number]> =
      []
    let sum = 0
    for (const [name, command, pool] of this.source.commands) {
      const inputs = inputsOf(command, pool.inputs, model, next)
      if (inputs.length === 0) continue
      const weight = (command.weight ?? 1) * (1 + novelty / (1 + (this.taken.get(`${kind} ${name}`) ?? 0)))
      possible.push([name, command, inputs, weight])
      sum += weight
    }
    let at = next() * sum
    const chosen = possible.find(([, , , weight]) => {
      at -= weight
      return at < 0
    })
    if (chosen === undefined) return undefined
    const [name, command, inputs] = chosen
    const drawn = inputs[Math.floor(next() * inputs.length)] as Drawn
    this.taken.set(`${kind} ${name}`, (this.taken.get(`${kind} ${name}`) ?? 0) + 1)
    command.next(model, drawn.input)
    return { name, ...drawn }
  }
}

/** Inputs with which a command is possible. */
const inputsOf = (
  { when }: AnyCommand,
  inputs: ReadonlyArray<Drawn>,
  model: unknown,
  next: () => number
): ReadonlyArray<Drawn> => {
  if (when === undefined) return inputs
  const from = Math.floor(next() * inputs.length)
  const possible: Array<Drawn> = []
  for (let i = 0; i < inputs.length; i++) {
    // All are asked while none is possible: a rare one must not be missed.
    if (i >= asked && possible.length > 0) break
    const drawn = inputs[(from + i) % inputs.length] as Drawn
    if (when(model, drawn.input)) possible.push(drawn)
  }
  return possible
}
