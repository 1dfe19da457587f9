// A crontab in fast motion: jobs that fail and hang under `resilience run`, whose wrappers and processes are killed at random.
import { type ChildProcess, spawn } from "node:child_process"
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { parseArgs } from "node:util"
import { seeded } from "../../../test/support/random.ts"
import { bundle } from "../../cli/bundle.ts"

interface Options {
  readonly jobs: number
  readonly minutes: number
  /** Milliseconds of a minute. */
  readonly minute: number
  /** The longest time between two runs of a job, in minutes; each job has its own. Default: 8. */
  readonly longest?: number | undefined
  readonly seed: number
  /** The file of the command; bundled when left out. */
  readonly command?: string | undefined
  readonly progress?: ((line: string) => void) | undefined
}

interface Report {
  readonly runs: number
  /** Wrappers and jobs that were killed. */
  readonly killed: number
  readonly outcomes: Readonly<Record<string, number>>
  readonly spooled: number
  /** Runs that could not note their beginning, because others kept the file for too long: the machine is overloaded. */
  readonly unnoted: number
  /** What is wrong; empty when all holds. */
  readonly wrong: ReadonlyArray<string>
}

export const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/**
 * The job: a lock of its own, which the kernel frees when its last process ends, says whether two of a name run at once. Then it sleeps in a
 * process of its own, and ends as it is told.
 */
const script = `exec 9>"$STORM/$RESILIENCE_NAME.witness"
flock -n 9 || echo "two of $RESILIENCE_NAME at once" >> "$STORM/violations"
sleep "$1"
exit "$2"
`

const seconds = (millis: number): string => (millis / 1000).toFixed(3)

/** The processes that live with a mark in their environment. */
export const processesOf = (mark: string): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        if (readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")) return false
        return readFileSync(`/proc/${pid}/environ`, "utf8").includes(mark)
      } catch {
        return false
      }
    })

interface Row {
  readonly run: string
  readonly outcome: string
}

const failed = (outcome: string): boolean => ["failed", "timed out", "not started"].includes(outcome)

const check = (folder: string): Pick<Report, "outcomes" | "spooled" | "unnoted" | "wrong"> => {
  const wrong: Array<string> = []
  const violations = join(folder, "violations")
  if (existsSync(violations)) wrong.push(readFileSync(violations, "utf8").trim())
  const database = new DatabaseSync(join(folder, "state", "state.sqlite"))
  const integrity = Object.values(database.prepare("PRAGMA integrity_check").get() ?? {})[0]
  if (integrity !== "ok") wrong.push(`integrity_check: ${integrity}`)
  const spooled = database
    .prepare("SELECT run FROM spool")
    .all()
    .map(({ run }) => String(run))
  if (new Set(spooled).size !== spooled.length) wrong.push("a run is in the spool twice")
  const ended: ReadonlyArray<Row> = database
    .prepare("SELECT id, data FROM runs WHERE ended IS NOT NULL")
    .all()
    .map(({ data }) => JSON.parse(String(data)))
  database.close()
  // What the file says, and what each wrapper said that lived to say it.
  const records = join(folder, "records")
  const said: ReadonlyArray<Row> = existsSync(records)
    ? readFileSync(records, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line))
    : []
  for (const [who, rows] of [
    ["the file", ended],
    ["a wrapper", said]
  ] as const) {
    for (const { outcome, run } of rows) {
      const times = spooled.filter((one) => one === run).length
      if (times !== (failed(outcome) ? 1 : 0)) wrong.push(`${who} says that run ${run} ${outcome}: ${times} entries`)
    }
  }
  const outcomes: Record<string, number> = {}
  for (const { outcome } of [...said, ...ended.filter(({ outcome }) => outcome === "lost")]) {
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  }
  const unnoted = readFileSync(join(folder, "log"), "utf8").split("cannot be kept").length - 1
  return { outcomes, spooled: spooled.length, unnoted, wrong }
}

