/** What failed for good: `resilience run --spool` and `resilience spool`. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { fileNamed, resilience, resilienceWith, start, textOf, until, useCommand } from "./command.ts"

useCommand()

const sh = (script: string): ReadonlyArray<string> => ["--", "sh", "-c", script]

interface Entry {
  readonly id: number
  readonly run: string
  readonly replays: number
  readonly parked: string | null
  readonly work: { readonly command: ReadonlyArray<string>; readonly environment: Readonly<Record<string, string>> }
  readonly output?: string
}

const entriesOf = async (name: string): Promise<ReadonlyArray<Entry>> =>
  JSON.parse((await resilience("spool", "list", "--name", name, "--json")).stdout)

const entryOf = async (name: string): Promise<Entry> => {
  const [entry] = await entriesOf(name)
  if (entry === undefined) throw new Error(`${name} has no entry`)
  return entry
}

const spooled = (name: string, script: string, ...flags: ReadonlyArray<string>) =>
  resilience("run", "-n", name, "--spool", ...flags, ...sh(script))

describe("--spool", () => {
  it("keeps a run that failed for good, once, with what it takes to run it again", async () => {
    process.env["REGION"] = "eu"
    const { code, stderr } = await spooled(
      "kept",
      "echo words; exit 3",
      "--retry=1",
      "--backoff=1ms",
      "--quiet",
      "--spool-env=REGION"
    )
    const entry = await entryOf("kept")
    assert.strictEqual(code, 3)
    assert.include(stderr, `resilience: kept: kept in the spool: resilience spool retry ${entry.id}\n`)
    assert.deepStrictEqual(entry.work.command, ["sh", "-c", "echo words; exit 3"])
    assert.deepInclude(entry.work.environment, { REGION: "eu", PATH: process.env["PATH"] })
    assert.notProperty(entry.work.environment, "FOLDER")
    assert.strictEqual(entry.output, "words\nwords\n")
    await spooled("kept", "exit 0")
    await resilience("run", "-n", "kept", ...sh("exit 3"))
    assert.strictEqual((await entriesOf("kept")).length, 1)
    const shown = (await resilience("spool", "show", String(entry.id))).stdout
    assert.include(shown, "command      sh -c 'echo words; exit 3'\n")
    assert.include(shown, "environment  REGION=eu\n")
    assert.match(shown, /replays {6}0 of 5\n {2}output\nwords\nwords\n$/)
    assert.match((await resilience("spool", "list")).stdout, /kept .* 0 of 5 +waits +failed with exit 3 +sh -c/)
  })

  it("keeps a run that timed out and a command that is not found, and none that an operator ended or that did not begin", async () => {
    await spooled("ends", "sleep 60", "--timeout=50ms")
    await resilience("run", "-n", "ends", "--spool", "--", "no-such-command")
    assert.strictEqual((await entriesOf("ends")).length, 2)
    const running = start("run", "-n", "ended", "--spool", ...sh("touch $FOLDER/ended; exec sleep 60"))
    await until("the job runs", () => textOf("state/locks/ended.lock").includes('"job"'))
    assert.strictEqual((await spooled("ended", "exit 1")).code, 75)
    running.child.kill("SIGTERM")
    assert.strictEqual((await running.ended).code, 143)
    await resilience("control", "isolate", "ended")
    assert.strictEqual((await spooled("ended", "exit 1")).code, 69)
    assert.deepStrictEqual(await entriesOf("ended"), [])
  })

  it("gives each attempt and each replay the whole input, and one key for the work", async () => {
    const script = 'cat >> $FOLDER/input; echo "$RESILIENCE_IDEMPOTENCY_KEY" >> $FOLDER/keys; [ -e $FOLDER/well ]'
    const flags = ["-n", "fed", "--spool", "--keep-input", "--retry=1", "--backoff=1ms"]
    await resilienceWith("letter\n", "run", ...flags, ...sh(script))
    const { id, run } = await entryOf("fed")
    await resilience("run", "-n", "other", ...sh("touch $FOLDER/well"))
    // The variable is none of those that are kept: the replay has that of its operator.
    assert.deepStrictEqual(await resilience("spool", "retry", String(id)), {
      code: 0,
      stdout: `fed: entry ${id} is done\n`,
      stderr: ""
    })
    assert.strictEqual(textOf("input"), "letter\n".repeat(3))
    assert.strictEqual(textOf("keys"), `${run}\n`.repeat(3))
    assert.deepStrictEqual(await entriesOf("fed"), [])
    const large = await resilienceWith("x".repeat(1_100_000), "run", ...flags, ...sh("cat"))
    assert.deepStrictEqual([large.code, large.stdout], [125, ""])
    assert.include(large.stderr, "its standard input is larger than 1024 kB")
  })
})

describe("resilience spool", () => {
  it("parks what fails again and again, also what kills its replay, and replays it by its number only", async () => {
    await spooled("poison", "exit 4", "--spool-replays=2")
    const { id } = await entryOf("poison")
    const again = await resilience("spool", "retry", "--name", "poison")
    assert.strictEqual(again.code, 4)
    assert.deepInclude(await entryOf("poison"), { replays: 1, parked: null })
    assert.include((await resilience("spool", "retry", "--all")).stderr, `entry ${id} is parked`)
    assert.isString((await entryOf("poison")).parked)
    assert.deepStrictEqual(await resilience("spool", "retry", "--name", "poison"), { code: 0, stdout: "", stderr: "" })
    assert.strictEqual((await resilience("spool", "retry", String(id))).code, 4)
    assert.include((await resilience("spool", "list", "-n", "poison")).stdout, "3 of 2")

    await spooled("deadly", "[ $RESILIENCE_SPOOL_ENTRY ] && kill -KILL $PPID; exit 1", "--spool-replays=1")
    const deadly = await entryOf("deadly")
    assert.strictEqual((await start("spool", "retry", String(deadly.id)).ended).code, 137)
    assert.deepInclude(await entryOf("deadly"), { replays: 1, parked: null })
    assert.include((await resilience("spool", "retry", "-n", "deadly")).stderr, `entry ${deadly.id} is parked`)
    assert.strictEqual((await resilience("spool", "drop", String(deadly.id))).stdout, `entry ${deadly.id} is dropped\n`)
    assert.deepStrictEqual(await entriesOf("deadly"), [])
  })

  it("replays nothing for a job whose circuit is open, and one entry in one process only", async () => {
    for (let runs = 0; runs < 2; runs++) await spooled("shut", "echo x", "--open-after=1", "--success-on=9")
    await resilience("control", "close", "shut")
    await spooled("shut", "[ -e $FOLDER/shut ]", "--open-after=1", "--open-for=1h")
    const refused = await resilience("spool", "retry", "-n", "shut")
    assert.deepStrictEqual([refused.code, refused.stdout], [69, ""])
    assert.strictEqual(refused.stderr.match(/not started/g)?.length, 1)
    assert.deepStrictEqual(
      (await entriesOf("shut")).map(({ replays }) => replays),
      [0, 0]
    )
    const slow = "[ -e $FOLDER/once ] || exit 1; echo x >> $FOLDER/replayed; sleep 0.3"
    await spooled("once", slow)
    const { id } = await entryOf("once")
    await resilience("run", "-n", "other", ...sh("touch $FOLDER/once"))
    const both = [1, 2].map(() => start("spool", "retry", String(id)).ended)
    const codes = (await Promise.all(both)).map(({ code }) => code)
    assert.includeMembers([0, 69, 125], codes)
    assert.include(codes, 0)
    assert.strictEqual(textOf("replayed"), "x\n")
  })

  it("goes on with the entries behind one that another process has replayed meanwhile", async () => {
    const waits =
      "[ -e $FOLDER/behind ] || exit 1; echo x > $FOLDER/taken; while [ ! -e $FOLDER/go ]; do sleep 0.02; done"
    const replayed = "[ -e $FOLDER/behind ]"
    for (const script of [waits, replayed, replayed]) await spooled("behind", script)
    writeFileSync(fileNamed("behind"), "")
    const first = (await entriesOf("behind")).find(({ work }) => work.command.includes(waits))
    const slow = start("spool", "retry", String(first?.id)).ended
    await until("it is being replayed", () => existsSync(fileNamed("taken")))
    const { ino } = statSync(fileNamed("state/locks/behind.lock"))
    const all = start("spool", "retry", "-n", "behind").ended
    const isWaiting = new RegExp(`-> FLOCK .*:${ino} `)
    await until("the other process waits for it", () => isWaiting.test(readFileSync("/proc/locks", "utf8")))
    writeFileSync(fileNamed("go"), "")
    assert.strictEqual((await slow).code, 0)
    const { stderr, stdout } = await all
    assert.include(stderr, `entry ${first?.id} is no longer in the spool`)
    assert.strictEqual(stdout.match(/is done/g)?.length, 2)
    assert.deepStrictEqual(await entriesOf("behind"), [])
  })

  it("says what is wrong", async () => {
    for (const [args, sentence] of [
      [["retry"], "name entries by their numbers, or use --name or --all"],
      [["retry", "1", "--all"], "but not both"],
      [["retry", "9999"], "there is no entry 9999"],
      [["drop", "9999"], "there is no entry 9999"],
      [["show", "9999"], "there is no entry 9999"]
    ] as const) {
      const { code, stderr } = await resilience("spool", ...args)
      assert.deepStrictEqual([args, code], [args, 125])
      assert.include(stderr, sentence)
    }
  })
})

describe("a file of an older version", () => {
  const old = (name: string): string => {
    const folder = fileNamed(name)
    const file = `${folder}/state.sqlite`
    mkdirSync(folder)
    const database = new DatabaseSync(file)
    database.exec(readFileSync(new URL("./files/state-v1.sql", import.meta.url), "utf8"))
    database.close()
    return folder
  }

  it("is read as it is, and keeps its circuits, budgets, runs and overrides when the next run changes it", async () => {
    const folder = old("v1")
    const inOld = (...args: ReadonlyArray<string>) => resilience(...args, "--state-dir", folder)
    assert.strictEqual((await inOld("spool", "list")).stdout, "the spool is empty\n")
    const before = JSON.parse((await inOld("status", "--json")).stdout)
    const flags = ["--open-after=3", "--open-for=1h", "--forget-after=30000d", "--budget=20%", "--spool"]
    assert.strictEqual(
      (await resilience("run", "-n", "sync", "--state-dir", folder, ...flags, ...sh("exit 3"))).code,
      3
    )
    const database = new DatabaseSync(`${folder}/state.sqlite`)
    assert.deepStrictEqual({ ...database.prepare("PRAGMA user_version").get() }, { user_version: 2 })
    database.close()
    const after = JSON.parse((await inOld("status", "--json")).stdout)
    const names = (rows: ReadonlyArray<{ readonly name: string }>) => rows.map(({ name }) => name)
    assert.deepStrictEqual(names(after), names(before))
    // The two failures of the old file and this one.
    assert.deepInclude(after[2], { name: "sync", failures: 3 })
    assert.deepInclude(after[2].circuit, { state: "open" })
    assert.deepInclude(after[1].overrides[0], { command: "isolate", by: "ann", reason: "INC-7" })
    assert.strictEqual(JSON.parse((await inOld("history", "sync", "--json")).stdout).length, 3)
    assert.strictEqual(JSON.parse((await inOld("spool", "list", "--json")).stdout).length, 1)
  })
})
