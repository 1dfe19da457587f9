/** The options of `resilience run` that say when it may start, where its output goes and who is told. */
import { readdirSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Lock from "../../packages/cli/src/run/lock.ts"
import { addressOf } from "../../packages/cli/src/run/ping.ts"
import * as Schedules from "../../packages/cli/src/run/schedule.ts"
import * as Settings from "../../packages/cli/src/run/settings.ts"
import { fileNamed, resilience, start, textOf, until, useCommand } from "./command.ts"

useCommand()

const sh = (script: string): ReadonlyArray<string> => ["--", "sh", "-c", script]

describe("--start-within", () => {
  it("does not start a run whose time is over, by its schedule or since the command began", async () => {
    const at = new Date(Date.now() - 2 * 3_600_000)
    const schedule = `0 ${at.getMinutes()} ${at.getHours()} * * *`
    const run = (...flags: ReadonlyArray<string>) => resilience("run", "-n", "late", "--schedule", schedule, ...flags)
    const late = await run("--start-within=1h", "--json=-", ...sh("touch $FOLDER/never"))
    assert.strictEqual(late.code, 75)
    assert.match(late.stderr, /"exit":75,"outcome":"too late"/)
    assert.match(
      late.stderr,
      /resilience: late: not started: it was due at .*, (1h59m|2h\S*) ago, and --start-within is 1h\n/
    )
    assert.deepStrictEqual((await run("--start-within=3h", ...sh("echo on time"))).stdout, "on time\n")
    assert.deepStrictEqual((await run(...sh("echo any time"))).stdout, "any time\n")
    await run("--start-within=1h", ...sh("exit 0"))
    const [status] = JSON.parse((await resilience("status", "late", "--json")).stdout)
    assert.deepInclude(status, { skipped: 1, schedule, failures: 0 })
    assert.deepInclude(status.totals, { late: 2, success: 2 })
    assert.strictEqual(textOf("never"), "")
  })

  it("ends the wait for another run, which it does not replace when it is too late", async () => {
    const first = start("run", "-n", "slow", ...sh("while [ ! -e $FOLDER/slow ]; do sleep 0.02; done"))
    await until("the job runs", () => textOf("state/locks/slow.lock").includes('"job"'))
    const waits = await resilience("run", "-n", "slow", "--overlap=wait", "--start-within=50ms", ...sh("exit 0"))
    assert.strictEqual(waits.code, 75)
    const schedule = `0 ${(new Date().getMinutes() + 30) % 60} * * * *`
    const flags = ["--overlap=replace", "--start-within=1m", "--schedule", schedule]
    assert.strictEqual((await resilience("run", "-n", "slow", ...flags, ...sh("exit 0"))).code, 75)
    await resilience("run", "-n", "other", ...sh("touch $FOLDER/slow"))
    assert.strictEqual((await first.ended).code, 0)
  })

  it("finds the lock held when its time is over before it begins to wait", async () => {
    const settings = { name: "held", stateDir: fileNamed("held"), killAfter: 0, timeout: undefined } as const
    const found = await Effect.gen(function* () {
      yield* Lock.acquire({ ...settings, overlap: "forbid", lockWait: 0 }, "first")
      return yield* Effect.flip(Lock.acquire({ ...settings, overlap: "wait", lockWait: -3 }, "second"))
    }).pipe(Effect.scoped, Effect.runPromise)
    assert.strictEqual(found._tag, "AlreadyRunning")
  })

  it("reads a schedule in the time zone of the machine, the present moment included", () => {
    const noon = new Date(2026, 4, 4, 12, 0, 0).getTime()
    assert.strictEqual(Schedules.dueBefore("0 12 * * *", noon), noon)
    assert.strictEqual(Schedules.dueBefore("0 12 * * *", noon - 1), noon - 86_400_000)
    assert.strictEqual(Schedules.dueAfter("0 12 * * *", noon), noon + 86_400_000)
    assert.strictEqual(Settings.parseSchedule("0 12 * *"), undefined)
  })
})

describe("--log-dir", () => {
  it("appends the output of the job and the ends of its attempts, and shows the end of the output of a failed run", async () => {
    const log = ["--log-dir", fileNamed("logs"), "--retry=1", "--backoff=1ms"]
    const well = await resilience("run", "-n", "logged", ...log, ...sh("echo well; echo err >&2"))
    assert.deepStrictEqual(well, { code: 0, stdout: "", stderr: "" })
    const bad = await resilience("run", "-n", "logged", "--quiet", ...log, ...sh("echo bad; exit 3"))
    assert.match(
      bad.stderr,
      /^== .* attempt 1: sh -c .*\nbad\n== .* ended with exit 3 after \S+\n== .* attempt 2: .*\nbad\n== .*\nresilience: logged: the log is .*logs\/logged.log\nresilience: logged: failed with exit 3 after 2 attempts\n$/
    )
    assert.match(textOf("logs/logged.log"), /^== .*\nwell\nerr\n== .* ended with exit 0 .*\n== .*\nbad\n/)
  })

  it("begins a new file by size, keeps a number of older ones, and shows the last 10 kB only", async () => {
    const log = ["--log-dir", fileNamed("small"), "--log-size=1k", "--log-keep=2"]
    for (let run = 1; run <= 5; run++) {
      await resilience("run", "-n", "r", ...log, ...sh(`echo run ${run}; head -c 2000 /dev/zero | tr '\\0' x`))
    }
    assert.deepStrictEqual(readdirSync(fileNamed("small")).sort(), ["r.log", "r.log.1", "r.log.2"])
    assert.include(textOf("small/r.log"), "run 5\n")
    assert.include(textOf("small/r.log.2"), "run 3\n")
    const long = await resilience("run", "-n", "r", ...log, ...sh("head -c 50000 /dev/zero | tr '\\0' y; exit 1"))
    assert.isBelow(long.stderr.length, 10_300)
  })

  it("that cannot be costs a sentence, and the output goes where it goes without it", async () => {
    const { code, stderr, stdout } = await resilience("run", "-n", "nolog", "--log-dir=/dev/null/x", ...sh("echo x"))
    assert.deepStrictEqual([code, stdout], [0, "x\n"])
    assert.match(stderr, /^resilience: nolog: no log: ENOTDIR/)
  })
})

describe("--ping", () => {
  const serving = async (answer: (tries: number) => number) => {
    const seen: Array<string> = []
    let tries = 0
    const server = createServer((request, response) => {
      let body = ""
      request.on("data", (chunk) => {
        body += chunk
      })
      request.on("end", () => {
        seen.push(`${request.url?.replace(/rid=[-0-9a-f]{36}$/, "rid=ID")} ${body}`)
        response.statusCode = answer(tries++)
        response.end("ok")
      })
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/uuid`
    return { seen, url, close: () => server.close() }
  }

  it("tells a monitor of the start, of success, and of failure with the end of the output", async () => {
    const monitor = await serving(() => 200)
    await resilience("run", "-n", "told", "--ping", monitor.url, ...sh("exit 0"))
    await resilience("run", "-n", "told", "--ping", monitor.url, "--quiet", ...sh("echo words; exit 3"))
    await resilience("control", "isolate", "told")
    await resilience("run", "-n", "told", "--ping", monitor.url, ...sh("exit 0"))
    assert.deepStrictEqual(monitor.seen, [
      "/uuid/start?rid=ID ",
      "/uuid?rid=ID ",
      "/uuid/start?rid=ID ",
      "/uuid/fail?rid=ID failed with exit 3\nwords\n"
    ])
    monitor.close()
  })

  it("is sent again after a failure, and one that fails costs a sentence, and not the exit of the run", async () => {
    const monitor = await serving((tries) => (tries === 0 ? 503 : 200))
    await resilience("run", "-n", "again", "--ping", monitor.url, ...sh("exit 0"))
    assert.deepStrictEqual(monitor.seen, ["/uuid/start?rid=ID ", "/uuid/start?rid=ID ", "/uuid?rid=ID "])
    monitor.close()
    const { code, stderr } = await resilience("run", "-n", "gone", "--ping=http://127.0.0.1:1/x", ...sh("exit 0"))
    assert.strictEqual(code, 0)
    assert.match(stderr, /^(resilience: gone: no ping: .+\n){2}$/)
  })

  it("keeps the query of an address", () => {
    assert.strictEqual(addressOf("https://hc/ping/id/?a=1", "fail", "R"), "https://hc/ping/id/fail?a=1&rid=R")
  })
})

describe("the environment of the job", () => {
  it("has its name, run, attempt, key and deadline", async () => {
    const script =
      'echo "$RESILIENCE_NAME $RESILIENCE_ATTEMPT $((RESILIENCE_DEADLINE - $(date +%s)))"; [ "$RESILIENCE_RUN_ID" = "$RESILIENCE_IDEMPOTENCY_KEY" ]'
    const { code, stdout } = await resilience("run", "-n", "env", "--deadline=1h", ...sh(script))
    assert.strictEqual(code, 0)
    assert.match(stdout, /^env 1 3(599|600|598)\n$/)
  })
})

describe("--json", () => {
  it("that cannot be written costs a sentence", async () => {
    const { code, stderr } = await resilience("run", "-n", "json", "--json=/proc/none/x", ...sh("exit 0"))
    assert.strictEqual(code, 0)
    assert.match(stderr, /the record is not written: ENOENT/)
  })
})

describe("sizes and names", () => {
  it("are read as people write them", () => {
    assert.deepStrictEqual(["500k", "10M", "1G", "7", "1kb", "0", "x", "-1"].map(Settings.parseSize), [
      512_000,
      10_485_760,
      1_073_741_824,
      7,
      1024,
      undefined,
      undefined,
      undefined
    ])
    assert.deepStrictEqual(Settings.parseNames("A,b_1"), ["A", "b_1"])
    assert.strictEqual(Settings.parseNames("A-B"), undefined)
    assert.strictEqual(Settings.parseUrl("ftp://x"), undefined)
  })
})

describe("a wrong command line", () => {
  it("says what is wrong in a few lines on standard error, and nothing on standard output", async () => {
    for (const [args, sentence] of [
      [["run", "--", "true"], "resilience: Missing required flag: --name\n"],
      [["run", "-n", "a"], "resilience: Missing required argument: command\n"],
      [["run", "-n", "a b", "--", "true"], "1 to 64 letters"],
      [["run", "-n", "a", "--timeout", "10", "--", "true"], "a duration such as 500ms, 30s, 10m or 1h30m"],
      [
        ["run", "-n", "a", "--retries", "3", "--", "true"],
        "has no option --retries; did you mean --retry or --retry-on?"
      ],
      [["runn", "-n", "a"], "resilience: there is no command runn; did you mean run?"],
      [["control", "undo", "a"], "the number of an isolate or a disable, which resilience status shows"],
      [["spool", "drop", "first"], "the number of an entry, which resilience spool list shows"],
      [["history"], "resilience history --help"]
    ] as const) {
      const { code, stderr, stdout } = await resilience(...args)
      assert.deepStrictEqual([code, stdout], [125, ""], args.join(" "))
      assert.include(stderr, sentence)
      assert.isAtMost(stderr.split("\n").length, 4, stderr)
    }
  })

  it("is told of a shell when the command is a line for one, and of a name that no run has had", async () => {
    const line = await resilience("run", "-n", "line", "--", "echo a && echo b")
    assert.deepInclude(line, { code: 127, stdout: "" })
    assert.include(
      line.stderr,
      "echo a && echo b: command not found (a line for the shell is: -- sh -c 'echo a && echo b')"
    )
    const { code, stdout } = await resilience("control", "isolate", "lien", "--for", "1m")
    assert.strictEqual(code, 0)
    assert.match(stdout, /^lien: isolated .*\nnote: no run of lien is known: there are .*line/)
    assert.notInclude((await resilience("control", "isolate", "line", "--for", "1m")).stdout, "note")
  })
})
