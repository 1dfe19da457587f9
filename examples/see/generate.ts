import { writeFileSync } from "node:fs"
import { Effect } from "effect"
import { Policies } from "effect-resilience"
import * as Alerts from "effect-resilience/telemetry/Alerts"
import * as Dashboards from "effect-resilience/telemetry/Dashboards"
import { Payments } from "./payments.ts"

const generate = Effect.gen(function* () {
  const policies = yield* Policies.all
  writeFileSync("alerts.yml", Alerts.prometheus(policies))
  writeFileSync("dashboard.json", JSON.stringify(Dashboards.grafana(policies)))
})

await Effect.runPromise(generate.pipe(Effect.provide(Payments.layer)))
