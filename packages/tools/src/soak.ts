// Runs everything that has a seed, with new seeds, for as long as one likes; or the tests with their whole samples.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { parseArgs } from "node:util"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

/** Something to run with many seeds. It answers how many cases it has checked, and fails or dies when one is wrong. */
export interface Subject {
  readonly name: string
  readonly run: (seed: number) => Effect.Effect<number, unknown>
}

export interface Options {
  readonly seed: number
  /** Only subjects whose names hold this. */
  readonly only?: string | undefined
  /** Asked before every run. */
  readonly goesOn: (rounds: number) => boolean
  readonly progress?: ((state: Progress) => void) | undefined
}

export interface Progress {
  readonly rounds: number
  readonly runs: number
  readonly cases: number
  readonly subject: string
}

export interface Soaked extends Progress {
  readonly failure?: { readonly subject: string; readonly seed: number; readonly message: string } | undefined
}

/** Real time after which a run hangs: none takes more than a few seconds. */
const longest = "2 minutes"

/** Round after round over all subjects, each round with the next seed, until time is over or one fails. */
export const soak = async (subjects: ReadonlyArray<Subject>, options: Options): Promise<Soaked> => {
  const chosen = subjects.filter(({ name }) => name.includes(options.only ?? ""))
  if (chosen.length === 0) throw new RangeError(`no subject is named ${options.only}`)
  let runs = 0
  let cases = 0
  for (let rounds = 0; ; rounds++) {
    for (const { name, run } of chosen) {
      const state = { rounds, runs, cases, subject: name }
      if (!options.goesOn(rounds)) return state
      options.progress?.(state)
      const seed = (options.seed + rounds) >>> 0
      const hung = () => Effect.die(new Error(`it has not ended after ${longest}`))
      const exit = await Effect.runPromiseExit(
        Effect.timeoutOrElse(
          Effect.suspend(() => run(seed)),
          { duration: longest, orElse: hung }
        )
      )
      if (exit._tag === "Failure") {
        const error = Cause.squash(exit.cause)
        const message = error instanceof Error ? error.message : String(error)
        return { ...state, failure: { subject: name, seed, message } }
      }
      runs += 1
      cases += exit.value
    }
  }
}

const help = `Runs models, laws and chaos with new seeds.

  npx tool soak --minutes 10       for ten minutes (default: 1)
  npx tool soak --only "model: "   only what is named so
  npx tool soak --seed 42          from this seed on (default: a new one)
  npx tool soak --seed 42 --once   with this seed only
  npx tool soak --list             what there is
  npx tool soak --memory           a day of virtual time through a policy: the heap must stay flat (--hours 24)
  npx tool soak --live             a service over real sockets with all parts on, its upstream failing in turns, for half an hour:
                                   memory and resources must stay flat (--minutes 30)
  npx tool soak --scale            a million keys, and 100,000 callers of one bulkhead: memory stays flat, a snapshot holds up other fibers for 40 ms at most
  npx tool soak --whole            the tests of which \`npm test\` checks a part of their samples, with all of them: several minutes

A failure ends it with exit code 1, and prints the command that shows it again.`

/** The tests that stand on test/support/sample.ts. */
const whole = async (): Promise<void> => {
  const args = ["related", "--run", "test/support/sample.ts", "--testTimeout=600000"]
  const child = spawn("vitest", args, {
    stdio: "inherit",
    env: { ...process.env, TEST_SAMPLE: "whole" },
    shell: process.platform === "win32"
  })
  const [code] = await once(child, "close")
  process.exitCode = code ?? 1
}

const number = (n: number): string => n.toLocaleString("en")

/** More than this is a leak: the record of changes, with its thousand lines, fills up in the first day. */
const mostGrowth = 1_000_000

const memory = async (hours: number): Promise<void> => {
  if (!Number.isInteger(hours) || hours < 4)
    throw new RangeError(`--hours must be an integer of at least 4, got ${hours}`)
  setFlagsFromString("--expose-gc")
  const collect: () => void = runInNewContext("gc")
  const { day, growth } = await import("../../../test/soak/memory.ts")
  const all = day(hours, collect, ({ calls, events, heap, hour }) => {
    console.log(`hour ${hour}  ${number(calls)} calls  ${number(events)} events  ${(heap / 2 ** 20).toFixed(2)} MiB`)
  })
  const grown = growth(all.map(({ heap }) => heap))
  console.log(
    `${grown <= mostGrowth ? "flat" : "FAILED"}: ${number(grown)} bytes more in the last quarter than in the second`
  )
  process.exit(grown <= mostGrowth ? 0 : 1)
}

/** Connections come and go with the load. */
const mostResources = 40

