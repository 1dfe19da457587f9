/** What `resilience run` knows of the runs before it: circuits, budgets, and the file that keeps them. */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { sample } from "../support/sample.ts"
import { commandFile, fileNamed, resilience, start, textOf, until, useCommand } from "./command.ts"

useCommand()

const sh = (script: string): ReadonlyArray<string> => ["--", "sh", "-c", script]

const integrity = (file: string): unknown => {
  const database = new DatabaseSync(file)
  try {
    return Object.values(database.prepare("PRAGMA integrity_check").get() ?? {})[0]
  } finally {
    database.close()
  }
}

describe("the circuit over runs", () => {
  const run = (name: string, script: string, openFor = "1h") =>
    resilience("run", "-n", name, "--open-after", "5", "--open-for", openFor, ...sh(script))

  it("keeps a job that failed five times in a row from running for its open time, and a success afterwards closes it", async () => {
    for (let runs = 1; runs <= 5; runs++) {
      const { stderr, stdout } = await run("five", "echo x; exit 7")
      assert.strictEqual(stdout, "x\n")
      const opened = /^resilience: five: its circuit is open now, until .* \(in (59m\d+s|1h)\)$/m.test(stderr)
      assert.strictEqual(opened, runs === 5, stderr)
    }
    const refused = await run("five", "echo x")
    assert.deepStrictEqual([refused.code, refused.stdout], [69, ""])
    assert.match(
      refused.stderr,
      /^resilience: five: not started: its circuit is open, after 5 failed runs in a row, until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(in (59m\d+s|1h)\)\n$/
    )
    // The time that is left is bounded by the options of the run, so this one comes after it: a probe that fails opens again.
    assert.strictEqual((await run("five", "exit 7", "1ms")).code, 7)
    assert.strictEqual((await run("five", "exit 7")).code, 7)
    assert.strictEqual((await run("five", "exit 7")).code, 69)
    assert.strictEqual((await run("five", "exit 0", "1ms")).code, 0)
    for (let runs = 0; runs < 4; runs++) assert.strictEqual((await run("five", "exit 7")).code, 7)
    assert.strictEqual((await run("five", "exit 0")).code, 0)
  })

  it("counts a run once, however many attempts it had, and a timeout, but no run that was ended or did not begin", async () => {
    const two = ["--open-after", "2", "--open-for", "1h"]
    const once = (...flags: ReadonlyArray<string>) => resilience("run", "-n", "once", ...two, ...flags)
    assert.strictEqual((await once("--retry", "3", "--backoff", "1ms", ...sh("exit 1"))).code, 1)
    const ended = start("run", "-n", "once", ...two, ...sh("touch $FOLDER/once; exec sleep 60"))
    await until("the job runs", () => textOf("state/locks/once.lock").includes('"job"'))
    assert.strictEqual((await once(...sh("exit 1"))).code, 75)
    ended.child.kill("SIGTERM")
    assert.strictEqual((await ended.ended).code, 143)
    assert.strictEqual((await once("--timeout", "50ms", ...sh("sleep 60"))).code, 124)
    assert.strictEqual((await once(...sh("exit 0"))).code, 69)
  })

  it("lets one run be the probe, also when runs of a name may run beside each other", async () => {
    const run = (openFor: string, script: string) =>
      start("run", "-n", "beside", "--overlap=allow", "--open-after=1", `--open-for=${openFor}`, ...sh(script))
    assert.strictEqual((await run("1h", "exit 1").ended).code, 1)
    const probe = run("1ms", "touch $FOLDER/probe; while [ ! -e $FOLDER/beside ]; do sleep 0.02; done")
    await until("the probe runs", () => existsSync(fileNamed("probe")))
    const beside = await run("1ms", "exit 0").ended
    assert.strictEqual(beside.code, 69)
    assert.include(beside.stderr, `its circuit is half-open: process ${probe.child.pid} is the probe`)
    probe.child.kill("SIGKILL")
    await until("the probe is gone", () => probe.child.signalCode !== null)
    // A probe that was killed holds nothing up.
    assert.strictEqual((await run("1ms", "touch $FOLDER/beside").ended).code, 0)
  })

  it("doubles its open time up to --open-max", async () => {
    const run = (openFor: string) =>
      resilience("run", "-n", "grows", "--open-after=1", `--open-for=${openFor}`, "--open-max=90m", ...sh("exit 1"))
    assert.strictEqual((await run("1h")).code, 1)
    assert.match((await run("1h")).stderr, /in (59m\d+s|1h)\)/)
    const short = ["--open-after=1", "--open-for=1ms", "--open-max=1ms"]
    assert.strictEqual((await resilience("run", "-n", "grows", ...short, ...sh("exit 1"))).code, 1)
    assert.strictEqual((await run("1h")).code, 1)
    assert.match((await run("1h")).stderr, /in (1h29m|1h30m)/)
  })

  it("refuses options that need another one", async () => {
    for (const [flags, sentence] of [
      [["--timeout", "2h", "--deadline", "1h"], "--timeout must be at most --deadline"],
      [["--open-for", "1m"], "the circuit over runs needs --open-after"],
      [["--open-after", "1", "--open-for", "1h", "--open-max", "1m"], "--open-max must be at least --open-for"],
      [["--open-after", "0"], "an integer from 1 to 1000"],
      [["--budget", "0.2"], "such as 20%"],
      [["--budget-min", "1"], "a rate such as 1/h"]
    ] as const) {
      const { code, stderr } = await resilience("run", "-n", "mistake", ...flags, ...sh("exit 0"))
      assert.strictEqual(code, 125)
      assert.include(stderr, sentence)
    }
  })
})

