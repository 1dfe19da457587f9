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
    // Time enough for the second run to come before it is over, or else, on a busy machine, more.
    for (let seconds = 1.5; ; seconds *= 3) {
      const name = `left-${seconds}`
      const flags = ["-n", name, `--timeout=${1000 * seconds}ms`, "--kill-after=100ms"]
      const first = start("run", ...flags, ...sh(`echo $$ > $FOLDER/${name}.pid; sleep 60 & wait`))
      await until("the job runs", () => textOf(`${name}.pid`).endsWith("\n"))
      first.child.kill("SIGKILL")
      await until("the wrapper is gone", () => first.child.signalCode !== null)
      const over: number = JSON.parse(textOf(`state/locks/${name}.lock`)).until
      assert.isNumber(over)
      const { code } = await resilience("run", ...flags, ...sh("exit 0"))
      if (code !== 75 && Date.now() > over && seconds < 60) continue
      assert.strictEqual(code, 75)
      await until("its time is over", () => Date.now() > over)
      assert.strictEqual((await resilience("run", ...flags, ...sh("exit 0"))).code, 0)
      assert.isFalse(lives(Number(textOf(`${name}.pid`))))
      return
    }
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
