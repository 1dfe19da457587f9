/** Letters in a table of SQLite and of PostgreSQL. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { SqlClient, Statement } from "effect/sql"
import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
import * as Sql from "effect-resilience/jobs/Sql"
import { afterAll, beforeAll } from "vitest"
import { isInstalled, notInstalled, postgres } from "../support/postgres.ts"
import { sqliteClient } from "../support/sqliteClient.ts"
import { conformance } from "./support/conformance.ts"
import { killedAgain, kills } from "./support/crashes.ts"
import { postgresAt } from "./support/stores.ts"

const text = { message: Schema.String }

/** What letters in a table do beyond what all letters do. `client` is one to the same database each time. */
const onTables = (name: string, client: Layer.Layer<SqlClient.SqlClient>, tableOf: () => string): unknown =>
  describe(`a table of ${name}`, () => {
    const test = (
      title: string,
      run: (table: string) => Effect.Effect<void, unknown, SqlClient.SqlClient | Scope.Scope>
    ) =>
      it.effect(title, () =>
        Effect.suspend(() => run(tableOf())).pipe(Effect.scoped, Effect.provide(Layer.fresh(client)))
      )
    const makeIn = (options: Sql.Options) =>
      Effect.provide(DeadLetter.make("mail", text), Layer.fresh(Sql.layer(options)))

    test("takes a letter with the transaction that it was put in, or not at all", (table) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const letters = yield* makeIn({ table })
        const undone = sql.withTransaction(Effect.andThen(letters.put("a", { key: "a" }), Effect.fail("no")))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(undone)))
        // The table went with it, and is created again.
        assert.deepStrictEqual(yield* letters.list, [])
        yield* Effect.exit(undone)
        assert.deepStrictEqual(yield* letters.list, [])
        yield* sql.withTransaction(letters.put("b", { key: "b" }))
        assert.deepStrictEqual(
          (yield* letters.list).map(({ id }) => id),
          ["b"]
        )
      }))

    test("is created by the first operation, also of many at once", (table) =>
      Effect.gen(function* () {
        const all = yield* Effect.all(Array.from({ length: 4 }, () => makeIn({ table })))
        yield* Effect.forEach(all, (letters, n) => letters.put(`${n}`, { key: `${n}` }), { concurrency: "unbounded" })
        assert.lengthOf(yield* all[0]!.list, 4)
      }))

    test("is not created with `create: false`, and the failure says what the database said", (table) =>
      Effect.gen(function* () {
        const letters = yield* makeIn({ table, create: false })
        const error = yield* Effect.flip(letters.put("a"))
        assert.include(error.message, "DeadLetter mail: put failed: SqlError")
        yield* (yield* makeIn({ table })).put("a")
        assert.lengthOf(yield* letters.list, 1)
      }))

    test("keeps texts of any characters; a damaged message is shown, and parked by a replay", (table) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const letters = yield* makeIn({ table })
        const odd = "'\"\\ \0 é 😀 \n %s $1 ?"
        yield* letters.put(odd, { key: odd.replace("\0", ""), error: odd })
        const [letter] = yield* letters.list
        assert.deepStrictEqual(letter?.decoded, Option.some(odd))
        assert.strictEqual(letter?.id, odd.replace("\0", ""))
        assert.strictEqual(letter?.error, odd.replace("\0", "\uFFFD"))
        yield* sql`UPDATE ${sql(table)} SET message = '{half'`
        const [damaged] = yield* letters.list
        assert.match(damaged?.error ?? "", /^damaged: /)
        assert.strictEqual((yield* letters.replay(() => Effect.void)).parked, 1)
        assert.include((yield* letters.list)[0]?.reason, "does not decode")
      }))
  })

const directory = mkdtempSync(join(tmpdir(), "effect-resilience-sql-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

let tables = 0
const newTable = () => `letters_${++tables}`

/** A store with a table of its own. */
const storeOn = (client: Layer.Layer<SqlClient.SqlClient>): Layer.Layer<DeadLetter.Store> =>
  Layer.unwrap(Effect.sync(() => Layer.provide(Sql.layer({ table: newTable() }), client)))

const onSqlite = sqliteClient(join(directory, "letters.sqlite"))
conformance("SQLite", storeOn(onSqlite))
onTables("SQLite", onSqlite, newTable)

let port = 0
const onPostgres = Layer.unwrap(Effect.sync(() => postgresAt(port)))

describe.skipIf(!isInstalled)(isInstalled ? "letters on a server" : `letters on a server (${notInstalled})`, () => {
  const scope = Scope.makeUnsafe()
  beforeAll(async () => {
    port = (await Effect.runPromise(Scope.provide(postgres, scope))).port
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  conformance("PostgreSQL", storeOn(onPostgres))
  onTables("PostgreSQL", onPostgres, newTable)

  it("keep all that was put, wherever a process is killed", { timeout: 600_000 }, () =>
    killedAgain("postgres", String(port), kills)
  )
})

describe("a layer of letters in a table", () => {
  it.effect("refuses a client on which it was never tried", () =>
    Effect.gen(function* () {
      const client = yield* SqlClient.make({
        acquirer: Effect.never,
        compiler: Statement.makeCompiler({
          dialect: "mysql",
          placeholder: () => "?",
          onIdentifier: (name) => name,
          onCustom: () => ["", []],
          onRecordUpdate: () => ["", []]
        }),
        driver: "mysql",
        spanAttributes: []
      })
      const exit = yield* Effect.exit(
        Layer.build(Layer.provide(Sql.layer(), Layer.succeed(SqlClient.SqlClient, client)))
      )
      assert.match(
        String(Exit.isFailure(exit) && exit.cause),
        /Sql\.layer: the client must be of PostgreSQL or SQLite, got "mysql"/
      )
    }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))
  )

  it("refuses wrong options at once", () => {
    assert.throws(() => Sql.layer({ table: "" }), /Sql\.layer: table must be/)
    // Wrong on purpose.
    assert.throws(() => Sql.layer({ name: "letters" } as never), /there is no option name/)
  })
})
