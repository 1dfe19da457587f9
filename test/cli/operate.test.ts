/** `resilience status`, `history` and `control`: what operators see and set. */
import { userInfo } from "node:os"
import { assert, describe, it } from "@effect/vitest"
import { lives, resilience, start, textOf, until, useCommand } from "./command.ts"

useCommand()

const sh = (script: string): ReadonlyArray<string> => ["--", "sh", "-c", script]

const ok = async (...args: ReadonlyArray<string>): Promise<string> => {
  const { code, stderr, stdout } = await resilience(...args)
  assert.deepStrictEqual([code, stderr], [0, ""])
  return stdout
}

const statusOf = async (name: string) => JSON.parse(await ok("status", name, "--json"))[0]

const run = (name: string, script: string, openFor = "1h") =>
  resilience("run", "-n", name, "--open-after", "2", "--open-for", openFor, "--budget", "20%", ...sh(script))

describe("status", () => {
  it("says that a job fails, that it is not run for a time, and that it has recovered", async () => {
    await run("feed", "exit 3")
    assert.match(
      await ok("status", "feed"),
      /^NAME .*\nfeed {2}failed {2}\S+ ago +3 +\S+ +1 {2}.*closed \(1 of 2\) {2}- {2}/
    )
    await run("feed", "exit 3")
    assert.strictEqual((await run("feed", "exit 0")).code, 69)
    const failing = await statusOf("feed")
    assert.deepInclude(failing, {
      name: "feed",
      failures: 2,
      skipped: 1,
      lastSuccess: null,
      running: [],
      overrides: []
    })
    assert.deepInclude(failing.last, { outcome: "failed", exit: 3, attempts: 1, message: "failed with exit 3" })
    assert.deepInclude(failing.circuit, { state: "open", openings: 1, after: 2 })
    assert.isAbove(Date.parse(failing.circuit.until), Date.now() + 50 * 60_000)
    assert.deepInclude(failing.totals, { failure: 2, refused: 1, openings: 1 })
    assert.strictEqual(failing.budget.capacity, 10)
    assert.match(await ok("status"), /feed .* 2 +1 +open until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(in (59m\d*s?|1h)\)/)

    assert.strictEqual(failing.circuit.why, "after 2 failed runs in a row; the last one failed with exit 3")
    assert.isAbove(Date.parse(failing.circuit.since), Date.now() - 600_000)
    const text = await ok("status", "feed")
    assert.match(text, / {2}runs +failed, failed \(the newest first\)\n {2}last success +none yet\n/)
    assert.match(
      text,
      / {4}since +\d{4}-\S+ \S+ \(\S+ ago\)\n {4}why +after 2 failed runs in a row; the last one failed with exit 3\n/
    )
    assert.match(text, / {2}budget +10\.0 of 10 retries\n/)
    assert.deepStrictEqual(
      failing.recent.map(({ outcome }: { readonly outcome: string }) => outcome),
      ["failed", "failed"]
    )

    await run("feed", "exit 3", "1ms")
    assert.strictEqual((await statusOf("feed")).circuit.state, "half-open")
    assert.include(await ok("status", "feed"), "half-open: the next run is the probe")
    await run("feed", "exit 0", "1ms")
    const well = await statusOf("feed")
    assert.deepInclude(well, { failures: 0, skipped: 0 })
    assert.deepInclude(well.circuit, { state: "closed", failures: 0, until: null })
    assert.isAbove(Date.parse(well.lastSuccess), Date.now() - 600_000)

    const lines = (await ok("history", "feed", "--limit", "3")).split("\n")
    assert.match(lines[0] ?? "", /^STARTED +OUTCOME +EXIT +TOOK +ATTEMPTS +RUN +MESSAGE$/)
    assert.match(lines[1] ?? "", /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}ok +0 /)
    assert.strictEqual(lines.length, 5)
    const runs: ReadonlyArray<{ readonly exit: number }> = JSON.parse(await ok("history", "feed", "--json"))
    assert.deepStrictEqual(
      runs.map(({ exit }) => exit),
      [0, 3, 3, 3]
    )
  })

  it("says which process runs a job, also one whose wrapper was killed, and that this run was lost", async () => {
    const wrapped = start("run", "-n", "long", ...sh("while [ ! -e $FOLDER/long ]; do sleep 0.02; done"))
    const lock = () => textOf("state/locks/long.lock")
    await until("the job runs", () => lock().includes('"job"'))
    assert.strictEqual((await statusOf("long")).running[0].pid, wrapped.child.pid)
    const { job } = JSON.parse(lock())
    wrapped.child.kill("SIGKILL")
    await until("the wrapper is gone", () => wrapped.child.signalCode !== null)
    assert.deepInclude((await statusOf("long")).running[0], { pid: job, orphan: true })
    assert.include(await ok("status", "long"), "(its resilience was killed)")
    await resilience("run", "-n", "other", ...sh("touch $FOLDER/long"))
    await until("the job has ended", () => !lives(job))
    const after = await statusOf("long")
    assert.deepStrictEqual([after.running, after.last.outcome, after.failures], [[], "lost", 0])
    await resilience("run", "-n", "long", ...sh("exit 0"))
    assert.match(await ok("history", "long"), /\n.* ok .*\n.* lost +137 .* resilience was killed\n$/)
  })

  it("is shown again and again with --watch", async () => {
    const watching = start("status", "--watch", "--every=20ms")
    let shown = ""
    watching.child.stdout?.on("data", (chunk) => {
      shown += chunk
    })
    await until("it was shown three times", () => shown.split("NAME").length > 3)
    watching.child.kill("SIGINT")
    assert.strictEqual((await watching.ended).code, 130)
  })

  it("names the jobs that it knows when it is asked for another one", async () => {
    const { code, stderr } = await resilience("status", "nothing")
    assert.strictEqual(code, 125)
    assert.match(stderr, /^resilience: no run of nothing is known: there are .*feed, .*long/)
    assert.strictEqual((await resilience("history", "nothing")).code, 125)
  })
})

