/** The state of a server, and those who wait for it to change. */
import * as Effect from "effect/Effect"

export class Board<State> {
  state: State
  private readonly waiters = new Set<() => void>()

  constructor(initial: State) {
    this.state = initial
  }

  update(f: (state: State) => State): void {
    this.state = f(this.state)
    for (const ask of [...this.waiters]) ask()
  }

  readonly until = (predicate: (state: State) => boolean): Effect.Effect<State> =>
    Effect.callback((resume) => {
      const ask = (): void => {
        if (!predicate(this.state)) return
        this.waiters.delete(ask)
        resume(Effect.succeed(this.state))
      }
      this.waiters.add(ask)
      ask()
      return Effect.sync(() => void this.waiters.delete(ask))
    })
}
