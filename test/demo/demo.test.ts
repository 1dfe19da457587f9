import { spawn } from "node:child_process"
import { once } from "node:events"
import { join, resolve } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { bundled } from "../support/bundled.ts"
import { inPart, inRest } from "../support/share.ts"

// A demo is nine processes, which load a bundle in a third of the time. `npm run demo` starts the sources.
const sources = ["--conditions=@effect-resilience/source", resolve("packages/demo/src/main.ts")]
const programs = await bundled(
  "packages/demo/src/main.ts",
  "packages/demo/src/upstream.ts",
  "packages/demo/src/client.ts"
)

/** Half the usual load: other tests run on the same machine. */
const quick = ["--quick", "--rate", "100"]

/** The demo as the leader of a process group, so that whoever it leaves behind can be found. */
const start = (...args: ReadonlyArray<string>) => startFrom([join(programs, "main.js")], args)

const startFrom = (program: ReadonlyArray<string>, args: ReadonlyArray<string>) => {
  const demo = spawn(process.execPath, [...program, ...args], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, FORCE_COLOR: undefined }
  })
  let output = ""
  const progress = Promise.withResolvers<void>()
  const read = (chunk: Buffer) => {
    output += chunk
    if (output.includes("warming up")) progress.resolve()
  }
  demo.stdout.on("data", read)
  demo.stderr.on("data", read)
  return {
    demo,
    printed: () => output,
    /** Until all processes are at work. */
    begun: progress.promise,
    ended: once(demo, "close").then(([code, signal]) => ({ code, signal, output }))
  }
}

const groupIsEmpty = (leader: number | undefined): boolean => {
  try {
    process.kill(-(leader ?? Number.NaN), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH"
  }
}

const until = async (holds: () => boolean): Promise<boolean> => {
  for (let tries = 0; tries < 2400 && !holds(); tries += 1) await new Promise((resolve) => setTimeout(resolve, 50))
  return holds()
}

/** From the last lines of the table. */
const lostInAll = (output: string, client: string): number => {
  const [, total = ""] = output.split("\nin all ")
  return Number(new RegExp(`${client} +[\\d.]+ % +(\\d+)`).exec(total)?.[1])
}

describe("npm run demo", () => {
  it.runIf(inRest)("shows the protected client losing less, in plain text, and leaves no process behind", async () => {
    const { demo, ended } = start(...quick)
    const { code, output } = await ended
    assert.strictEqual(code, 0, output)
    assert.isTrue(groupIsEmpty(demo.pid))
    assert.notInclude(output, "\u001b")
    const [bare, retry, policy, adaptive] = ["bare", "retry", "policy", "adaptive"].map((client) =>
      lostInAll(output, client)
    )
    for (const lost of [bare, retry, policy, adaptive]) assert.isAtLeast(lost ?? Number.NaN, 0, output)
    assert.notInclude(output, "Error")
    assert.isAtMost(Math.max(...output.split("\n").map((line) => line.length)), 96, output)
    // What the demo itself does not trust proves nothing.
    if (output.includes("THESE FIGURES CANNOT BE TRUSTED")) return
    assert.isBelow(policy ?? Number.NaN, bare ?? Number.NaN, output)
    assert.isBelow(policy ?? Number.NaN, retry ?? Number.NaN, output)
    assert.isBelow(adaptive ?? Number.NaN, bare ?? Number.NaN, output)
    assert.isBelow(adaptive ?? Number.NaN, retry ?? Number.NaN, output)
    assert.match(output, /\npolicy lost \d+ % fewer calls than bare and \d+ % fewer than retry/)
  })
})

describe.concurrent("the end of the demo", () => {
  it.runIf(inRest)("ends with all its processes on SIGINT", async () => {
    const { begun, demo, ended } = startFrom(sources, quick)
    await begun
    demo.kill("SIGINT")
    const { code, output } = await ended
    assert.strictEqual(code, 130, output)
    assert.isTrue(groupIsEmpty(demo.pid))
  })

  it.runIf(inRest)("leaves no process behind when it is killed", async () => {
    const { begun, demo, ended } = start(...quick)
    await begun
    demo.kill("SIGKILL")
    await ended
    assert.isTrue(await until(() => groupIsEmpty(demo.pid)))
  })

  it.runIf(inRest)("ends when nobody reads any more", async () => {
    const { begun, demo, ended } = start(...quick)
    await begun
    demo.stdout.destroy()
    assert.strictEqual((await ended).code, 141)
    assert.isTrue(groupIsEmpty(demo.pid))
  })

  it.runIf(inPart)(
    "serves the metrics of the protected client with --metrics, until SIGTERM ends all its processes",
    async () => {
      const { begun, demo, ended, printed } = start(...quick, "--metrics")
      await begun
      const [url = "", host] = /http:\/\/(127\.0\.0\.1:\d+)\/metrics/.exec(printed()) ?? []
      assert.include(printed(), `targets: ["${host}"]`)
      const text = await (await fetch(url)).text()
      assert.match(text, /^resilience_calls_total\{policy="upstream",kind="Policy"\} \d+$/m)
      demo.kill("SIGTERM")
      assert.strictEqual((await ended).code, 143)
      assert.isTrue(groupIsEmpty(demo.pid))
    }
  )

  it.runIf(inPart)("says what is wrong with an option", async () => {
    const { code, output } = await start("--rate", "5").ended
    assert.strictEqual(code, 1)
    assert.match(output, /Invalid value for flag --rate: "5".*from 100 to 1000/)
  })
})
