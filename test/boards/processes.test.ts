import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { isInstalled, RedisServer } from "../support/redis.ts"
import { isShut, isState, Kid, sleep, startFleet, until } from "./kids.ts"

const timeout = 120_000

let kids: ReadonlyArray<Kid> = []
let directory: string
let server: RedisServer | undefined

const begin = async (backend: "sqlite" | "redis", n = 3): Promise<void> => {
  if (backend === "redis") server = await RedisServer.start()
  kids = await startFleet(backend, where(backend), n)
}

const where = (backend: "sqlite" | "redis"): string =>
  backend === "redis" ? String(server!.port) : join(directory, "board.db")

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "fleet-"))
})

afterEach(async () => {
  for (const kid of kids) kid.kill()
  kids = []
  await server?.stop()
  server = undefined
  rmSync(directory, { recursive: true, force: true })
})

const setDown = (isDown: boolean): void => {
  for (const kid of kids) kid.tell({ isDown })
}

const sum = async (field: "sent" | "calls"): Promise<number> =>
  (await Promise.all(kids.map((kid) => kid.ask()))).reduce((sum, report) => sum + report[field], 0)

const backends = (isInstalled ? ["sqlite", "redis"] : ["sqlite"]) as ReadonlyArray<"sqlite" | "redis">

describe.each(backends)("processes with a board in %s", (backend) => {
  it("open together, probe one at a time, and close together", { timeout }, async () => {
    await begin(backend)
    setDown(true)
    await until(kids, "all open", isShut)
    const [sent, calls] = [await sum("sent"), await sum("calls")]
    await sleep(2500)
    const probes = (await sum("sent")) - sent
    // Alone, three processes would make some 25 probes with an open time of 300 ms.
    assert.isAtMost(probes, 12)
    assert.isAbove((await sum("calls")) - calls, 100)
    setDown(false)
    await until(kids, "all closed", isState("closed"))
  })

  it("obey an operator in one of them", { timeout }, async () => {
    await begin(backend)
    kids[1]!.tell({ say: "isolate" })
    await until(kids, "all isolated", isState("isolated"), 5000)
    kids[2]!.tell({ say: "close" })
    await until(kids, "all closed", isState("closed"), 5000)
  })

  it("open, probe and close by themselves while the board stands still, and no call waits for it", {
    timeout
  }, async () => {
    await begin(backend)
    let holder: Kid | undefined
    if (backend === "redis") server?.signal("SIGSTOP")
    else {
      holder = new Kid(backend, where(backend))
      await holder.ready
      holder.tell({ hold: true })
      await sleep(500)
    }
    setDown(true)
    await until(kids, "all open", isShut)
    setDown(false)
    await until(kids, "all closed", isState("closed"))
    await until(kids, "out of touch", ({ inTouch }) => !inTouch)
    const { longest } = await kids[0]!.ask()
    // A timeout of a report is 250 ms; a call waits for none.
    assert.isBelow(longest, 200)
    if (backend === "redis") server?.signal("SIGCONT")
    else holder?.kill()
    await until(kids, "in touch again", ({ inTouch }) => inTouch)
    assert.deepStrictEqual(
      (await Promise.all(kids.map((kid) => kid.ask()))).map(({ state }) => state),
      ["closed", "closed", "closed"]
    )
  })

  it("fill a board that lost everything: a new process learns the isolation", { timeout }, async () => {
    await begin(backend)
    kids[0]!.tell({ say: "isolate" })
    await until(kids, "all isolated", isState("isolated"))
    if (backend === "redis") {
      await server?.crash()
      await sleep(300)
      await server?.run()
    } else rmSync(where(backend))
    await sleep(1500)
    await until(kids, "in touch again", ({ inTouch, members }) => inTouch && members === kids.length)
    const late = new Kid(backend, where(backend))
    kids = [...kids, late]
    await late.ready
    await until([late], "the new process is isolated", isState("isolated"))
  })

  it("go on when one is killed, and when one stands still with the probe out", { timeout }, async () => {
    await begin(backend, 4)
    const [first, second, ...others] = kids
    setDown(true)
    await until(kids, "all open", isShut)
    first!.kill()
    second!.signal("SIGSTOP")
    for (const kid of others) kid.tell({ isDown: false })
    await until(others, "the others closed", isState("closed"))
    second!.signal("SIGCONT")
    second!.tell({ isDown: false })
    await until([second!, ...others], "all closed", isState("closed"))
  })
})

describe("a SQLite file", () => {
  it("that is overwritten with garbage is replaced", { timeout }, async () => {
    await begin("sqlite")
    kids[0]!.tell({ say: "isolate" })
    await until(kids, "all isolated", isState("isolated"))
    for (const end of ["-wal", "-shm"]) rmSync(where("sqlite") + end, { force: true })
    writeFileSync(where("sqlite"), "no database ".repeat(1000))
    await sleep(1500)
    const late = new Kid("sqlite", where("sqlite"))
    kids = [...kids, late]
    await late.ready
    await until(kids, "all in touch", ({ inTouch, members, state }) => inTouch && members === 4 && state === "isolated")
  })
})