describe("what is old", () => {
  it("is no evidence: a circuit that no run has used for --forget-after is as a new one", async () => {
    const run = () => resilience("run", "-n", "aged", "--open-after=2", "--open-for=1h", ...sh("exit 3"))
    const age = (days: number): void => {
      const database = new DatabaseSync(fileNamed("state/state.sqlite"))
      database
        .prepare("UPDATE jobs SET data = json_set(data, ?1, json_extract(data, ?1) - ?2) WHERE name = 'aged'")
        .run("$.circuit.at", days * 86_400_000)
      database.close()
    }
    const state = async () => JSON.parse((await resilience("status", "aged", "--json")).stdout)[0].circuit
    await run()
    age(5)
    await run()
    assert.deepInclude(await state(), { state: "closed", failures: 1 })
    age(3)
    await run()
    assert.deepInclude(await state(), { state: "open" })
  })

  it("is so for a weekly job too, unless it says its schedule", async () => {
    const week = (name: string): void => {
      const database = new DatabaseSync(fileNamed("state/state.sqlite"))
      const at = "$.circuit.at"
      const sql = "UPDATE jobs SET data = json_set(data, ?1, json_extract(data, ?1) - ?2) WHERE name = ?3"
      database.prepare(sql).run(at, 7 * 86_400_000, name)
      database.close()
    }
    for (const [name, state, ...flags] of [
      ["weekly", "closed"],
      ["weekly-told", "open", "--schedule", "0 3 * * 1"]
    ] as const) {
      const run = () => resilience("run", "-n", name, "--open-after=2", "--open-for=1h", ...flags, ...sh("exit 3"))
      await run()
      week(name)
      await run()
      assert.strictEqual(JSON.parse((await resilience("status", name, "--json")).stdout)[0].circuit.state, state)
    }
  })
})

describe("the budget over runs", () => {
  it("pays for retries of all runs of a name: ten, and then a share of the runs", async () => {
    const run = (...flags: ReadonlyArray<string>) =>
      resilience("run", "-n", "budget", "--budget", "50%", "--backoff", "1ms", ...flags, ...sh("echo x; exit 1"))
    assert.strictEqual((await run("--retry", "8")).stdout, "x\n".repeat(9))
    // 2 are left, and each run adds a half, of which the first found the budget full.
    const third = await run("--retry", "8")
    assert.deepStrictEqual([third.code, third.stdout], [1, "x\n".repeat(3)])
    assert.include(third.stderr, "resilience: budget: no retry: its budget is spent")
    assert.strictEqual((await run("--retry", "8")).stdout, "x\n".repeat(2))
    // Without a retry there is nothing to pay: this run adds a half.
    assert.notInclude((await run()).stderr, "budget is spent")
    assert.strictEqual((await run("--retry", "8")).stdout, "x\n".repeat(2))
    assert.strictEqual((await run("--retry", "8")).stdout, "x\n")
  })
})

