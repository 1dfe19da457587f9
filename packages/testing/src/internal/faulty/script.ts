/** Behaviours by number: an array, whose last one stays, or a function. */
import * as Result from "effect/Result"

type Steps<A, Args extends ReadonlyArray<unknown>> = ReadonlyArray<A> | ((...args: Args) => A)

/** The result of a function of the user's, or `otherwise` if it throws. */
export const attempt = <A>(f: () => A, otherwise: A): A => Result.getOrElse(Result.try(f), () => otherwise)

export class Script<A, Args extends ReadonlyArray<unknown>> {
  private steps: Steps<A, Args>
  /** What an array has given. */
  private given = 0
  /** In place of what a function throws. */
  private readonly otherwise: A

  constructor(steps: Steps<A, Args>, otherwise: A) {
    this.steps = steps
    this.otherwise = otherwise
  }

  replace(steps: Steps<A, Args>): void {
    this.steps = steps
    this.given = 0
  }

  next(...args: Args): A {
    const { steps } = this
    this.given += 1
    if (typeof steps === "function") return attempt(() => steps(...args), this.otherwise)
    return steps[this.given - 1] ?? steps.at(-1) ?? this.otherwise
  }
}
