/** A fuse that processes share over the boards that there are, in real time: each `make` is a process. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Fuse, type Shared } from "effect-resilience"
import * as SharedRedis from "effect-resilience/shared/Redis"
import * as SharedSqlite from "effect-resilience/shared/Sqlite"
import { clientOptions, isInstalled, RedisServer } from "../support/redis.ts"

/** Until all of them say so; the test has a time limit. */
const all = (fuses: ReadonlyArray<Fuse.Fuse>, holds: (state: Fuse.State) => boolean) =>
  Effect.forEach(fuses, ({ state }) => state).pipe(
    Effect.map((states) => states.every(holds)),
    Effect.delay("10 millis"),
    Effect.repeat({ until: (isSo) => isSo })
  )

const works: Effect.Effect<void, never, Shared.Board> = Effect.gen(function* () {
  const make = Fuse.make("disk", { shorts: 4, pause: 0, reset: "manual", shared: true })
  const fuses = yield* Effect.all([make, make])
  for (const fuse of fuses) {
    yield* fuse.short()
    yield* fuse.short()
  }
  // Neither has counted four.
  yield* all(fuses, ({ broken }) => broken)
  const late = yield* make
  yield* all([late], ({ broken }) => broken)
  yield* late.reset
  yield* all([...fuses, late], ({ broken, shorts }) => !broken && shorts === 0)
  yield* late.trip()
  yield* all([...fuses, late], ({ broken, trips }) => broken && trips >= 1)
  for (const fuse of fuses) assert.strictEqual((yield* fuse.state).trips, 2)
}).pipe(Effect.scoped)

describe("a fuse of a fleet", () => {
  let directory: string
  let server: RedisServer | undefined
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "fuse-"))
    if (isInstalled) server = await RedisServer.start()
  })
  afterAll(async () => {
    rmSync(directory, { recursive: true, force: true })
    await server?.stop()
  })

  it.live("adds up shorts, breaks in a process that comes later, and is reset, over a SQLite file", () =>
    Effect.provide(
      works,
      Layer.suspend(() => SharedSqlite.layer({ path: join(directory, "board.db") }))
    )
  )

  it.live.skipIf(!isInstalled)("does so over Redis", () =>
    Effect.provide(
      works,
      Layer.suspend(() =>
        SharedRedis.layer({ prefix: "fuse" }).pipe(Layer.provide(NodeRedis.layer(clientOptions(server?.port ?? 0))))
      )
    )
  )
})