describe("the file of the state", () => {
  it("is whole after runs that were killed, and after several at once, of one name and of different names", async () => {
    const runs = sample(4, 8)
    const file = fileNamed("state/state.sqlite")
    const killed = Array.from({ length: runs }, (_, index) => {
      const run = start("run", "-n", `killed-${index % 2}`, "--overlap", "allow", "--open-after", "3", ...sh("exit 0"))
      setTimeout(() => run.child.kill("SIGKILL"), 40 * index)
      return run.ended
    })
    await Promise.all(killed)
    assert.strictEqual(integrity(file), "ok")
    const codes = await Promise.all(
      Array.from({ length: 2 * runs }, (_, index) => {
        const name = index < runs ? ["one", "--overlap", index < runs / 2 ? "allow" : "wait"] : [`of-${index}`]
        return start("run", "-n", ...name, "--open-after", "30", ...sh("exit 3")).ended
      })
    )
    assert.deepStrictEqual(
      codes.map(({ code, stderr }) => [code, stderr.split("\n").length]),
      Array(2 * runs).fill([3, 2])
    )
    assert.strictEqual(integrity(file), "ok")
    const database = new DatabaseSync(file)
    const job = JSON.parse(String(database.prepare("SELECT data FROM jobs WHERE name = 'one'").get()?.["data"]))
    assert.deepInclude(job, { failures: runs })
    assert.strictEqual(job.circuit.circuits[0].trip[0].state.failures, runs)
    database.close()
  })

  it("is whole after processes that were killed while they wrote", async () => {
    const folder = fileNamed("torn")
    const store = fileURLToPath(new URL("../../packages/cli/src/state/store.ts", import.meta.url))
    const script = `import { write } from ${JSON.stringify(store)}
      for (let i = 0; ; i++) {
        write(${JSON.stringify(folder)}, (store) => {
          store.change("INSERT INTO jobs (name, data) VALUES ('a', ?1) ON CONFLICT (name) DO UPDATE SET data = ?1", JSON.stringify("x".repeat(i % 9000)))
        })
        if (i === 20) console.log("written")
      }`
    for (let round = 0; round < sample(3, 6); round++) {
      const writer = spawn(process.execPath, ["--input-type=module", "-e", script], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      await new Promise((resolve) => writer.stdout.once("data", resolve))
      const ended = new Promise((resolve) => writer.once("close", resolve))
      setTimeout(() => writer.kill("SIGKILL"), round * 3)
      await ended
      assert.strictEqual(integrity(`${folder}/state.sqlite`), "ok")
    }
  })

  it("that cannot be opened, or is of a newer version, costs a sentence, and the job runs", async () => {
    mkdirSync(fileNamed("broken/state.sqlite"), { recursive: true })
    mkdirSync(fileNamed("noise"))
    writeFileSync(fileNamed("noise/state.sqlite"), "this is no database, but a text of some length\n".repeat(99))
    mkdirSync(fileNamed("newer"))
    const newer = new DatabaseSync(fileNamed("newer/state.sqlite"))
    newer.exec("PRAGMA user_version = 9")
    newer.close()
    for (const [folder, word] of [
      ["broken", "unable to open database file"],
      ["noise", "file is not a database"],
      ["newer", "its layout has version 9"]
    ] as const) {
      const flags = [
        "--state-dir",
        fileNamed(folder),
        "--open-after",
        "1",
        "--budget",
        "20%",
        "--retry=1",
        "--backoff=1ms"
      ]
      const { code, stderr, stdout } = await resilience("run", "-n", "on", ...flags, ...sh("echo x; exit 4"))
      assert.deepStrictEqual([code, stdout], [4, "x\nx\n"])
      assert.match(
        stderr,
        new RegExp(`the state in .*${folder} cannot be kept \\(.*${word}.*\\): this run does not count`)
      )
      assert.strictEqual(stderr.match(/cannot be kept/g)?.length, 1)
    }
  })

  const canMount = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status === 0

  it.skipIf(!canMount)("on a disk that is full or read-only costs a sentence, the job runs, and the lock holds", () => {
    const folder = fileNamed("disk")
    mkdirSync(folder)
    const script = `
      run() { "$NODE" "$COMMAND" run --state-dir ${folder}/s "$@"; }
      mount -t tmpfs tmpfs /dev/shm
      mount -t tmpfs -o size=256k tmpfs ${folder}
      run -n before --open-after 1 --open-for 1h -- false
      cat /dev/zero > ${folder}/fill 2>/dev/null
      run -n before --open-after 1 --open-for 1h -- echo before
      run -n full --quiet --spool --json ${folder}/runs -- sh -c 'echo job; exit 3'
      echo $?
      rm ${folder}/fill
      run -n again --spool -- sh -c "cat /dev/zero > ${folder}/fill 2>/dev/null; exit 5"
      rm ${folder}/fill
      run -n space --spool -- sh -c "exit 6"
      mount -o remount,ro ${folder}
      "$NODE" "$COMMAND" spool retry --all --state-dir ${folder}/s
      echo $?
      run -n readonly -- "$NODE" "$COMMAND" run --state-dir ${folder}/s -n readonly -- echo never
      echo $?
      run -n readonly -- echo job
      "$NODE" "$COMMAND" status before --state-dir ${folder}/s --json`
    const { stderr, stdout } = spawnSync("unshare", ["-rm", "sh", "-c", script], {
      encoding: "utf8",
      env: { ...process.env, NODE: process.execPath, COMMAND: commandFile() }
    })
    const [lines, status = ""] = stdout.split("[", 1).concat(stdout.slice(stdout.indexOf("[")))
    assert.strictEqual(lines, "job\n3\n125\n75\njob\n")
    assert.deepInclude(JSON.parse(status)[0], { name: "before", failures: 1 })
    assert.include(stderr, "before: not started: its circuit is open")
    assert.match(
      stderr,
      /full: the state in .* cannot be kept \(.*\): this run does not count for circuit, budget, history and spool/
    )
    // Full at its end only, and full no more: a run is in the spool, or says that it is not.
    assert.match(stderr, /again: (the state in .* cannot be kept \(.*\)|kept in the spool)/)
    assert.match(stderr, /space: kept in the spool/)
    assert.match(stderr, /readonly: the state in .* cannot be kept \(.*\): this run does not count/)
    assert.match(stderr, /readonly: readonly is already running/)
  })
})
