// Loaded before a program: when the program ends, prints the policies that it has created, also those that are gone by then.
import { Effect } from "effect"
import { current } from "../../../resilience/src/engine/instances.ts"
import { mark } from "./mark.ts"

const created: Array<object> = []

// The default registry of the process.
Effect.runSync(current).listeners.add(({ _tag, instance: { kind, name, settings } }) => {
  if (_tag === "Registered") created.push({ name, kind, settings })
})
process.on("exit", () => console.log(`\n${mark}${JSON.stringify(created)}`))
