import { spawn, spawnSync } from "node:child_process"
import { get } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Lab, References, Scenario } from "@effect-resilience/lab"
import { Child } from "../../packages/tools/src/lab/real/child.ts"
import { now } from "../../packages/tools/src/lab/real/clock.ts"
import { agrees, compared, isSlow, verdict } from "../../packages/tools/src/lab/real/compare.ts"
import type { Served } from "../../packages/tools/src/lab/real/messages.ts"
import { run } from "../../packages/tools/src/lab/real/run.ts"
import { Job, Workers } from "../../packages/tools/src/lab/real/workers.ts"

// Real sockets and real time, on whatever machine: what happens is tested here, and in which order, never how fast.

const base = {
  name: "small",
  rate: 100,
  clients: 2,
  workers: 4,
  service: { kind: "constant", value: "10 millis" },
  warmUp: "800 millis",
  after: "800 millis"
} satisfies Scenario.Input

const flags = ["--conditions=@effect-resilience/source", "packages/tools/src/lab/real.ts"]

const ask = (port: number): Promise<string> =>
  new Promise((resolve) => {
    // What hangs is never answered; on a busy machine anything else may take a second.
    const request = get({ host: "127.0.0.1", port, agent: false, timeout: 3000 }, (response) => {
      response.resume()
      resolve(String(response.statusCode))
    })
    request.on("timeout", () => {
      request.destroy()
      resolve("nothing")
    })
    request.on("error", () => resolve("refused"))
  })

/** Do these come in this order, whatever is between them? */
const includesInOrder = (all: ReadonlyArray<string>, wanted: ReadonlyArray<string>): boolean =>
  all.reduce((place, one) => (one === wanted[place] ? place + 1 : place), 0) === wanted.length

describe("a real dependency", () => {
  it("serves, goes down, hangs, fails, serves again, and ends", async () => {
    const scenario = Scenario.make({
      ...base,
      faults: [
        { kind: "down", lasts: "800 millis" },
        { kind: "hang", at: "800 millis", lasts: "800 millis" },
        { kind: "errors", rate: 1, at: "1600 millis", lasts: "800 millis" }
      ]
    })
    const dependency = new Child<Served>("dependency")
    try {
      const port = await dependency.ready
      assert.isDefined(port)
      const startsAt = now()
      dependency.tell({ _tag: "Begin", begin: { scenario, sender: "none", seed: 1, port, startsAt } })
      // In the order in which they were asked, whatever each of them takes.
      const asked: Array<Promise<string>> = []
      while (now() < startsAt + Scenario.span(scenario).until) {
        asked.push(ask(port))
        await new Promise((wake) => setTimeout(wake, 20))
      }
      // The faults are over: from now on it serves.
      const answers = [...(await Promise.all(asked)), await ask(port)]
      assert.isTrue(includesInOrder(answers, ["200", "refused", "nothing", "503", "200"]), answers.join(" "))
      dependency.tell({ _tag: "Report" })
      const { lag, worked } = await dependency.reportWithin(60_000)
      assert.isAbove(worked, 0)
      assert.isAtLeast(lag.most, lag.p99)
      await dependency.end()
      assert.strictEqual(await ask(port), "refused")
    } finally {
      await dependency.end()
    }
    assert.strictEqual(dependency.process.signalCode, "SIGKILL")
  })

  it("says so when its process ends too soon", async () => {
    const child = new Child<Served>("dependency")
    await child.ready
    await child.end()
    const error = await child.reportWithin(10_000).catch(String)
    assert.include(error, "the process of the dependency was ended by SIGKILL")
  })

  it("has so many workers, so many places in its queue, and no more", async () => {
    const scenario = Scenario.make({ ...base, workers: 1, queue: 2 })
    const condition = { down: false, hangs: false, errors: 0, slow: 1, capacity: 1, empties: undefined }
    const workers = new Workers(scenario, 1, 0, condition)
    const answers: Array<string> = []
    const jobs = ["first", "second", "third", "fourth"].map(
      (name) =>
        new Promise<void>((resolve) => {
          const answer = (status: number) => {
            answers.push(`${name} ${status}`)
            resolve()
          }
          workers.handle(new Job(now(), answer))
        })
    )
    await Promise.all(jobs)
    assert.deepStrictEqual(answers, ["fourth 429", "first 200", "second 200", "third 200"])
  })

  it("stops the work of a client that hung up, where the scenario says so", async () => {
    for (const cancels of [false, true]) {
      const scenario = Scenario.make({ ...base, workers: 1, cancels, warmUp: "0 seconds" })
      const condition = { down: false, hangs: false, errors: 0, slow: 5, capacity: 1, empties: undefined }
      const workers = new Workers(scenario, 1, 0, condition)
      const gone = new Job(now(), () => assert.fail("nobody is there"))
      workers.handle(gone)
      workers.hungUp(gone)
      // Next to nothing, unless the machine did something else meanwhile.
      const stayed = gone.abandoned - gone.came
      await new Promise<void>((resolve) => workers.handle(new Job(now(), () => resolve())))
      // Five times 10 ms, once for the one who went or not at all.
      assert.closeTo(workers.worked, cancels ? 50 + stayed : 100, 1)
      assert.closeTo(workers.wasted, cancels ? 0 : 50 - stayed, 1)
    }
  })
})

