import { mkdtempSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { spawn } from "../../packages/demo/src/children.ts"
import type { FromBoard, ToBoard } from "../../packages/demo/src/messages.ts"
import { isInstalled } from "../support/redis.ts"

const isOpen = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy()
      resume(Effect.succeed(true))
    })
    socket.once("error", () => resume(Effect.succeed(false)))
  })

/** A board over a Redis of its own; the port of that. */
const board = Effect.gen(function* () {
  const where = yield* Deferred.make<number>()
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "board-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )
  const child = yield* spawn<FromBoard, ToBoard>("fleet/board", ["redis", folder], "the board", (message) => {
    if (message._tag === "Where") Deferred.doneUnsafe(where, Effect.succeed(Number(message.where)))
  })
  return { child, port: yield* Effect.raceFirst(Deferred.await(where), child.ended) }
})

describe.runIf(isInstalled)("the board of the demo", () => {
  it.live("ends its Redis when the demo ends, even one that is stopped", () =>
    Effect.gen(function* () {
      const port = yield* Effect.scoped(
        Effect.gen(function* () {
          const { child, port } = yield* board
          assert.isTrue(yield* isOpen(port))
          yield* child.tell({ _tag: "Stop" })
          return port
        })
      )
      yield* Effect.repeat(isOpen(port), { until: (open) => !open })
    })
  )
})
