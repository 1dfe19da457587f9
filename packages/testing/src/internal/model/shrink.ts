/** Makes a failing sequence small: no call, no pair of calls and no smaller input is left that it can do without. */
import * as Effect from "effect/Effect"
import { random, seedOf } from "../random.ts"
import type { Planned } from "./generate.ts"
import { type Drawn, type Pool, textOf } from "./pool.ts"

/** The calls that ran up to the failure, if a sequence fails. */
export type Fails = (calls: ReadonlyArray<Planned>) => Effect.Effect<ReadonlyArray<Planned> | undefined>

/** Sequences up to this length are tried without each pair of calls. */
const longestForPairs = 16

/** Inputs of a command that are tried in place of another. */
const inputsTried = 12

/** Random sequences of the same commands that are tried at the end. */
const samples = 80

export class Shrinker {
  private readonly pools: ReadonlyMap<string, Pool>
  private readonly names: ReadonlyArray<string>
  private readonly fails: Fails
  private readonly goesOn: () => boolean
  private best: ReadonlyArray<Planned>
  private improved = false
  private readonly tried = new Set<string>()
  shrinks = 0

  constructor(pools: ReadonlyMap<string, Pool>, first: ReadonlyArray<Planned>, fails: Fails, goesOn: () => boolean) {
    this.pools = pools
    this.names = [...pools.keys()]
    this.best = first
    this.fails = fails
    this.goesOn = goesOn
  }

  get run(): Effect.Effect<ReadonlyArray<Planned>> {
    const self = this
    return Effect.gen(function* () {
      do {
        self.improved = false
        yield* self.chunks
        yield* self.pairs
        yield* self.merges
        yield* self.simpler
        yield* self.inputs
        if (!self.improved) yield* self.sampled
      } while (self.improved && self.goesOn())
      return self.best
    })
  }

  /** Tries a sequence, and keeps it if it fails. */
  private attempt(calls: ReadonlyArray<Planned>): Effect.Effect<boolean> {
    if (calls.length === 0 || !this.goesOn()) return Effect.succeed(false)
    const text = textOf(calls.map(({ input, name }) => [name, input]))
    // The last round repeats the one before it.
    if (text !== undefined && this.tried.has(text)) return Effect.succeed(false)
    if (text !== undefined) this.tried.add(text)
    return Effect.map(this.fails(calls), (ran) => {
      if (ran === undefined) return false
      this.best = ran
      this.improved = true
      this.shrinks += 1
      return true
    })
  }

  private without(...places: ReadonlyArray<number>): ReadonlyArray<Planned> {
    return this.best.filter((_, at) => !places.includes(at))
  }

  private get chunks(): Effect.Effect<void> {
    const self = this
    return Effect.gen(function* () {
      for (let size = Math.ceil(self.best.length / 2); size >= 1; size = Math.floor(size / 2)) {
        for (let start = self.best.length - size; start > -size; start -= size) {
          const [from, to] = [Math.max(0, start), start + size]
          yield* self.attempt(self.best.filter((_, at) => at < from || at >= to))
        }
      }
    })
  }

  private get pairs(): Effect.Effect<void> {
    const self = this
    return Effect.gen(function* () {
      for (let i = 0; i < self.best.length && self.best.length <= longestForPairs; i++) {
        for (let j = i + 1; j < self.best.length; j++) {
          if (yield* self.attempt(self.without(i, j))) j = i
        }
      }
    })
  }

  /** One call in place of two, such as one step of time for two. */
  private get merges(): Effect.Effect<void> {
    const self = this
    return Effect.gen(function* () {
      for (let i = 0; i < self.best.length && self.best.length <= longestForPairs; i++) {
        for (let j = i + 1; j < self.best.length; j++) {
          const [one, other] = [self.best[i], self.best[j]]
          if (one === undefined || other === undefined || one.name !== other.name) continue
          for (const input of self.some(one.name)) {
            const merged = self.best.map((call, at) => (at === i ? { ...call, ...input } : call))
            if (yield* self.attempt(merged.filter((_, at) => at !== j))) {
              j = i
              break
            }
          }
        }
      }
    })
  }

  private some(name: string): ReadonlyArray<Drawn> {
    return this.pools.get(name)?.inputs.slice(0, inputsTried) ?? []
  }

  /** Earlier commands in place of later ones. */
  private get simpler(): Effect.Effect<void> {
    const self = this
    return Effect.gen(function* () {
      for (let at = 0; at < self.best.length; at++) {
        search: for (const name of self.names) {
          if (name === self.best[at]?.name) break
          const simplest = yield* self.pools.get(name)?.simplest ?? Effect.succeed(undefined)
          for (const input of [...(simplest === undefined ? [] : [simplest]), ...self.some(name).slice(0, 3)]) {
            const changed = self.best.map((call, place) => (place === at ? { name, ...input } : call))
            if (yield* self.attempt(changed)) break search
          }
        }
      }
    })
  }

  private get inputs(): Effect.Effect<void> {
    const self = this
    return Effect.gen(function* () {
      for (let at = 0; at < self.best.length; at++) {
        const call = self.best[at]
        const pool = call === undefined ? undefined : self.pools.get(call.name)
        if (call === undefined || pool === undefined) continue
        const before = self.best
        const replaced = (input: unknown) => before.map((one, place) => (place === at ? { ...one, input } : one))
        let smaller = false
        yield* pool.shrink(
          call,
          (input) =>
            Effect.suspend(() =>
              self.goesOn()
                ? Effect.map(self.fails(replaced(input)), (ran) => {
                    if (ran === undefined) return false
                    self.best = ran
                    smaller = true
                    return true
                  })
                : Effect.succeed(false)
            ),
          200
        )
        if (smaller) {
          self.shrinks += 1
          // A shrunk value has no draw of its own to be shrunk further.
          self.best = self.best.map((one, place) => (place === at ? { ...one, draw: undefined } : one))
          self.improved = true
        }
      }
    })
  }

  /** A local minimum need not be the least: shorter sequences of the same commands are drawn. */
  private get sampled(): Effect.Effect<void> {
    const self = this
    return Effect.gen(function* () {
      const names = [...new Set(self.best.map(({ name }) => name))]
      const next = random(seedOf("shrink", self.best.length, ...names))
      for (let i = 0; i < samples && self.best.length > 2; i++) {
        const length = self.best.length - 1
        const calls = Array.from({ length }, (_, at): Planned => {
          // Half of the calls stay where they are.
          const kept = self.best[at + Math.round(next())]
          if (kept !== undefined && next() < 0.5) return kept
          const name = names[Math.floor(next() * names.length)] ?? ""
          const inputs = self.pools.get(name)?.inputs ?? []
          const drawn = inputs[Math.floor(next() * inputs.length)]
          return { name, input: drawn?.input, draw: drawn?.draw }
        })
        if (yield* self.attempt(calls)) return
      }
    })
  }
}
