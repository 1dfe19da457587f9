/** `resilience run`: real processes, signals and locks. */
import { spawn } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { fileNamed, lives, resilience, start, textOf, until, useCommand } from "./command.ts"

useCommand()

const sh = (script: string): ReadonlyArray<string> => ["--", "sh", "-c", script]

describe("exit codes", () => {
  it.each([
    ["the success of the job", [], "exit 0", 0],
    ["the code of the job", [], "exit 3", 3],
    ["0 for a code that counts as success", ["--success-on", "0,2-4"], "exit 3", 0],
    ["the code of a job whose success is another one", ["--success-on", "2"], "exit 1", 1],
    ["128 + n for a job that a signal ended", [], "kill -KILL $$", 137],
    ["124 for a timeout", ["--timeout", "100ms"], "sleep 60", 124],
    ["124 for a deadline", ["--deadline", "100ms", "--retry", "9"], "sleep 60", 124],
    [
      "124 for a job that ends well when the timeout ends it",
      ["--timeout", "100ms"],
      "trap 'exit 0' TERM; sleep 60",
      124
    ]
  ] as const)("%s", async (name, flags, script, code) => {
    assert.strictEqual((await resilience("run", "--name", `codes-${name.length}`, ...flags, ...sh(script))).code, code)
  })

  it("127 for a command that there is not, 126 for one that is not executable", async () => {
    const missing = await resilience("run", "--name", "missing", "--retry", "3", "--", "no-such-command")
    assert.strictEqual(missing.code, 127)
    assert.include(missing.stderr, "resilience: missing: no-such-command: command not found")
    assert.strictEqual((await resilience("run", "--name", "data", "--", "/etc/passwd")).code, 126)
  })

  it("125 for a mistake, with a sentence that says what is allowed", async () => {
    for (const [flag, value, sentence] of [
      ["--name", "../x", "1 to 64 letters, digits"],
      ["--timeout", "10", "a duration such as 500ms, 30s, 10m or 1h30m"],
      ["--timeout", "0s", "above zero"],
      ["--retry", "-1", "an integer from 0 to 1000"],
      ["--retry-on", "7-3", "exit codes such as 75"],
      ["--backoff", "1m..1s", "two such as 1s..1m"],
      ["--signal", "NONE", "a signal such as TERM"]
    ] as const) {
      const named = flag === "--name" ? [] : ["--name", "mistake"]
      const { code, stderr } = await resilience("run", ...named, `${flag}=${value}`, "--", "true")
      assert.deepStrictEqual([flag, code], [flag, 125])
      assert.include(stderr, sentence)
    }
  })
})

describe("retries", () => {
  it("repeat a job up to a number, each attempt with its number in the environment", async () => {
    const script = 'echo $RESILIENCE_NAME $RESILIENCE_ATTEMPT; [ "$RESILIENCE_ATTEMPT" = 3 ]'
    const { code, stderr, stdout } = await resilience(
      "run",
      "-n",
      "third",
      "--retry",
      "5",
      "--backoff",
      "1ms",
      ...sh(script)
    )
    assert.deepStrictEqual([code, stdout], [0, "third 1\nthird 2\nthird 3\n"])
    assert.include(stderr, "resilience: third: attempt 2 of 6 ended with exit 1")
  })

  it.each([
    ["a code that is not listed", ["--retry-on", "75"], "echo x; exit 1", 1],
    ["a listed code", ["--retry-on", "75"], "echo x; exit 75", 3],
    ["a mistake in the use of a command", [], "echo x; exit 64", 1],
    ["what a signal ended", [], "echo x; kill -KILL $$", 1],
    ["a timeout", ["--timeout", "100ms"], "echo x; sleep 60", 3]
  ] as const)("after %s", async (name, flags, script, attempts) => {
    const { stdout } = await resilience(
      "run",
      "-n",
      `after-${name.length}`,
      "--retry=2",
      "--backoff=1ms",
      ...flags,
      ...sh(script)
    )
    assert.strictEqual(stdout, "x\n".repeat(attempts))
  })

  it("give each attempt the time that is left", async () => {
    const { stdout } = await resilience("run", "-n", "left", "--deadline", "1h", ...sh("echo $RESILIENCE_REMAINING_MS"))
    assert.isAbove(Number(stdout), 3_000_000)
    assert.isAtMost(Number(stdout), 3_600_000)
  })
})

