/** A share of `npx tool jobs`: a crontab in fast motion, whose wrappers and jobs are killed at random. */
import { assert, describe, it } from "@effect/vitest"
import { storm } from "../../packages/tools/src/jobs.ts"
import { commandFile, lives, resilience, start, textOf, until, useCommand } from "./command.ts"

useCommand()

const sh = (script: string): ReadonlyArray<string> => ["--", "sh", "-c", script]

describe("runs that are killed", () => {
  it("never run beside another one of their name, are in the spool once when they failed, and leave a whole file and no process", async () => {
    const report = await storm({ jobs: 4, minutes: 3, minute: 1000, longest: 2, seed: 11, command: commandFile() })
    assert.deepStrictEqual(report.wrong, [])
    assert.isAbove(report.runs, 4)
    assert.isAbove(report.killed, 0)
  })

  it("leave a job that has its time: the next run ends it when that is over, and not before", async () => {
    const script = "echo $$ > $FOLDER/left.pid; sleep 60 & wait"
    const flags = ["--timeout=1500ms", "--kill-after=100ms"]
    const first = start("run", "-n", "left", ...flags, ...sh(script))
    await until("the job runs", () => textOf("left.pid").endsWith("\n"))
    first.child.kill("SIGKILL")
    await until("the wrapper is gone", () => first.child.signalCode !== null)
    assert.strictEqual((await resilience("run", "-n", "left", ...flags, ...sh("exit 0"))).code, 75)
    const over: number = JSON.parse(textOf("state/locks/left.lock")).until
    assert.isNumber(over)
    await until("its time is over", () => Date.now() > over)
    assert.strictEqual((await resilience("run", "-n", "left", ...flags, ...sh("exit 0"))).code, 0)
    assert.isFalse(lives(Number(textOf("left.pid"))))
  })

  it("end what a job leaves behind that a signal has ended", async () => {
    const { code } = await resilience(
      "run",
      "-n",
      "shot",
      "--kill-after=100ms",
      ...sh("sleep 60 & echo $! > $FOLDER/shot.pid; kill -KILL $$")
    )
    assert.strictEqual(code, 137)
    assert.isFalse(lives(Number(textOf("shot.pid"))))
  })
})
