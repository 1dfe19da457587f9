import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Boards } from "@effect-resilience/testing"
import { Effect, Layer } from "effect"
import { Policy, Shared } from "effect-resilience"
import * as SharedRedis from "effect-resilience/shared/Redis"
import * as SharedSqlite from "effect-resilience/shared/Sqlite"
import * as SharedThreads from "effect-resilience/shared/Threads"
import { createClient } from "redis"
import { clientOptions, isInstalled, RedisServer } from "../support/redis.ts"

// The laws wait in real time, so all of them wait at once, each for a board of its own.
const laws = Boards.laws.map(({ check, name }) => ({ name, check }))

describe.concurrent("the board in memory", () => {
  it.live.each(laws)("$name", ({ check }) => Effect.provide(check, Shared.layerMemory))
})

describe.concurrent("a board that loses a command", () => {
  it.live("breaks a law", () =>
    Effect.gen(function* () {
      const memory = yield* Shared.Board
      const forgetful = Shared.Board.of({
        ...memory,
        sync: (scope, report) => memory.sync(scope, JSON.stringify({ ...JSON.parse(report), words: [] }))
      })
      const broken = yield* Effect.flip(Effect.provideService(laws[0]!.check, Shared.Board, forgetful))
      assert.match(broken.message, /the other member was not isolated/)
    }).pipe(Effect.provide(Shared.layerMemory))
  )
})

describe.concurrent("the board in a SQLite file", () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "board-"))
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  it.live.each(laws)("$name", ({ check, name }) =>
    Effect.provide(
      check,
      Layer.suspend(() => SharedSqlite.layer({ path: join(directory, `${name}.db`) }))
    )
  )
})

describe.concurrent("the board in a thread", () => {
  it.live.each(laws)("$name", ({ check, name }) =>
    Effect.provide(check, SharedThreads.layer({ name: `kept here: ${name}`, keeps: true }))
  )
})

describe.concurrent("the board in another thread", () => {
  // Two channels of one thread meet as those of two threads do; `npx tool matrix` runs threads.
  it.live.each(laws)("$name", ({ check, name: law }) => {
    const name = `kept there: ${law}`
    const there = Layer.build(SharedThreads.layer({ name, keeps: true }))
    return Effect.scoped(Effect.andThen(there, Effect.provide(check, SharedThreads.layer({ name, keeps: false }))))
  })

  it.live("ends with the last layer of the thread that keeps it, and is empty when it is back", () =>
    Effect.gen(function* () {
      const name = "kept for a while"
      const join = (keeps: boolean) =>
        Effect.flatMap(Layer.build(SharedThreads.layer({ name, keeps })), (board) =>
          Effect.provide(Policy.make("kept for a while", { breaker: {}, shared: { breaker: {} } }), board)
        )
      const policy = yield* join(false)
      const isKept = Effect.gen(function* () {
        yield* Layer.build(SharedThreads.layer({ name, keeps: true }))
        yield* Effect.scoped(Layer.build(SharedThreads.layer({ name, keeps: true })))
        while ((yield* policy.fleet)?.inTouch !== true) yield* Effect.sleep("20 millis")
        yield* policy.control.isolate({ by: "ann" })
        yield* Effect.sleep("100 millis")
      })
      yield* Effect.scoped(isKept)
      while ((yield* policy.fleet)?.inTouch === true) yield* Effect.sleep("20 millis")
      const other = yield* join(true)
      while ((yield* other.stats()).circuit?._tag !== "isolated") yield* Effect.sleep("20 millis")
    }).pipe(Effect.scoped)
  )

  it("refuses options that it does not have", () => {
    const refused = (options: object): string => {
      try {
        SharedThreads.layer(options)
        return ""
      } catch (error) {
        return (error as Error).message
      }
    }
    assert.deepStrictEqual([{ keeps: "yes" }, { name: "" }, { nam: "a" }].map(refused), [
      'shared/Threads.layer: keeps must be true or false, got "yes"',
      'shared/Threads.layer: name must be a non-empty string, got ""',
      "shared/Threads.layer: there is no option nam; there are name, keeps"
    ])
  })
})

describe.skipIf(!isInstalled)("the board in Redis", { concurrent: true }, () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(() => server.stop())

  it.live("serves a user who may do only what the page on sharing says", () =>
    Effect.gen(function* () {
      const page = readFileSync("docs/share.md", "utf8")
      const command = /^ACL SETUSER .*$/m.exec(page)?.[0] ?? ""
      const client = createClient({ socket: { host: "127.0.0.1", port: server.port } })
      yield* Effect.promise(async () => {
        await client.connect()
        await client.sendCommand(command.split(" "))
        client.destroy()
      })
      const user = { ...clientOptions(server.port), username: "shop-board", password: "password" }
      const board = SharedRedis.layer({ prefix: "shop" }).pipe(Layer.provide(NodeRedis.layer(user)))
      yield* Effect.provide(laws[0]!.check, board)
      const elsewhere = SharedRedis.layer({ prefix: "bank" }).pipe(Layer.provide(NodeRedis.layer(user)))
      assert.strictEqual((yield* Effect.exit(Effect.provide(laws[0]!.check, elsewhere)))._tag, "Failure")
    })
  )

  it.live.each(laws)("$name", ({ check, name }) =>
    Effect.provide(
      check,
      Layer.suspend(() =>
        SharedRedis.layer({ prefix: name }).pipe(Layer.provide(NodeRedis.layer(clientOptions(server.port))))
      )
    )
  )
})