/** Runs the crontab, and says what was wrong. */
export const storm = async (options: Options): Promise<Report> => {
  const { jobs, longest = 8, minute, minutes, progress, seed } = options
  // The same storm for the same seed, apart from what the machine adds.
  const random = seeded(seed)
  const folder = mkdtempSync(join(tmpdir(), "resilience-storm-"))
  const mark = `STORM=${folder}`
  try {
    const command = options.command ?? (await bundle(join(folder, "bin")))
    mkdirSync(join(folder, "state"))
    writeFileSync(join(folder, "job.sh"), script)
    const env = { ...process.env, STORM: folder, RESILIENCE_STATE_DIR: join(folder, "state") }
    const log = openSync(join(folder, "log"), "a")
    const limits = ["--timeout", `${minute}ms`, "--kill-after", "200ms"]
    const start = (name: string, ...args: ReadonlyArray<string>): ChildProcess =>
      spawn(process.execPath, [command, "run", "-n", name, ...limits, ...args], {
        env,
        stdio: ["ignore", "ignore", log]
      })
    const living = new Set<ChildProcess>()
    const ends: Array<Promise<void>> = []
    let killed = 0
    const kill = (pid: number | undefined): void => {
      try {
        if (pid !== undefined && process.kill(pid, "SIGKILL")) killed += 1
      } catch {
        // It has ended.
      }
    }
    const end = (child: ChildProcess): void => {
      if (living.has(child)) kill(child.pid)
    }
    /** The process of the job that a wrapper has started, as the lock says. */
    const jobOf = (name: string, { pid }: ChildProcess): number | undefined => {
      try {
        const { job, wrapper } = JSON.parse(readFileSync(join(folder, "state", "locks", `${name}.lock`), "utf8"))
        return wrapper === pid ? job : undefined
      } catch {
        return undefined
      }
    }
    const whenRunning = async (name: string, child: ChildProcess): Promise<void> => {
      while (living.has(child) && jobOf(name, child) === undefined) await pause(25)
    }
    const launch = (name: string): void => {
      const chance = random()
      const sleep = chance < 0.05 ? 60 * minute : random() * minute * 0.8
      const code = random() < 0.6 ? 0 : random() < 0.7 ? 3 : 75
      const flags = ["--spool", "--retry=1", "--backoff=20ms", "--open-after=4", `--open-for=${2 * minute}ms`]
      const child = start(
        name,
        ...flags,
        "--json",
        join(folder, "records"),
        "--",
        "sh",
        join(folder, "job.sh"),
        seconds(sleep),
        String(code)
      )
      living.add(child)
      ends.push(
        new Promise((resolve) => {
          child.once("exit", () => {
            living.delete(child)
            resolve()
          })
        })
      )
      const fate = random()
      const when = random() * minute * 0.8
      // At any moment of its start, and at any moment of its job: a busy machine takes long to start a process.
      if (fate < 0.1) setTimeout(() => end(child), 100 + when)
      else if (fate < 0.35) {
        void whenRunning(name, child).then(() => {
          setTimeout(() => {
            if (fate < 0.25) end(child)
            if (fate > 0.2) kill(jobOf(name, child))
          }, when)
        })
      }
    }
    const crontab = Array.from({ length: jobs }, (_, index) => ({
      name: `job-${index}`,
      // Some every minute, most every few.
      every: 1 + Math.floor(random() * longest)
    }))
    for (let at = 0; at < minutes; at++) {
      const due = crontab.filter(({ every }) => at % every === 0)
      for (const { name } of due) {
        launch(name)
        // As a machine would start them: not all in one instant.
        await pause((minute * 0.9) / due.length)
      }
      progress?.(`minute ${at + 1} of ${minutes}: ${ends.length} runs, ${killed} killed, ${living.size} under way`)
      await pause(minute * 0.1)
    }
    await Promise.all(ends)
    const runs = ends.length
    // A job that lost its wrapper has its time: then the next run of its name ends it.
    await pause(minute + 400)
    const wrong: Array<string> = []
    for (const { name } of crontab) {
      const status = await new Promise((resolve) => {
        start(name, "--open-after=1000", "--open-for=1ms", "--", "true").once("exit", resolve)
      })
      if (status !== 0) wrong.push(`${name} does not run after the storm: exit ${status}`)
    }
    const orphans = processesOf(mark).filter((pid) => pid !== process.pid)
    if (orphans.length > 0) wrong.push(`processes that are left: ${orphans.join(", ")}`)
    for (const pid of orphans) kill(pid)
    closeSync(log)
    const checked = check(folder)
    return { runs, killed, ...checked, wrong: [...wrong, ...checked.wrong] }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const help = `Runs a crontab in fast motion, with jobs that fail and hang, and kills wrappers and jobs at random. Then: never two of one name at
once, each run that failed for good once in the spool, a file that is whole, no process that is left.

  npx tool jobs                              50 jobs, 20 minutes of 6 seconds
  npx tool jobs --jobs 5 --minutes 4 --minute 1500
  npx tool jobs --seed 42

Exit code 1 when something is wrong.`

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      jobs: { type: "string", default: "50" },
      minutes: { type: "string", default: "20" },
      minute: { type: "string", default: "6000" },
      seed: { type: "string" },
      help: { type: "boolean", default: false }
    }
  })
  if (values.help) console.log(help)
  else {
    const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed)
    const [jobs, minutes, minute] = [Number(values.jobs), Number(values.minutes), Number(values.minute)]
    console.log(`${jobs} jobs, ${minutes} minutes of ${minute} ms, seed ${seed}`)
    const { killed, outcomes, runs, spooled, unnoted, wrong } = await storm({
      jobs,
      minutes,
      minute,
      seed,
      progress: console.log
    })
    const counts = Object.entries(outcomes).map(([outcome, count]) => `${count} ${outcome}`)
    console.log(`${runs} runs, ${killed} killed, ${spooled} in the spool, ${unnoted} not noted; ${counts.join(", ")}`)
    for (const line of wrong) console.error(line)
    console.log(wrong.length === 0 ? "all holds" : `FAILED: npx tool jobs --seed ${seed}`)
    process.exitCode = wrong.length === 0 ? 0 : 1
  }
}