const live = async (minutes: number): Promise<void> => {
  const { cycle, live } = await import("../../../test/soak/live.ts")
  const { growth } = await import("../../../test/soak/memory.ts")
  const cycles = Math.floor((minutes * 60_000) / cycle)
  if (cycles < 4) throw new RangeError(`--minutes must be a number of at least ${(4 * cycle) / 60_000}, got ${minutes}`)
  const samples = await live(cycles, ({ calls, heap, hung, minute, resources, rss, statuses }) => {
    const answers = Object.entries(statuses).map(([status, count]) => `${number(count)} × ${status}`)
    console.log(
      `minute ${minute}  ${number(calls)} calls: ${answers.join(", ")}, ${hung} hung  ` +
        `heap ${(heap / 2 ** 20).toFixed(2)} MiB, process ${(rss / 2 ** 20).toFixed(0)} MiB, ${resources} resources`
    )
  })
  const bytes = growth(samples.map(({ heap }) => heap))
  const resources = growth(samples.map(({ resources }) => resources))
  const hung = samples.at(-1)?.hung ?? 0
  const ok = bytes <= mostGrowth && resources <= mostResources && hung === 0
  console.log(
    `${ok ? "flat" : "FAILED"}: ${number(bytes)} bytes and ${resources} resources more in the last quarter than in the second`
  )
  process.exit(ok ? 0 : 1)
}

/** Milliseconds for which a snapshot may keep other fibers waiting: twice the bar, for a busy machine. */
const longestSlice = 40

const scale = async (): Promise<void> => {
  setFlagsFromString("--expose-gc")
  const collect: () => void = runInNewContext("gc")
  const { callers, keys } = await import("../../../test/soak/scale.ts")
  const many = await keys(1_000_000, collect)
  const [first = 0, , last = 0] = many.bytesPerKey
  console.log(
    `${number(many.kept)} keys: ${many.bytesPerKey.map((bytes) => bytes.toFixed(0)).join(", ")} bytes per key after each pass; ` +
      `a snapshot in ${many.turns} turns, the longest ${many.longestMs.toFixed(1)} ms of the thread`
  )
  const crowd = await callers(100_000, collect)
  const leaked = crowd.bytesPerCaller.at(-1) ?? 0
  console.log(
    `${number(crowd.served)} calls served, at most ${crowd.most} at once, ${crowd.overtaken} out of order; ` +
      `${crowd.bytesPerCaller.map((bytes) => bytes.toFixed(1)).join(", ")} bytes left per caller after each round`
  )
  const isFlat = many.kept === 1_000_000 && last <= 1.05 * first && leaked < 2
  const isFair = crowd.served === 300_000 && crowd.most === 10 && crowd.overtaken === 0
  const ok = isFlat && isFair && many.longestMs <= longestSlice
  console.log(ok ? "flat" : "FAILED")
  process.exit(ok ? 0 : 1)
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string" },
      seed: { type: "string" },
      only: { type: "string" },
      once: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      memory: { type: "boolean", default: false },
      hours: { type: "string", default: "24" },
      live: { type: "boolean", default: false },
      scale: { type: "boolean", default: false },
      whole: { type: "boolean", default: false },
      help: { type: "boolean", default: false }
    }
  })
  if (values.help) return console.log(help)
  if (values.memory) return memory(Number(values.hours))
  if (values.live) return live(Number(values.minutes ?? 30))
  if (values.scale) return scale()
  if (values.whole) return whole()
  // Tests and soak share their subjects: they live with the tests.
  const { subjects } = await import("../../../test/soak/subjects.ts")
  if (values.list) return console.log(subjects.map(({ name }) => name).join("\n"))
  const minutes = Number(values.minutes ?? 1)
  if (!(minutes > 0)) throw new RangeError(`--minutes must be a number above zero, got ${values.minutes}`)
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed)
  if (!Number.isInteger(seed)) throw new RangeError(`--seed must be an integer, got ${values.seed}`)

  const start = performance.now()
  const elapsed = (): number => (performance.now() - start) / 1000
  const isTerminal = process.stdout.isTTY === true
  let told = 0
  console.log(`soak from seed ${seed}${values.once ? "" : ` for ${minutes} min`}`)
  const { cases, failure, rounds, runs } = await soak(subjects, {
    seed,
    only: values.only,
    goesOn: (rounds) => (values.once ? rounds === 0 : elapsed() < minutes * 60),
    progress: ({ cases, rounds, runs, subject }) => {
      // A line that changes for people, one every ten seconds for logs.
      if (!isTerminal && elapsed() - told < 10) return
      told = elapsed()
      const line = `${told.toFixed(0).padStart(4)} s  round ${rounds + 1}  ${number(runs)} runs  ${number(cases)} cases  ${subject}`
      process.stdout.write(isTerminal ? `\r\u001b[K${line.slice(0, (process.stdout.columns ?? 80) - 1)}` : `${line}\n`)
    }
  })
  if (isTerminal) process.stdout.write("\r\u001b[K")
  const summary = `${number(runs)} runs, ${number(cases)} cases, seeds ${seed} to ${(seed + rounds) >>> 0}, ${elapsed().toFixed(0)} s`
  if (failure === undefined) return console.log(`clean: ${summary}`)
  console.error(
    `FAILED: ${failure.subject}, seed ${failure.seed}, after ${summary}\n\n${failure.message}\n\n` +
      `again: npx tool soak --only ${JSON.stringify(failure.subject)} --seed ${failure.seed} --once`
  )
  process.exit(1)
}

if (import.meta.main) await main()