describe("control", () => {
  it("isolates a job: a run says who, why and until when, and undo ends it", async () => {
    await run("iso", "exit 3")
    const text = await ok("control", "isolate", "iso", "--for", "15m", "--reason", "INC-7", "--by", "ann")
    assert.match(text, /^iso: isolated by ann: INC-7, until .* \(in 15m\); to end it: resilience control undo \d+\n$/)
    for (const name of ["iso", "iso"]) {
      const { code, stderr, stdout } = await resilience("run", "-n", name, ...sh("echo never"))
      assert.deepStrictEqual([code, stdout], [69, ""])
      assert.match(stderr, /^resilience: iso: not started: isolated by ann: INC-7, until .* \(in 1[45]m.*\)\n$/)
    }
    const { overrides, skipped } = await statusOf("iso")
    assert.strictEqual(skipped, 2)
    assert.deepInclude(overrides[0], { command: "isolate", by: "ann", reason: "INC-7" })
    assert.match(await ok("status", "iso"), new RegExp(`#${overrides[0].id} isolate for 1[45]m`))
    assert.strictEqual(await ok("control", "undo", String(overrides[0].id)), "iso: isolate undone\n")
    assert.strictEqual((await resilience("control", "undo", String(overrides[0].id))).code, 125)
    // The circuit is as it was: one failure more opens it.
    assert.strictEqual((await run("iso", "exit 3")).code, 3)
    assert.strictEqual((await run("iso", "exit 3")).code, 69)
  })

  it("isolates for a time and no longer, and a run that waits for another one or replaces it is refused at once", async () => {
    await ok("control", "isolate", "short", "--for", "1ms")
    assert.strictEqual((await run("short", "exit 0")).code, 0)
    const running = start("run", "-n", "short", ...sh("while [ ! -e $FOLDER/short ]; do sleep 0.02; done"))
    await until("the job runs", () => textOf("state/locks/short.lock").includes('"job"'))
    assert.match(await ok("control", "isolate", "short"), /^short: isolated by .*, until it is undone;/)
    for (const overlap of ["wait", "replace"]) {
      assert.strictEqual((await resilience("run", "-n", "short", "--overlap", overlap, ...sh("exit 0"))).code, 69)
    }
    await ok("control", "close", "short")
    await resilience("run", "-n", "other", ...sh("touch $FOLDER/short"))
    assert.strictEqual((await running.ended).code, 0)
    assert.strictEqual((await run("short", "exit 0")).code, 0)
  })

  it("disables a circuit, so that runs do not count, until enable", async () => {
    await run("off", "exit 3")
    await ok("control", "disable", "off", "--reason", "we know")
    for (let runs = 0; runs < 3; runs++) assert.strictEqual((await run("off", "exit 3")).code, 3)
    const { circuit, overrides } = await statusOf("off")
    assert.deepInclude(circuit, { state: "closed", failures: 1 })
    assert.strictEqual(overrides[0].by, process.env["SUDO_USER"] || userInfo().username)
    await ok("control", "enable", "off")
    assert.strictEqual((await run("off", "exit 3")).code, 3)
    assert.strictEqual((await run("off", "exit 3")).code, 69)
    await ok("control", "reset", "off")
    assert.deepInclude((await statusOf("off")).circuit, { state: "closed", openings: 0 })
    assert.strictEqual((await run("off", "exit 3")).code, 3)
  })

  it("opens a circuit for exactly its time, and closes it", async () => {
    assert.include(
      (await resilience("control", "open", "unseen")).stderr,
      "unseen has no circuit: run it with --open-after"
    )
    await run("open", "exit 0")
    await ok("control", "open", "open", "--for", "3h", "--by", "ann", "--reason", "upstream is down")
    const refused = await run("open", "exit 0")
    assert.strictEqual(refused.code, 69)
    assert.match(refused.stderr, /its circuit is open, by ann: upstream is down, until .* \(in (2h59m|3h)\)/)
    assert.strictEqual((await statusOf("open")).circuit.state, "open")
    await ok("control", "close", "open")
    assert.strictEqual((await run("open", "exit 0")).code, 0)
    await ok("control", "open", "open", "--for", "1ms")
    assert.strictEqual((await run("open", "exit 0")).code, 0)
    assert.strictEqual((await statusOf("open")).circuit.state, "closed")
  })

  it("refuses a name, a time and a text that are none", async () => {
    for (const args of [
      ["isolate", "../x"],
      ["isolate", "x", "--for", "0s"],
      ["isolate", "x", "--by", ""],
      ["isolate", "x", "--reason", "a\nb"],
      ["undo", "99999"]
    ]) {
      assert.deepStrictEqual([args, (await resilience("control", ...args)).code], [args, 125])
    }
  })
})
