// Shares the mutants out among processes, looks at the clock for them, and reads what they report.
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { fileURLToPath } from "node:url"
import { type Event, type Job, modulesOf, readEvents } from "./job.ts"
import type { Mutant } from "./mutants.ts"

export interface Options {
  readonly root: string
  /** The modules that are mutated, from the root. */
  readonly sources: ReadonlyArray<string>
  /** Test files from the root, the quickest first. */
  readonly tests: ReadonlyArray<string>
  /** Which mutants to try. */
  readonly chosen?: ((mutant: Mutant) => boolean) | undefined
  /** How many processes at a time. */
  readonly workers: number
  /** See {@link Job}. Default: 3 seconds. */
  readonly patience?: number | undefined
  readonly progress?: ((killed: number, of: number) => void) | undefined
}

export interface Verdict {
  readonly path: string
  readonly mutant: Mutant
  /** `fails`, `hangs` and `crashes` say how a test has found it. */
  readonly fate: "fails" | "hangs" | "crashes" | "survived" | "not reached"
  /** The test that found it. */
  readonly by?: string | undefined
}

/** Without a line of the report for so long, a process has not even started. */
const starts = 60_000

const last = (events: ReadonlyArray<Event>): Event | undefined => events.at(-1)

/** Runs one job to its end, again after each mutant that hangs or takes the process with it. */
const untilDone = async (job: Job, file: string, seen: (events: ReadonlyArray<Event>) => void): Promise<boolean> => {
  writeFileSync(job.report, "")
  writeFileSync(file, JSON.stringify(job))
  for (;;) {
    const { hung, ok, output } = await once(job, file, seen)
    const events = readEvents(job.report)
    const end = last(events)
    const isStatic = typeof job.mutants === "number"
    if (ok) return true
    if (end?._ === "begins") {
      const { mutant, name } = end
      const event: Event = { _: "killed", mutant, name, how: hung ? "hangs" : "crashes" }
      writeFileSync(job.report, `${JSON.stringify(event)}\n`, { flag: "a" })
      seen(readEvents(job.report))
      if (!isStatic) continue
    }
    // With a static mutant its module may not even load.
    if (isStatic) return false
    throw new Error(
      end?._ === "broken" ? `without any mutant: ${end.name}: ${end.message}` : `Vitest does not run:\n${output}`
    )
  }
}

const once = (
  job: Job,
  file: string,
  seen: (events: ReadonlyArray<Event>) => void
): Promise<{ readonly ok: boolean; readonly hung: boolean; readonly output: string }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [fileURLToPath(new URL("./worker.ts", import.meta.url))], {
      cwd: job.root,
      // What a mutant may take of the memory.
      env: { ...process.env, MUTATION_JOB: file, NODE_OPTIONS: "--max-old-space-size=1024" },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    let hung = false
    let known = -1
    let since = performance.now()
    const look = setInterval(() => {
      const events = readEvents(job.report)
      if (events.length !== known) {
        known = events.length
        since = performance.now()
        seen(events)
      }
      const end = last(events)
      if (performance.now() - since > (end?._ === "begins" ? end.limit : starts)) {
        hung = true
        child.kill("SIGKILL")
      }
    }, 200)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text
      })
    }
    child.on("close", (code) => {
      clearInterval(look)
      seen(readEvents(job.report))
      resolve({ ok: code === 0, hung, output })
    })
  })

/** Waits for all, also when one fails: the others still write their reports. */
const everyOne = async (promises: ReadonlyArray<Promise<void>>): Promise<void> => {
  for (const result of await Promise.allSettled(promises)) if (result.status === "rejected") throw result.reason
}

/** What becomes of each mutant. */
export const run = async (options: Options): Promise<ReadonlyArray<Verdict>> => {
  const { chosen = () => true, patience = 3000, progress, root, sources, tests, workers } = options
  const modules = modulesOf(options)
  const all = modules.flatMap(({ first, mutants, path }) =>
    mutants.map((mutant, i) => ({ number: first + i, mutant, path }))
  )
  const wanted = all.filter(({ mutant }) => chosen(mutant))
  const folder = mkdtempSync(`${tmpdir()}/mutate-`)
  const killed = new Map<number, Event & { readonly _: "killed" }>()
  const reached = new Set<number>()
  /** Test files that reach a module: a static mutant is found sooner when they come first. */
  const reaching = new Map<string, Set<string>>(sources.map((path) => [path, new Set()]))

  const seen = (events: ReadonlyArray<Event>): void => {
    for (const event of events) {
      if (event._ === "killed") killed.set(event.mutant, event)
      if (event._ !== "done") continue
      for (const mutant of event.reached) {
        reached.add(mutant)
        reaching.get(all[mutant]?.path ?? "")?.add(event.file)
      }
    }
    progress?.(killed.size, wanted.length)
  }
  let jobs = 0
  const start = (mutants: Job["mutants"], first = new Set<string>()): Promise<boolean> => {
    const at = `${folder}/${jobs++}`
    const ordered = tests.toSorted((a, b) => Number(first.has(b)) - Number(first.has(a)))
    return untilDone({ root, sources, tests: ordered, mutants, patience, report: `${at}.report` }, `${at}.json`, seen)
  }

  try {
    const dynamic = wanted.filter(({ mutant }) => !mutant.isStatic)
    await everyOne(
      Array.from({ length: workers }, async (_, i) => {
        const mutants = dynamic.flatMap(({ number }, at) => (at % workers === i ? [number] : []))
        if (mutants.length > 0) await start(mutants)
      })
    )
    const queue = wanted.filter(({ mutant }) => mutant.isStatic)
    const one = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const { number, path } = next
        reached.add(number)
        if (await start(number, reaching.get(path))) continue
        if (!killed.has(number)) killed.set(number, { _: "killed", mutant: number, name: "loading it", how: "fails" })
      }
    }
    await everyOne(Array.from({ length: workers }, one))
  } finally {
    rmSync(folder, { recursive: true })
  }

  return wanted.map(({ mutant, number, path }) => {
    const by = killed.get(number)
    if (by !== undefined) return { path, mutant, fate: by.how, by: by.name }
    return { path, mutant, fate: reached.has(number) ? "survived" : "not reached" }
  })
}
