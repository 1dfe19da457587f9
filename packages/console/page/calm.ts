/** Keeps a policy among those in trouble for a moment: one whose load hovers at a limit would move to and fro. */
import type { Policy, Status } from "../src/State.ts"

/** Milliseconds for which a policy that was in trouble stays. */
const stays = 8000

/** States that come and go with the load; a circuit that closed is healthy at once. */
const hovering: ReadonlyArray<Status> = ["strained", "erring"]

export interface Calmed {
  /** What it was. */
  readonly status: Status
  readonly agoMillis: number
}

const idOf = ({ instance, name }: Policy): string => `${instance} ${name}`

export class Calm {
  private last = new Map<string, { readonly status: Status; readonly at: number }>()

  /** Looks at all policies at a moment of the server. What is no longer there is forgotten. */
  look(at: number, policies: ReadonlyArray<Policy>): void {
    const next: typeof this.last = new Map()
    for (const policy of policies) {
      const before = this.last.get(idOf(policy))
      if (hovering.includes(policy.status)) next.set(idOf(policy), { status: policy.status, at })
      else if (policy.status === "healthy" && before !== undefined && at - before.at < stays) {
        next.set(idOf(policy), before)
      }
    }
    this.last = next
  }

  /** What a policy that is healthy was a moment ago; `undefined` for one that has been healthy for longer. */
  of(at: number, policy: Policy): Calmed | undefined {
    const last = this.last.get(idOf(policy))
    return last === undefined || policy.status !== "healthy"
      ? undefined
      : { status: last.status, agoMillis: at - last.at }
  }
}
