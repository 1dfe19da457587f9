// What each rule of an adaptive policy is worth: `npx tool tune --ablate`. One rule at a time is taken away, or one number is changed by
// half, in the named scenarios and in drawn worlds; each line has the mean regret, at least 0 for each run.
//
//   npx tool tune --ablate --count 24 --draw 7
//   npx tool tune --ablate --sensitivity
//   npx tool tune --ablate --named S1,S5 --count 4
import { setImmediate } from "node:timers/promises"
import { Draws, Lab, Scenario, Scenarios, Sender } from "@effect-resilience/lab"
import * as Schema from "effect/Schema"
import { Policy, Retry } from "effect-resilience"
import { parameters } from "../../../resilience/src/machine/adaptive/Parameters.ts"

type Numbers = Partial<typeof parameters>

/** A rule that is taken away is one whose numbers do nothing. */
const without: Readonly<Record<string, Numbers>> = {
  "all rules": {},
  "no limit": { odds: Infinity, oddsMore: Infinity },
  "no pacing": { failures: Infinity },
  "no ramp after an outage": { rampFrom: Infinity },
  "overtaken attempts count": { overtaken: false },
  "no wait for the limit": { wait: 0 },
  "a whole timeout of wait for the limit": { wait: 1 },
  "timeouts are repeated, at 20": { timedOut: 20 },
  "stragglers cost 20": { cheap: 20 },
  "retries cost nothing": { cheap: 0, expensive: 0, timedOut: 0, asked: 0 },
  "probes every half second": { root: 0, longestPatience: 500 },
  "no patience": { patience: 0 },
  "no share of probes while late": { mostShare: 1 },
  "the first gaps as long as later ones": { young: Number.MAX_VALUE },
  "a probe keeps its place while it is late": { lateProbes: false },
  "late attempts that were overtaken take places": { strays: false },
  "pauses of the caller are evidence": { catchesUp: -1 }
}

const changed: Readonly<Record<string, Numbers>> = Object.fromEntries(
  Object.entries(parameters).flatMap(([name, value]) =>
    typeof value !== "number" || !Number.isFinite(value)
      ? []
      : // A factor below 1 has no half: an eighth more or less.
        (["lower", "patience", "latest"].includes(name) ? [0.88, 1.12] : [0.5, 1.5]).map((factor) => [
          `${name} x ${factor}`,
          { [name]: value * factor }
        ])
  )
)

const noWait = Sender.policy("no waiting", "an adaptive policy that rejects at once", ({ scenario }) =>
  Policy.make("no waiting", {
    deadline: scenario.deadline,
    timeout: scenario.timeout,
    retry: Retry.backoff(),
    adaptive: { wait: false }
  })
)
const noRetry = Sender.policy("no retries", "an adaptive policy without a retry", ({ scenario }) =>
  Policy.make("no retries", { deadline: scenario.deadline, timeout: scenario.timeout, adaptive: {} })
)

const meanRegret = async (
  sender: Sender.Sender,
  scenarios: ReadonlyArray<Scenario.Scenario>,
  seed: number
): Promise<string> => {
  let sum = 0
  let worst = 0
  for (const scenario of scenarios) {
    const regret = 100 * Math.max(0, Lab.run({ scenario, sender, seed }).metrics.regret)
    sum += regret
    worst = Math.max(worst, regret)
    await setImmediate()
  }
  return `${(sum / scenarios.length).toFixed(2).padStart(6)} ${worst.toFixed(1).padStart(6)}`
}

export const ablate = async (options: {
  readonly count: number
  readonly draw: number
  readonly seed: number
  readonly sensitivity: boolean
  /** The named scenarios; all if it is empty. */
  readonly only: ReadonlyArray<string>
}): Promise<void> => {
  const { count, draw, only, seed, sensitivity } = options
  const inputs = Object.values(Scenarios.all).filter(({ name }) => only.length === 0 || only.includes(name))
  const named = inputs.map((input) => Scenario.make(input))
  const drawn = Draws.scenarios({ count, seed: draw }).map((input) =>
    Schema.decodeUnknownSync(Scenario.Scenario)(input)
  )
  console.log(
    `mean and worst regret in %: ${named.length} named scenarios, ${count} drawn with seed ${draw}; seed ${seed}`
  )
  const line = async (name: string, sender: Sender.Sender): Promise<void> => {
    const [first, second] = [await meanRegret(sender, named, seed), await meanRegret(sender, drawn, seed)]
    console.log(`${name.padEnd(40)} ${first}  ${second}`)
  }
  const before = { ...parameters }
  for (const [name, numbers] of Object.entries(sensitivity ? changed : without)) {
    Object.assign(parameters, before, numbers)
    await line(name, Sender.adaptive)
  }
  Object.assign(parameters, before)
  if (sensitivity) return
  await line("no waiting", noWait)
  await line("no retries", noRetry)
}