describe("the lock", () => {
  it("lets one run of a name at a time run, and another name beside it", async () => {
    const first = start(
      "run",
      "-n",
      "single",
      ...sh("touch $FOLDER/single; while [ ! -e $FOLDER/go ]; do sleep 0.02; done")
    )
    await until("the job runs", () => textOf("state/locks/single.lock").includes('"job"'))
    const second = await resilience("run", "-n", "single", ...sh("touch $FOLDER/never"))
    assert.strictEqual(second.code, 75)
    assert.match(second.stderr, /^resilience: single: single is already running \(job \d+, since 20/)
    assert.strictEqual((await resilience("run", "-n", "another", ...sh("exit 0"))).code, 0)
    assert.strictEqual(
      (await resilience("run", "-n", "single", "--overlap", "allow", ...sh("touch $FOLDER/go"))).code,
      0
    )
    assert.strictEqual((await first.ended).code, 0)
    assert.strictEqual((await resilience("run", "-n", "single", ...sh("exit 0"))).code, 0)
  })

  it("holds between two attempts", async () => {
    const first = start("run", "-n", "between", "--retry", "1", "--backoff", "1h", ...sh("exit 1"))
    await until(
      "the first attempt has ended",
      () =>
        textOf("state/locks/between.lock").includes('"since"') && !textOf("state/locks/between.lock").includes('"job"')
    )
    assert.strictEqual((await resilience("run", "-n", "between", ...sh("exit 0"))).code, 75)
    first.child.kill("SIGTERM")
    assert.strictEqual((await first.ended).code, 143)
  })

  it("is held by the job, also when its wrapper was killed; one that the wrapper alone holds is not", async () => {
    const script = (name: string) =>
      `echo $$ > $FOLDER/${name}.pid; while [ ! -e $FOLDER/${name}.end ]; do sleep 0.02; done`
    const wrapped = start("run", "-n", "orphan", ...sh(script("orphan")))
    await until("the job runs", () => textOf("orphan.pid").endsWith("\n"))
    wrapped.child.kill("SIGKILL")
    assert.strictEqual((await resilience("run", "-n", "orphan", ...sh("exit 0"))).code, 75)
    const job = Number(textOf("orphan.pid"))
    assert.isTrue(lives(job))
    await resilience("run", "-n", "other", ...sh("touch $FOLDER/orphan.end"))
    await until("the job has ended", () => !lives(job))
    assert.strictEqual((await resilience("run", "-n", "orphan", ...sh("exit 0"))).code, 0)

    // As `flock --close` does it: the descriptor stays with the wrapper.
    const env = { ...process.env, FOLDER: fileNamed(".") }
    const naive = spawn("flock", ["-n", "-o", fileNamed("naive.lock"), "sh", "-c", script("naive")], { env })
    await until("the job runs", () => textOf("naive.pid").endsWith("\n"))
    naive.kill("SIGKILL")
    await until("the wrapper is gone", () => naive.signalCode !== null)
    const beside = await new Promise((resolve) => {
      spawn("flock", ["-n", fileNamed("naive.lock"), "true"]).once("exit", resolve)
    })
    assert.strictEqual(beside, 0)
    assert.isTrue(lives(Number(textOf("naive.pid"))))
    await resilience("run", "-n", "other", ...sh("touch $FOLDER/naive.end"))
    await until("the job has ended", () => !lives(Number(textOf("naive.pid"))))
  })

  it("waits for a run that ends in time, and not longer than it may", async () => {
    const first = start(
      "run",
      "-n",
      "queue",
      ...sh("while [ ! -e $FOLDER/queue.end ]; do sleep 0.02; done; echo 1 >> $FOLDER/order")
    )
    await until("the job runs", () => textOf("state/locks/queue.lock").includes('"job"'))
    const impatient = await resilience(
      "run",
      "-n",
      "queue",
      "--overlap",
      "wait",
      "--lock-wait",
      "50ms",
      ...sh("exit 0")
    )
    assert.strictEqual(impatient.code, 75)
    const second = start("run", "-n", "queue", "--overlap", "wait", ...sh("echo 2 >> $FOLDER/order"))
    await resilience("run", "-n", "other", ...sh("touch $FOLDER/queue.end"))
    assert.deepStrictEqual([(await first.ended).code, (await second.ended).code], [0, 0])
    assert.strictEqual(textOf("order"), "1\n2\n")
  })

  it("replaces an older run, which ends with its whole group", async () => {
    const script = "(trap '' TERM; echo $$ > $FOLDER/replaced.pid; exec sleep 300)& wait"
    const first = start("run", "-n", "replaced", "--kill-after", "200ms", ...sh(script))
    await until("the job runs", () => textOf("replaced.pid").endsWith("\n"))
    const second = await resilience(
      "run",
      "-n",
      "replaced",
      "--overlap",
      "replace",
      "--kill-after",
      "30s",
      ...sh("exit 0")
    )
    assert.deepStrictEqual([second.code, (await first.ended).code], [0, 143])
    await until("the group is gone", () => !lives(Number(textOf("replaced.pid"))))
  })

  it("replaces what an older run has left behind, and no other process that has its number by now", async () => {
    await resilience("run", "-n", "daemon", ...sh("setsid sleep 300 & echo $! > $FOLDER/daemon.pid"))
    const file = fileNamed("state/locks/daemon.lock")
    const bystander = spawn("sleep", ["300"])
    await until("it runs", () => bystander.pid !== undefined)
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), wrapper: bystander.pid }))
    const { code } = await resilience("run", "-n", "daemon", "--overlap=replace", "--kill-after=0s", ...sh("exit 0"))
    assert.isTrue(lives(bystander.pid ?? 0))
    bystander.kill()
    assert.strictEqual(code, 0)
    await until("the daemon is gone", () => !lives(Number(textOf("daemon.pid"))))
  })

  it("says what is missing where a lock cannot be", async () => {
    const { code, stderr } = await resilience("run", "-n", "x", "--state-dir", "/dev/null", ...sh("exit 0"))
    assert.strictEqual(code, 125)
    assert.include(stderr, "cannot open the lock")
  })
})

