/** Real processes, files and disks: killed at any moment, many at once, a disk that is full and one that cannot be written. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { CircuitBreaker, Policies, TripPolicy } from "effect-resilience"
import * as Sqlite from "effect-resilience/state/Sqlite"
import * as State from "effect-resilience/state/State"
import { afterAll, assert, describe, it } from "vitest"
import { bundled } from "../support/bundled.ts"
import { sample } from "../support/sample.ts"

const folder = mkdtempSync(join(tmpdir(), "effect-resilience-state-"))
const mounted: Array<string> = []
afterAll(() => {
  for (const disk of mounted) spawnSync("umount", [disk])
  rmSync(folder, { recursive: true, force: true })
})

type Kind = "file" | "sqlite"

interface Run {
  readonly child: ChildProcess
  /** The numbers that it has said, by the word before them. */
  readonly said: Record<"begins" | "failed" | "saved", ReadonlyArray<number>>
  readonly begun: Promise<void>
  readonly ended: Promise<unknown>
}

const program = join(await bundled("test/state/support/counter.ts"), "counter.js")

const start = (kind: Kind, path: string, name = "counter", times = 1_000_000): Run => {
  const child = spawn(process.execPath, ["--no-warnings", program, kind, path, name, String(times)], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  const said = { begins: [] as Array<number>, failed: [] as Array<number>, saved: [] as Array<number> }
  let rest = ""
  const begun = new Promise<void>((resolve) => {
    child.stdout.on("data", (data) => {
      const lines = (rest + String(data)).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        const [word, number] = line.split(" ")
        if (word === "begins" || word === "failed" || word === "saved") said[word].push(Number(number))
      }
      if (said.begins.length > 0) resolve()
    })
  })
  const ended = new Promise((resolve) => child.once("close", resolve))
  return { child, said, begun: Promise.race([begun, ended]) as Promise<void>, ended }
}

const last = (numbers: ReadonlyArray<number>): number => numbers.at(-1) ?? 0

/** The file is whole, whatever has happened. */
const assertWhole = (kind: Kind, path: string): void => {
  if (!existsSync(path)) return
  if (kind === "file") {
    assert.strictEqual(JSON.parse(readFileSync(path, "utf8")).version, 1)
    return
  }
  const database = new DatabaseSync(path)
  assert.deepEqual({ ...database.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" })
  database.close()
}

describe.each(["file", "sqlite"] as const)("a process that keeps its state in %s", (kind) => {
  it("and is killed at any moment: the file is whole, and the next one has everything that was saved", async () => {
    const path = join(folder, `killed.${kind}`)
    let saved = 0
    let failed = 0
    for (let kill = 0; kill < sample(3, 5); kill++) {
      const run = start(kind, path)
      await run.begun
      const [begins = -1] = run.said.begins
      assert.isAtLeast(begins, saved, `run ${kill}`)
      assert.isAtMost(begins, failed, `run ${kill}`)
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 300))
      run.child.kill("SIGKILL")
      await run.ended
      assertWhole(kind, path)
      saved = last(run.said.saved) || begins
      failed = last(run.said.failed) || begins
    }
    assert.isAbove(saved, 0)
  })

  it("and shares it with others: each finds its own state", async () => {
    const path = join(folder, `shared.${kind}`)
    const names = ["one", "two", "three"]
    for (const begins of [0, 20]) {
      const runs = names.map((name) => start(kind, path, name, 20))
      await Promise.all(runs.map(({ ended }) => ended))
      assert.deepEqual(
        runs.map(({ said }) => said.begins),
        names.map(() => [begins])
      )
      assertWhole(kind, path)
    }
    const left = readdirSync(folder).filter((file) => file.startsWith("shared.") && /\.(tmp|lock)$/.test(file))
    assert.deepEqual(left, [])
  })
})

const isRoot = process.getuid?.() === 0

/** A small disk of its own, if this is root; otherwise a folder without the right to write, which is as good. */
const disk = (name: string, options: string): string => {
  const path = join(folder, name)
  mkdirSync(path)
  if (isRoot && spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path]).status === 0) mounted.push(path)
  else chmodSync(path, 0o500)
  return path
}

