/** What follows a run: `--on-failure`, `--on-recovery` and `--metrics`. */
import { mkdirSync, readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { fileNamed, resilience, textOf, useCommand } from "./command.ts"

useCommand()

const sh = (script: string): ReadonlyArray<string> => ["--", "sh", "-c", script]

describe("the commands of an operator", () => {
  const write = (what: string) =>
    `echo ${what} $RESILIENCE_NAME $RESILIENCE_OUTCOME $RESILIENCE_EXIT $RESILIENCE_FAILURES >> $FOLDER/told; echo "$RESILIENCE_RECORD" > $FOLDER/record`

  it("run after each failed run and after the first success that follows, with the record in the environment", async () => {
    const run = (script: string, ...flags: ReadonlyArray<string>) =>
      resilience(
        "run",
        "-n",
        "told",
        "--open-after=2",
        "--on-failure",
        write("failure"),
        "--on-recovery",
        write("recovery"),
        ...flags,
        ...sh(script)
      )
    await run("exit 0")
    assert.strictEqual(textOf("told"), "")
    await run("exit 3", "--retry=1", "--backoff=1ms")
    assert.deepInclude(JSON.parse(textOf("record")), { name: "told", exit: 3, message: "failed with exit 3" })
    assert.strictEqual(JSON.parse(textOf("record")).attempts.length, 2)
    await run("sleep 60", "--timeout=50ms")
    assert.strictEqual((await run("exit 0")).code, 69)
    await run("exit 0", "--open-for=1ms")
    await run("exit 0")
    assert.strictEqual(textOf("told"), "failure told failed 3 1\nfailure told timed out 124 2\nrecovery told ok 0 2\n")
  })

  it("that fail cost a sentence, and not the exit of the run", async () => {
    const { code, stderr, stdout } = await resilience(
      "run",
      "-n",
      "bad",
      "--on-failure",
      "echo words; exit 9",
      ...sh("exit 3")
    )
    assert.deepStrictEqual([code, stdout], [3, ""])
    assert.strictEqual(
      stderr,
      "resilience: bad: failed with exit 3\nwords\nresilience: bad: the command of --on-failure failed: it ended with exit 9\n"
    )
  })
})

describe("the file of the metrics", () => {
  it("has the counters and the circuit of the job, and is put in its place whole", async () => {
    mkdirSync(fileNamed("prom"))
    const run = (script: string, ...flags: ReadonlyArray<string>) =>
      resilience(
        "run",
        "-n",
        "measured",
        "--open-after=2",
        "--budget=20%",
        "--metrics",
        fileNamed("prom/measured.prom"),
        ...flags,
        ...sh(script)
      )
    await run("exit 0")
    await run("exit 3", "--retry=1", "--backoff=1ms")
    await run("exit 3")
    await run("exit 0")
    const text = textOf("prom/measured.prom")
    assert.deepStrictEqual(readdirSync(fileNamed("prom")), ["measured.prom"])
    const value = (name: string, labels = "") =>
      text
        .split("\n")
        .find((line) => line.startsWith(`${name}{policy="measured",kind="Job"${labels}} `))
        ?.split(" ")[1]
    assert.deepStrictEqual(
      [
        value("resilience_calls_total"),
        value("resilience_attempts_total", ',outcome="success"'),
        value("resilience_attempts_total", ',outcome="failure"'),
        value("resilience_rejections_total", ',reason="CircuitOpen"'),
        value("resilience_retries_total"),
        value("resilience_circuit_openings_total"),
        value("resilience_circuits", ',state="open"'),
        value("resilience_circuits", ',state="closed"'),
        value("resilience_job_failures"),
        value("resilience_job_last_exit_code")
      ],
      ["4", "1", "3", "1", "1", "1", "1", "0", "2", "3"]
    )
    // Each series once, after its HELP and its TYPE.
    for (const line of text.trimEnd().split("\n")) {
      assert.match(line, /^(# (HELP|TYPE) resilience_[a-z_]+ .+|resilience_[a-z_]+\{[^{}]+\} -?\d+(\.\d+)?(e-?\d+)?)$/)
    }
  })

  it("that cannot be written costs a sentence", async () => {
    const { code, stderr } = await resilience("run", "-n", "nowhere", "--metrics", "/proc/none/x.prom", ...sh("exit 3"))
    assert.strictEqual(code, 3)
    assert.match(stderr, /the metrics are not written: ENOENT/)
  })
})
