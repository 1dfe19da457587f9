import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Boards } from "@effect-resilience/testing"
import { Effect, Layer } from "effect"
import { Shared } from "effect-resilience"
import * as SharedRedis from "effect-resilience/shared/Redis"
import * as SharedSqlite from "effect-resilience/shared/Sqlite"
import { clientOptions, isInstalled, RedisServer } from "../support/redis.ts"

const laws = Boards.laws.map(({ check, name }) => ({ name, check }))

describe("the board in memory", () => {
  it.live.each(laws)("$name", ({ check }) => Effect.provide(check, Shared.layerMemory))
})

describe("a board that loses a command", () => {
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

describe("the board in a SQLite file", () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "board-"))
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  it.live.each(laws)("$name", ({ check }) =>
    Effect.provide(
      check,
      Layer.suspend(() => SharedSqlite.layer({ path: join(directory, "board.db") }))
    )
  )
})

describe.skipIf(!isInstalled)("the board in Redis", () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(() => server.stop())

  it.live.each(laws)("$name", ({ check }) =>
    Effect.provide(
      check,
      Layer.suspend(() =>
        SharedRedis.layer({ prefix: "test" }).pipe(Layer.provide(NodeRedis.layer(clientOptions(server.port))))
      )
    )
  )
})