const failing = (kept: Layer.Layer<State.State>) => {
  const lines: Array<string> = []
  const logger = Logger.make(({ message }) => {
    lines.push(String(message))
  })
  const run = Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("disk", { trip: TripPolicy.consecutive(3), openFor: "1 hour" })
    const call = Effect.fail({ _tag: "Down" as const }).pipe(breaker.protect({ failures: ["Down"] }), Effect.flip)
    const tags: Array<string> = []
    for (let i = 0; i < 4; i++) {
      tags.push((yield* call)._tag)
      yield* Effect.sleep("30 millis")
    }
    return tags
  }).pipe(Effect.scoped)
  const live = kept.pipe(Layer.provideMerge(Policies.layer), Layer.provide(Logger.layer([logger])))
  return Effect.runPromise(Effect.provide(run, Layer.fresh(live))).then((tags) => ({ tags, lines }))
}

const layers: Readonly<Record<Kind, (path: string) => Layer.Layer<State.State>>> = {
  file: (path) => State.layerFile({ path, every: "10 millis" }).pipe(Layer.provide(NodeFileSystem.layer)),
  sqlite: (path) => Sqlite.layer({ path, every: "10 millis" })
}

const asAlways = ["Down", "Down", "Down", "CircuitOpen"]

describe.each(["file", "sqlite"] as const)("a disk for %s", (kind) => {
  it("that is full: one warning, calls go on, and what was saved before is whole", async () => {
    const full = disk(`full-${kind}`, "size=128k")
    const path = join(full, "state")
    if (mounted.includes(full)) {
      await failing(layers[kind](path))
      // As much as there is room for.
      for (const size of [65_536, 4096, 512, 1]) {
        for (let i = 0; i < 64; i++) {
          try {
            writeFileSync(join(full, `filler-${size}-${i}`), "x".repeat(size))
          } catch {
            break
          }
        }
      }
    }
    const { lines, tags } = await failing(layers[kind](path))
    // SQLite cannot open a file in write-ahead mode without writing, unless the files beside it are still there.
    const read = tags.map(() => "CircuitOpen")
    if (kind === "file") assert.deepEqual(tags, mounted.includes(full) ? read : asAlways)
    else assert.includeDeepMembers([read, asAlways], [tags])
    assert.isAtMost(lines.length, 1, lines.join("\n"))
    if (kind === "file") assert.lengthOf(lines, 1)
    if (!mounted.includes(full)) return
    for (const file of readdirSync(full)) if (file.startsWith("filler")) rmSync(join(full, file))
    assertWhole(kind, path)
    assert.strictEqual((await failing(layers[kind](path))).tags[0], "CircuitOpen")
  })

  it("that cannot be written: one warning, and calls go on", async () => {
    const readOnly = disk(`read-only-${kind}`, "ro")
    const { lines, tags } = await failing(layers[kind](join(readOnly, "state")))
    assert.deepEqual(tags, asAlways)
    assert.lengthOf(lines, 1, lines.join("\n"))
    assert.include(lines[0], "State: the ")
  })

  it("where something else stands: one warning that names it, and it is not lost", async () => {
    const path = join(folder, `foreign.${kind}`)
    const text = "a shopping list, and no state\n".repeat(200)
    writeFileSync(path, text)
    const { lines, tags } = await failing(layers[kind](path))
    assert.deepEqual(tags, asAlways)
    assert.include(lines[0], "cannot be read")
    if (kind === "file") {
      assert.strictEqual(readFileSync(`${path}.corrupted`, "utf8"), text)
      assert.deepEqual((await failing(layers.file(path))).tags[0], "CircuitOpen")
    } else {
      assert.strictEqual(readFileSync(path, "utf8"), text)
    }
  })

  it("without the folder", async () => {
    const path = join(folder, `new-${kind}`, "deep", "state")
    const { lines, tags } = await failing(layers[kind](path))
    assert.deepEqual(tags, asAlways)
    if (kind === "file") {
      assert.deepEqual(lines, [])
      assert.isTrue(existsSync(path))
    } else {
      assert.include(lines[0], "unable to open database file")
    }
  })
})

describe("a file of a later version", () => {
  it("of SQLite is left as it is", async () => {
    const path = join(folder, "later.sqlite")
    const database = new DatabaseSync(path)
    database.exec("PRAGMA user_version = 7")
    database.close()
    const { lines, tags } = await failing(layers.sqlite(path))
    assert.deepEqual(tags, asAlways)
    assert.include(lines[0], "its layout has version 7")
  })

  it("of JSON is put aside", async () => {
    const path = join(folder, "later.json")
    writeFileSync(path, '{"version":2,"policies":{}}')
    await failing(layers.file(path))
    assert.strictEqual(readFileSync(`${path}.corrupted`, "utf8"), '{"version":2,"policies":{}}')
  })
})
