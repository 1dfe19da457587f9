/** The stores of letters, a random program over one, and a file system that is killed at a step. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { PgClient } from "@effect/sql-pg"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { SqlClient } from "effect/sql"
import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
import * as Spool from "effect-resilience/jobs/Spool"
import * as Sql from "effect-resilience/jobs/Sql"
import { seeded } from "../../support/random.ts"
import { sqliteClient } from "../../support/sqliteClient.ts"

export const temporary = (): string => mkdtempSync(join(tmpdir(), "effect-resilience-letters-"))

const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(Effect.sync(temporary), (path) =>
  Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

export const postgresAt = (port: number): Layer.Layer<SqlClient.SqlClient> =>
  Layer.orDie(PgClient.layer({ host: "127.0.0.1", port, username: "postgres", database: "postgres" }))

export const spoolIn = (directory: string): Layer.Layer<DeadLetter.Store> =>
  Spool.layer({ directory }).pipe(Layer.provide(NodeFileSystem.layer))

export const spool: Layer.Layer<DeadLetter.Store> = Layer.unwrap(Effect.map(folder, spoolIn))

export type Kind = "spool" | "queue" | "sqlite" | "postgres"

/** A store of a kind, of which a queue of Effect in a spool is one: in a directory, or on the port of a server. */
export const storeOf = (kind: Kind, place: string): Layer.Layer<DeadLetter.Store> => {
  if (kind === "spool" || kind === "queue") return spoolIn(place)
  return Layer.provide(
    Sql.layer(),
    kind === "sqlite" ? sqliteClient(join(place, "letters.sqlite")) : postgresAt(Number(place))
  )
}

type Store = DeadLetter.Store["Service"]

/** A store of its own. */
export const build = (layer: Layer.Layer<DeadLetter.Store>): Effect.Effect<Store, never, Scope.Scope> =>
  Effect.map(Layer.build(Layer.fresh(layer)), (context) => Context.get(context, DeadLetter.Store))

/** One random operation on each of some stores: what each returns. `now` goes on by itself. */
export const randomOperations = (seed: number, count: number) => {
  const random = seeded(seed)
  const pick = <A>(values: ReadonlyArray<A>): A => values[Math.floor(random() * values.length)] as A // not empty
  const ids = ["a", "A", "ä/../b", "x".repeat(300), `${"x".repeat(299)}y`]
  const names = ["one", "two words"]
  const claims: Array<{ readonly name: string; readonly id: string; readonly token: string }> = []
  let now = 1000
  const one = (n: number): readonly [string, (store: Store) => Effect.Effect<unknown, unknown>] => {
    now += Math.floor(random() * 30)
    const [at, id, name] = [now, pick(ids), pick(names)]
    const claimed = pick(claims.slice(-4)) ?? { name, id, token: "none" }
    const reason = `because of ${n}`
    const settle = (to: DeadLetter.Settlement) => (store: Store) =>
      store.settle(claimed.name, claimed.id, claimed.token, to)
    switch (Math.floor(random() * 13)) {
      case 0:
      case 1:
      case 2: {
        const letter = { id, message: { n, text: "é" }, putAt: at, error: `error ${n}`, attempts: n % 4 }
        return ["put", (store) => store.put(name, letter)]
      }
      case 3:
      case 4:
      case 5: {
        const claim = { token: `t${n}`, now: at, until: at + 50 }
        claims.push({ name, id, token: claim.token })
        return ["claim", (store) => store.claim(name, id, claim)]
      }
      case 6:
        return ["renew", (store) => store.renew(claimed.name, claimed.id, claimed.token, at + 70)]
      case 7:
        return ["done", settle({ _tag: "Done" })]
      case 8:
        return ["waiting", settle({ _tag: "Waiting", at: at + 20, replays: n % 3, reason })]
      case 9:
        return ["parked", settle({ _tag: "Parked", at, reason })]
      case 10:
        return ["get", (store) => store.get(name, id)]
      case 11:
        return ["retry", (store) => store.retry(name, id)]
      default:
        return ["drop", (store) => store.drop(name, id)]
    }
  }
  return { names, operations: Array.from({ length: count }, (_, n) => one(n)) }
}

const steps = [
  "makeDirectory",
  "readDirectory",
  "rename",
  "remove",
  "readFileString",
  "writeFileString",
  "stat"
] as const

/**
 * A file system of a process that is killed at step `at`, before the step or after it; a write is done by half. From then on nothing
 * goes on: an operation never ends. `killed` succeeds at that moment.
 */
export const killedAt = (files: FileSystem.FileSystem, at: number, after: boolean) => {
  const killed = Deferred.makeUnsafe<void>()
  let count = 0
  const step = <A, E, R>(effect: Effect.Effect<A, E, R>, half?: Effect.Effect<unknown, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      count += 1
      if (count < at) return effect
      const dies = Effect.andThen(Deferred.succeed(killed, undefined), Effect.never)
      if (count > at) return Effect.never
      return Effect.andThen(Effect.exit(half !== undefined ? half : after ? effect : Effect.void), dies)
    })
  const wrapped: Record<string, unknown> = { ...files }
  for (const name of steps) {
    const original = files[name] as (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, never>
    wrapped[name] = (...args: ReadonlyArray<unknown>) => step(original(...args))
  }
  wrapped["open"] = (...args: Parameters<FileSystem.FileSystem["open"]>) =>
    Effect.map(step(files.open(...args)), (file) => ({
      ...file,
      sync: step(file.sync),
      writeAll: (bytes: Uint8Array) =>
        step(file.writeAll(bytes), after ? undefined : file.writeAll(bytes.subarray(0, bytes.length / 2)))
    }))
  return { files: wrapped as unknown as FileSystem.FileSystem, killed: Deferred.await(killed), count: () => count }
}
