import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Shared } from "effect-resilience"
import * as SharedSqlite from "effect-resilience/shared/Sqlite"
import { Client } from "../share/client.ts"

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "board-"))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Lets a client report that its calls of a key fail. */
const report = (scope: string, client: Client, key: string, now = 0) =>
  Effect.flatMap(Shared.Board, (board) => {
    client.circuit(key, now)
    for (let i = 0; i < 3; i++) client.run(true, now, key)
    return board.sync(scope, JSON.stringify(client.member.makeReport(now)))
  })

const rowsOf = (path: string): ReadonlyArray<string> => {
  const database = new DatabaseSync(path)
  const rows = database.prepare("SELECT id FROM rows ORDER BY id").all()
  database.close()
  return rows.map(({ id }) => String(id))
}

describe("a board in a SQLite file", () => {
  it.effect("drops what no member writes any more, and of a fleet without members all after 30 days", () =>
    Effect.gen(function* () {
      const path = join(directory, "old.db")
      const on = (scope: string, client: Client, key: string) =>
        Effect.provide(report(scope, client, key), SharedSqlite.layer({ path }))
      const operator = new Client({ id: "operator" })
      operator.say("isolate", 0, "clock")
      yield* on("app/Payments/2", operator, "eu")
      yield* on("app/Payments/1", new Client({ id: "former" }), "eu")
      const rows = (scope: string) =>
        rowsOf(path).flatMap((id) => (id.startsWith(scope) ? [id.slice(scope.length + 1)] : []))
      assert.include(rows("app/Payments/1"), "c/eu")
      yield* TestClock.adjust("2 hours")
      yield* on("app/Payments/2", new Client({ id: "later" }), "us")
      // The members, evidence and circuits of before are gone, and the command is kept.
      const present = ["c/us", "clock", "m/later", "meta", "o/clock", "s/us/later", "settings"]
      assert.deepStrictEqual(rows("app/Payments/2"), present)
      assert.deepStrictEqual(rows("app/Payments/1"), ["clock", "meta", "settings"])
      yield* TestClock.adjust("31 days")
      yield* on("app/Payments/2", new Client({ id: "last" }), "us")
      assert.deepStrictEqual(rows("app/Payments/1"), [])
      assert.include(rows("app/Payments/2"), "o/clock")
    })
  )

  it.effect("keeps the last pushes only, also of a process that is alone", () =>
    Effect.gen(function* () {
      const path = join(directory, "pushes.db")
      const count = () => {
        const database = new DatabaseSync(path)
        const row = database.prepare("SELECT count(*) AS n FROM pushes").get()
        database.close()
        return Number(row?.["n"])
      }
      const all = Effect.gen(function* () {
        const client = new Client({ id: "operator" })
        for (let i = 0; i < 700; i++) {
          client.say(i % 2 === 0 ? "isolate" : "clear", 0)
          yield* report("app/Payments/2", client, "eu")
        }
        assert.isAtMost(count(), 320)
      })
      yield* Effect.provide(all, SharedSqlite.layer({ path }))
    })
  )
})
