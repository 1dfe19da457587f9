/** Processes that put and replay letters, killed one after the other: all that was put is handled. */
import { spawn } from "node:child_process"
import { join } from "node:path"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
import { bundled } from "../../support/bundled.ts"
import { type Kind, storeOf } from "./stores.ts"

/** `CRASHES=all npm test -- test/jobs` kills at each step, and processes 100 times; otherwise it is a sample. */
export const isEach = process.env["CRASHES"] === "all"

export const kills = isEach ? 100 : 2

let program: Promise<string> | undefined

/** Kills `kills` processes, each at a random moment, on a store of a kind at a place, and then replays what is left. */
export const killedAgain = async (kind: Kind, place: string, kills: number): Promise<void> => {
  program ??= bundled("test/jobs/support/letters.ts")
  const putting = join(await program, "letters.js")
  const said: Record<string, Array<number>> = { putting: [], put: [], handling: [] }
  let lastKilled = 0
  for (let kill = 0; kill < kills; kill++) {
    const first = Math.max(-1, ...(said["putting"] ?? [])) + 1
    const child = spawn(process.execPath, ["--no-warnings", putting, kind, place, String(first), "100"], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    let output = ""
    const begun = new Promise<void>((resolve) => {
      child.stdout.on("data", (data) => {
        output += String(data)
        if (output.includes("put 0\n") || kill > 0) resolve()
      })
    })
    const ended = new Promise((resolve) => child.once("close", resolve))
    await Promise.race([begun, ended])
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 200))
    child.kill("SIGKILL")
    await ended
    // The last line may be half of one.
    for (const line of output.split("\n").slice(0, -1)) {
      const [word = "", n] = line.split(" ")
      said[word]?.push(Number(n))
    }
    lastKilled = Date.now()
  }
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, 150 - (Date.now() - lastKilled))))
  const rest = Effect.gen(function* () {
    const letters = yield* DeadLetter.make("crash", { message: Schema.Number, key: String, maxReplays: 1000 })
    yield* letters.replay((n) => Effect.sync(() => void said["handling"]?.push(n)))
    return yield* letters.list
  })
  assert.deepStrictEqual(await Effect.runPromise(Effect.provide(rest, storeOf(kind, place))), [])
  const handled = said["handling"] ?? []
  const isPutting = new Set(said["putting"])
  assert.isAbove(said["put"]?.length ?? 0, 0)
  for (const n of said["put"] ?? []) assert.include(handled, n)
  for (const n of handled) assert.isTrue(isPutting.has(n))
  // Two at once, so a kill makes at most two of them again.
  assert.isAtMost(handled.length - new Set(handled).size, 2 * kills)
}
