/** The inputs of one command: values of its arbitrary, each of which can be drawn and shrunk again. */
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Plain from "../plain.ts"
import { seedOf } from "../random.ts"

/** How to draw a value again. */
interface Draw {
  readonly seed: string
  readonly size: number
}

export interface Drawn {
  readonly input: unknown
  readonly draw: Draw | undefined
}

/** Small values first: a bug that needs large ones is rare. */
const sizes = [2, 8, 30, 100]

/** Values that are kept of an arbitrary. With more, to ask `when` of each costs more than it finds. */
const most = 64

/** Attempts to draw a value that was not there yet. */
const patience = 48

export class Pool {
  readonly inputs: Array<Drawn> = []
  private readonly texts = new Set<string>()
  private readonly arbitrary: Arbitrary.Arbitrary<unknown>
  private readonly name: string
  private readonly seed: string | number
  private drawn = 0
  private fruitless = 0
  private failure: string | undefined

  constructor(name: string, arbitrary: Arbitrary.Arbitrary<unknown>, seed: string | number) {
    this.name = name
    this.arbitrary = arbitrary
    this.seed = seed
  }

  /** Draws until there are `most` values, or no new ones come. */
  get fill(): Effect.Effect<void> {
    return Effect.suspend(() => this.more(most))
  }

  private more(wanted: number): Effect.Effect<void> {
    return Effect.whileLoop({
      while: () => this.inputs.length < wanted && this.fruitless < patience,
      body: () => this.one,
      step: () => {}
    })
  }

  private readonly one: Effect.Effect<void> = Effect.suspend(() => {
    const at = this.drawn++
    const draw: Draw = { seed: seedOf(this.seed, this.name, at), size: sizes[at % sizes.length] ?? 30 }
    this.fruitless += 1
    return Effect.map(
      Arbitrary.checkEffect(this.arbitrary, (input) => this.add({ input, draw }), { runs: 1, ...draw }),
      (result) => {
        if (result._tag === "Exhausted") this.failure = Arbitrary.formatCheckFailure(result)
      }
    )
  })

  private add(drawn: Drawn): boolean {
    const text = textOf(drawn.input)
    if (text !== undefined && this.texts.has(text)) return true
    if (text !== undefined) this.texts.add(text)
    this.fruitless = 0
    this.inputs.push(drawn)
    return true
  }

  /** Why there are no values, if there are none. */
  get empty(): string | undefined {
    return this.inputs.length > 0 ? undefined : (this.failure ?? "its input has no values")
  }

  /** The value that shrinking comes to, if every value is as good. */
  readonly simplest: Effect.Effect<Drawn | undefined> = Effect.suspend(() => {
    const draw = this.inputs[0]?.draw
    if (draw === undefined) return Effect.succeed(undefined)
    return Effect.map(
      Arbitrary.checkEffect(this.arbitrary, () => false, { runs: 1, ...draw, maxShrinks: 200 }),
      (result) => (result._tag === "Falsified" ? { input: result.shrunkInput, draw } : undefined)
    )
  })

  /** Shrinks a value that was drawn, as long as `fails` says that the smaller value will do. */
  shrink(
    { draw, input }: Drawn,
    fails: (input: unknown) => Effect.Effect<boolean>,
    maxShrinks: number
  ): Effect.Effect<unknown> {
    if (draw === undefined || maxShrinks < 1) return Effect.succeed(input)
    let root = true
    const holds = (candidate: unknown) => {
      // The first is the value itself, which is known to fail.
      if (!root) return Effect.map(fails(candidate), (failed) => !failed)
      root = false
      return Effect.succeed(false)
    }
    return Effect.map(Arbitrary.checkEffect(this.arbitrary, holds, { runs: 1, ...draw, maxShrinks }), (result) =>
      result._tag === "Falsified" ? result.shrunkInput : input
    )
  }
}

/** One text for equal inputs; `undefined` for those that cannot be told apart, which are all kept. */
export const textOf = (input: unknown): string | undefined =>
  Result.getOrElse(
    Result.try(() => Plain.canonical(input)),
    () => undefined
  )
