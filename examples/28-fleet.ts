// Three processes of one service share a circuit, through a file that all of them open: nothing to install.
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
    yield* Console.log(`${role}: rejected by ${by} after ${totals.failures} failures`)
  }).pipe(Effect.provide(Payments.layer.pipe(Layer.provide(Sqlite.layer({ path })))))

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
  assert.equal(lines[2], "quiet: rejected by fleet after 0 failures\n")
}

const [role, path] = process.argv.slice(2)
if (role === undefined || path === undefined) await startAll()
else await Effect.runPromise(service(role, path))
