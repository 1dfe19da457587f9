/** The files of `examples/jobs`, as cron, systemd and a shell run them. */
import { spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { userInfo } from "node:os"
import { resolve } from "node:path"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { parseSchedule } from "../../packages/cli/src/run/settings.ts"
import { commandFile, fileNamed, useCommand } from "../cli/command.ts"

useCommand()

const examples = resolve("examples/jobs")
const textOf = (name: string): string => readFileSync(`${examples}/${name}`, "utf8")
const has = (command: string): boolean => spawnSync("sh", ["-c", `command -v ${command}`]).status === 0

/** What the files name, at its place here. */
const here = (text: string): string =>
  text
    .replaceAll("/usr/local/bin/resilience", fileNamed("bin/resilience"))
    .replaceAll("/usr/local/bin:", `${fileNamed("bin")}:`)
    .replaceAll("/opt/jobs", examples)
    .replaceAll(/\/srv(?=\/)/g, fileNamed("srv"))
    .replaceAll(/\/var\/log\/\w+/g, fileNamed("log"))

beforeAll(() => {
  for (const name of ["bin", "srv", "srv/offer", "srv/feed", "srv/users", "srv/invoices"]) {
    mkdirSync(fileNamed(name), { recursive: true })
  }
  writeFileSync(fileNamed("bin/resilience"), `#!/bin/sh\nexec ${process.execPath} ${commandFile()} "$@"\n`)
  chmodSync(fileNamed("bin/resilience"), 0o755)
})

interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

const sh = (command: string, env: Readonly<Record<string, string>>): Ran =>
  spawnSync("/bin/sh", ["-c", command], { encoding: "utf8", env: { ...env, RESILIENCE_STATE_DIR: fileNamed("jobs") } })

const path = (): Readonly<Record<string, string>> => ({ PATH: `${fileNamed("bin")}:/usr/bin:/bin` })

/** Without the time that a machine has. */
const quick = (command: string): string =>
  command.replace("--splay 20s", "--splay 1ms").replace("--retry 5", "--retry 1 --backoff 1ms")

describe("the crontab", () => {
  interface Line {
    readonly schedule: string
    readonly command: string
  }

  /** As cron(8) reads it: variables, five fields, and a command whose first % that is not escaped would begin its input. */
  const read = () => {
    const env: Record<string, string> = { SHELL: "/bin/sh", HOME: "/", LOGNAME: userInfo().username }
    const lines: Array<Line> = []
    for (const line of here(textOf("crontab")).split("\n")) {
      if (line.trim() === "" || line.startsWith("#")) continue
      const [, variable, value] = /^(\w+)\s*=\s*(.*)$/.exec(line) ?? []
      if (variable !== undefined && value !== undefined) {
        env[variable] = value
        continue
      }
      const [, schedule = "", command = ""] = /^((?:\S+\s+){4}\S+)\s+(.+)$/.exec(line) ?? []
      assert.notMatch(command, /(?<!\\)%/)
      lines.push({ schedule, command: command.replaceAll("\\%", "%") })
    }
    return { env, lines }
  }

  it("is read by cron, and its commands run with the environment that cron gives them", () => {
    const { env, lines } = read()
    assert.strictEqual(lines.length, 4)
    const run = (index: number): Ran => sh(quick(lines[index]?.command ?? ""), env)
    for (const { schedule } of lines) assert.isDefined(parseSchedule(schedule))
    assert.deepInclude(run(0), { status: 0, stdout: "", stderr: "" })
    const bad = { ...run(2) }
    assert.strictEqual(bad.status, 75)
    assert.match(bad.stderr, /report: kept in the spool: resilience spool retry 1\n/)
    mkdirSync(fileNamed("srv/report"))
    assert.include(run(3).stdout, "report: entry 1 is done\n")
    if (has("crontab")) {
      const { status, stderr } = spawnSync("crontab", ["-T", `${examples}/crontab`], { encoding: "utf8" })
      // Old ones do not know -T.
      if (!stderr.includes("invalid option")) assert.strictEqual(status, 0, stderr)
    }
  })
})

describe("the units", () => {
  it("are what systemd takes, and the command of the service runs", () => {
    const service = here(textOf("feed.service"))
    const command = /^ExecStart=(.+)$/m.exec(service)?.[1] ?? ""
    // The timer starts it at each quarter of an hour, and the test at any moment between.
    const now = command.replace("--start-within 10m", "--start-within 15m")
    assert.notStrictEqual(now, command)
    assert.deepInclude(sh(now, path()), { status: 0, stdout: "", stderr: "" })
    assert.match(readFileSync(fileNamed("log/feed.log"), "utf8"), /attempt 1 from .*srv\/feed, key [-0-9a-f]{36}\n/)
    if (!has("systemd-analyze")) return
    const units = fileNamed("units")
    mkdirSync(units)
    writeFileSync(`${units}/feed.service`, service)
    writeFileSync(`${units}/feed.timer`, textOf("feed.timer"))
    const verified = spawnSync(
      "systemd-analyze",
      ["verify", "--man=no", `${units}/feed.timer`, `${units}/feed.service`],
      {
        encoding: "utf8"
      }
    )
    assert.notInclude(verified.stderr, "feed.")
  })
})

describe("the scripts", () => {
  it("work through three dependencies, of which one that is down rests", () => {
    const worker = `ROUNDS=3 PAUSE=0 OFFERS=${fileNamed("srv")} ${examples}/worker.sh`
    const { status, stderr, stdout } = sh(worker, path())
    const round = (orders: string): string => `users: done\norders: ${orders}\ninvoices: done\n`
    assert.deepStrictEqual(
      [status, stdout.replaceAll(/^attempt.*\n/gm, "")],
      [0, round("failed with 75") + round("failed with 75") + round("rests")]
    )
    assert.match(stderr, /worker-orders: not started: its circuit is open, after 2 failed runs in a row/)
  })

  it("keep a job from running in an incident, and run again what failed for good after it", () => {
    const down = `resilience run --name upload --spool --quiet -- ${examples}/sync.sh ${fileNamed("srv/upload")}`
    assert.strictEqual(sh(down, path()).status, 75)
    const begun = sh(`${examples}/incident.sh begin upload INC-7`, path())
    assert.match(begun.stdout, /upload: isolated by .*: INC-7, until .* \(in (2h|1h59m)\)/)
    assert.strictEqual(sh(down, path()).status, 69)
    mkdirSync(fileNamed("srv/upload"))
    const ended = sh(`${examples}/incident.sh end upload INC-7`, path())
    assert.strictEqual(ended.status, 0)
    assert.match(ended.stdout, /upload: entry \d+ is done\n[\s\S]* ok .*\n.* failed +75 /)
    assert.strictEqual(sh(`${examples}/incident.sh other upload INC-7`, path()).status, 64)
  })
})