describe("a real run", () => {
  const scenario = Scenario.make({ ...base, faults: [{ kind: "down", lasts: "1 second" }] })

  it("has the calls of the lab, and plausible figures", async () => {
    const lab = Lab.run({ scenario, sender: References.naive, seed: 7 })
    let real = await run({ scenario, sender: "naive", seed: 7 })
    assert.strictEqual(real.calls, lab.calls)
    // The figures of a run that the machine was too slow for say nothing.
    for (let turn = 0; turn < 3 && isSlow(real, scenario); turn++)
      real = await run({ scenario, sender: "naive", seed: 7 })
    if (isSlow(real, scenario)) return
    assert.isBelow(real.metrics.goodput, 0.3)
    assert.isAbove(real.metrics.amplification, 2)
    // Three retries. The peak has no such bound: on a busy machine the attempts of one second are made in the next one.
    assert.isAtMost(real.metrics.amplification, 4)
    assert.isAbove(real.metrics.peak, 2)
    assert.isBelow(real.metrics.lost, 0.7)
    assert.isNaN(real.metrics.falseRejects)
  })

  it("ends when it is told to", async () => {
    const abort = new AbortController()
    const running = run({ scenario, sender: "none", seed: 1, signal: abort.signal }).catch((error) => error.name)
    abort.abort()
    assert.strictEqual(await running, "AbortError")
  })

  it("refuses shards", async () => {
    const sharded = Scenario.make({ ...base, shards: 2 })
    const error = await run({ scenario: sharded, sender: "none", seed: 1 }).catch(String)
    assert.include(error, "shards must be 1, got 2")
  })
})

describe("a comparison", () => {
  it("agrees within 0.03 of goodput, and 20 % or a second of recovery", () => {
    assert.deepStrictEqual(agrees({ goodput: 0.029, recovery: -2 }, 10), { goodput: true, recovery: true })
    assert.deepStrictEqual(agrees({ goodput: -0.031, recovery: 2.1 }, 10), { goodput: false, recovery: false })
    assert.deepStrictEqual(agrees({ goodput: 0, recovery: 1 }, 2), { goodput: true, recovery: true })
    assert.deepStrictEqual(agrees({ goodput: NaN, recovery: NaN }, 2), { goodput: false, recovery: false })
    assert.isFalse(agrees({ goodput: 0, recovery: -Infinity }, Infinity).recovery)
  })

  it("holds every run against the lab's of its seed", () => {
    const scenario = Scenario.make({ ...base, after: "4 seconds", faults: [{ kind: "down", lasts: "1 second" }] })
    const lag = { p99: 0, most: 0 }
    const counted = [3, 1].map((seed) => {
      const { calls, metrics } = Lab.run({ scenario, sender: References.jitter, seed })
      return {
        seed,
        calls,
        lag: { clients: lag, dependency: lag },
        metrics: { ...metrics, goodput: metrics.goodput + seed / 10 }
      }
    })
    const comparison = compared({ scenario, sender: References.jitter, counted, slow: [] }, 5)
    assert.closeTo(comparison.difference.goodput, 0.2, 1e-9)
    assert.closeTo(comparison.apart, 0.3, 1e-9)
    assert.strictEqual(comparison.difference.recovery, 0)
    assert.deepStrictEqual(verdict(comparison), { goodput: false, recovery: true })
    const nothing = compared({ scenario, sender: References.jitter, counted: [], slow: counted }, 1)
    assert.deepStrictEqual(verdict(nothing), { goodput: false, recovery: false })
  })

  it("does not count a run that the machine was too slow for", () => {
    const { metrics } = Lab.run({ scenario: Scenario.make(base), sender: References.none, seed: 1 })
    const ran = (clients: number, dependency: number) => ({
      seed: 1,
      calls: 1,
      metrics,
      lag: { clients: { p99: clients, most: 500 }, dependency: { p99: dependency, most: 500 } }
    })
    // The timeout is 200 ms.
    assert.isFalse(isSlow(ran(10, 10), Scenario.make(base)))
    assert.isTrue(isSlow(ran(10.1, 1), Scenario.make(base)))
    assert.isTrue(isSlow(ran(1, 10.1), Scenario.make(base)))
  })
})

describe("npx tool lab:real", () => {
  const refused: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
    [["--sender", "nobody"], "no such sender: nobody"],
    [["--runs", "0"], "--runs must be an integer from 1 to 1000, got 0"],
    [["--write", "--quick"], "--write needs the full set"]
  ]
  it("refuses what it does not know", () => {
    for (const [args, reason] of refused) {
      const { status, stderr } = spawnSync(process.execPath, [...flags, ...args], { encoding: "utf8" })
      assert.strictEqual(status, 1)
      assert.include(stderr, reason)
      assert.include(stderr, "npx tool lab:real --help")
    }
  })

  it("ends on a signal, and everything with it", async () => {
    const child = spawn(process.execPath, [...flags, "--quick"], { stdio: ["ignore", "pipe", "pipe"] })
    const ended = new Promise((resolve) => child.once("close", resolve))
    await new Promise((resolve) => child.stderr.once("data", resolve))
    child.kill("SIGINT")
    // Its children hold the same standard error: it closes when the last of them is gone.
    assert.strictEqual(await ended, 130)
  })
})
