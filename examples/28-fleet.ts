// Three processes of one service share a circuit and a quota, through a file that all of them open: nothing to install.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { Console, Effect, Layer } from "effect"
import { Policy, Transient } from "effect-resilience"
import * as Sqlite from "effect-resilience/shared/Sqlite"

class GatewayDown extends Transient.TaggedError<GatewayDown>()("GatewayDown", {}) {}

class Payments extends Policy.Service<Payments>()("shop/Payments", {
  timeout: "1 second",
  breaker: { openFor: "30 seconds" },
  shared: { breaker: {} } // the layer requires a board from here on
}) {}

/** The provider of maps allows 100 calls a second to the whole service, whatever the number of its processes is. */
class Maps extends Policy.Service<Maps>()("shop/Maps", {
  rateLimit: { limit: 100, window: "1 second", burst: 10 },
  shared: { rateLimit: { fleet: 100, alone: 20 } } // 20 each, as long as the board does not know yet who uses what
}) {}

/** As many calls as there are tokens, for a second and a half: all three together start no more than their quota. */
const hasty = Effect.gen(function* () {
  let started = 0
  const call = Effect.sync(() => {
    started += 1
  })
  const calls = Effect.ignore(call.pipe(Maps.protect)).pipe(Effect.andThen(Effect.sleep("2 millis")), Effect.forever)
  yield* Effect.timeoutOption(calls, "1500 millis")
  return started
})

const charge = Effect.fail(new GatewayDown()).pipe(Payments.protect)

/** Calls every 50 milliseconds, until the circuit is open. */
const busy = charge.pipe(
  Effect.catchTag("GatewayDown", () => Effect.sleep("50 millis")),
  Effect.forever,
  Effect.flip
)

/** Has not called yet when the fleet opens the circuit. */
const quiet = Payments.fleet.pipe(
  Effect.delay("50 millis"),
  Effect.repeat({ until: (fleet) => fleet?.circuits.some(({ state }) => state === "open") === true }),
  Effect.andThen(Effect.flip(charge))
)

/** One process of the service. */
const service = (role: string, path: string) =>
  Effect.gen(function* () {
    const error = yield* role === "quiet" ? quiet : busy
    const { totals } = yield* Payments.stats()
    const by = error._tag === "CircuitOpen" ? error.by : "nothing"
    const started = yield* hasty
    yield* Console.log(`${role}: rejected by ${by} after ${totals.failures} failures, ${started} calls of the quota`)
  }).pipe(Effect.provide(Layer.merge(Payments.layer, Maps.layer).pipe(Layer.provide(Sqlite.layer({ path })))))

const startAll = async () => {
  const folder = mkdtempSync(join(tmpdir(), "fleet-"))
  const start = (role: string) => {
    const args = [...process.execArgv, import.meta.filename, role, join(folder, "board.db")]
    return text(spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] }).stdout)
  }
  const lines = await Promise.all([start("busy"), start("busy"), start("quiet")])
  rmSync(folder, { recursive: true })
  console.log(lines.join("").trim())
  assert.match(lines[0], /busy: rejected by (self|fleet)/)
  assert.match(lines[1], /busy: rejected by (self|fleet)/)
  // It knows before its first call what the other two have found out.
  assert.match(lines[2], /quiet: rejected by fleet after 0 failures/)
  // At most the tokens of four seconds, and those that the fleet saves up: a tenth of a second, one for each process and the board.
  const started = lines.reduce((sum, line) => sum + Number(/(\d+) calls of the quota/.exec(line)?.[1]), 0)
  assert.ok(started > 50 && started <= 4 * 100 + 10 + 4, `${started} calls`)
}

const [role, path] = process.argv.slice(2)
if (role === undefined || path === undefined) await startAll()
else await Effect.runPromise(service(role, path))