describe("the end of a job", () => {
  it("is the end of its whole group: what ignores the signal is killed", async () => {
    const script = "sh -c 'trap \"\" TERM; echo $$ > $FOLDER/deaf.pid; while true; do sleep 0.1; done' & wait"
    const { code } = await resilience("run", "-n", "deaf", "--timeout", "300ms", "--kill-after", "100ms", ...sh(script))
    assert.strictEqual(code, 124)
    await until("the group is gone", () => !lives(Number(textOf("deaf.pid"))))
  })

  it.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
    ["SIGHUP", 129]
  ] as const)("on %s the job gets its signal and the exit is %i", async (signal, code) => {
    const run = start(
      "run",
      "-n",
      signal,
      "--signal",
      "USR1",
      ...sh(`trap 'echo told; exit 0' USR1; touch $FOLDER/${signal}; while true; do sleep 0.02; done`)
    )
    await until("the trap is set", () => existsSync(fileNamed(signal)))
    run.child.kill(signal)
    const ended = await run.ended
    assert.deepStrictEqual([ended.code, ended.stdout], [code, "told\n"])
  })

  it("keeps the output of a good day to itself with --quiet, and shows that of a bad one", async () => {
    const script = (code: number) => sh(`echo out; echo err >&2; exit ${code}`)
    const good = await resilience("run", "-n", "quiet", "--quiet", ...script(0))
    assert.deepStrictEqual(good, { code: 0, stdout: "", stderr: "" })
    const bad = await resilience("run", "-n", "quiet", "-q", "--retry", "1", "--backoff", "1ms", ...script(5))
    assert.deepStrictEqual([bad.code, bad.stdout], [5, "out\nout\n"])
    assert.strictEqual(bad.stderr, "err\nerr\nresilience: quiet: failed with exit 5 after 2 attempts\n")
  })

  it("is one line of JSON for each run", async () => {
    const json = ["--json", fileNamed("runs.jsonl")]
    await resilience("run", "-n", "told", ...json, "--retry", "1", "--backoff", "1ms", ...sh("exit 9"))
    await resilience("run", "-n", "told", ...json, ...sh("exit 0"))
    const [failed, well] = textOf("runs.jsonl")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    assert.deepInclude(failed, { name: "told", exit: 9, outcome: "failed", message: "failed with exit 9" })
    assert.deepStrictEqual(
      failed.attempts.map(({ exit }: { readonly exit: number }) => exit),
      [9, 9]
    )
    assert.deepInclude(well, { name: "told", exit: 0, outcome: "ok" })
    assert.notStrictEqual(failed.run, well.run)
  })
})
