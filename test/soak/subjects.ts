/** What `npx tool soak` runs again and again with new seeds. A tool of its own is one line more. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type { Subject } from "../../packages/tools/src/soak.ts"
import { books } from "../composition/books.ts"
import { chaosLaws } from "../composition/chaos.ts"
import { type Subject as Lawful, subjects as laws } from "../laws/subjects.ts"
import { held, models } from "../models/index.ts"
import * as Floor from "../share/floor.ts"
import * as Fleet from "../share/fuzz.ts"
import { options } from "./fuzz/options.ts"
import { programs } from "./fuzz/programs.ts"

const model = ({ check, name }: (typeof models)[number]): Subject => ({
  name: `model: ${name}`,
  run: (seed) => Effect.map(check({ seed, runs: 200 }), ({ steps }) => steps)
})

const law = ({ laws, name }: Lawful): Subject => ({
  name: `laws: ${name}`,
  run: (seed) =>
    Effect.map(
      Effect.forEach(laws({ seed, runs: 100 }), (law) => law.check),
      ({ length }) => length
    )
})

/** A program that a seed decides, on a clock of its own. */
const program =
  (kind: string) =>
  ([name, holds]: readonly [string, (seed: number) => Effect.Effect<unknown, unknown, Scope.Scope>]): Subject => ({
    name: `${kind}: ${name}`,
    run: (seed) => Effect.as(Effect.provide(Effect.scoped(holds(seed)), TestClock.layer()), 1)
  })

/** What a fleet in virtual time must not exceed. */
const within = (
  name: string,
  limits: (seed: number) => Readonly<Record<string, readonly [is: number, most: number]>>
): Subject => ({
  name: `fleet: ${name}`,
  run: (seed) =>
    Effect.suspend(() => {
      const broken = Object.entries(limits(seed)).filter(([, [is, most]]) => is > most)
      const problem = broken.map(([field, [is, most]]) => `${field} is ${is}, at most ${most} is allowed`).join("; ")
      return broken.length === 0 ? Effect.succeed(1) : Effect.fail(new Error(problem))
    })
})

const fleets = [
  within("the floor of a budget", (seed) => ({ over: [Floor.run(seed).over, Floor.burst] })),
  within("random faults", (seed) => {
    const { permitsOver, probesAtOnce, stuck, tokensOver, unleased } = Fleet.run(seed, {
      wipe: false,
      rollback: false,
      steps: false
    })
    return {
      permitsOver: [permitsOver, 0],
      probesAtOnce: [probesAtOnce, 1],
      tokensOver: [tokensOver, 0],
      unleased: [unleased, 0],
      stuck: [stuck.length, 0]
    }
  })
]

export const subjects: ReadonlyArray<Subject> = [
  ...[...models, ...held].map(model),
  ...laws.map(law),
  ...chaosLaws.map(program("chaos")),
  ...books.map(program("books")),
  ...fleets,
  { name: "fuzz: options", run: options },
  { name: "fuzz: programs", run: programs }
]
