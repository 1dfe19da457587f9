/** What a change would do, on the page in Chromium: the last minutes replayed in the lab. */
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Policies } from "effect-resilience"
import type { Browser } from "playwright-core"
import { browser, isInstalled, open } from "./browser.ts"
import { makeWorld, mixedCalls, token } from "./world.ts"

class Chromium extends Context.Service<Chromium, Browser>()("test/Chromium") {
  static readonly layer = Layer.effect(Chromium, browser)
}

describe.skipIf(!isInstalled)("the page (skipped where Debian's package chromium is not installed)", () => {
  layer(Chromium.layer, { excludeTestServices: true })("in Chromium", (it) => {
    it.effect("says what a change would do with the recorded calls, and changes nothing", () =>
      Effect.gen(function* () {
        const { run, serve } = yield* makeWorld()
        const { close, url } = yield* serve({ token, interval: "100 millis" })
        const { complaints, page } = yield* open(yield* Chromium, url)
        // The page has a first reading, of no calls.
        yield* Effect.promise(() => page.getByText("all 4 policies healthy").waitFor())
        yield* Effect.promise(() => run(mixedCalls(400)))
        yield* Effect.promise(async () => {
          await page.getByRole("link", { name: "app/Payments" }).click()
          const drawer = page.getByRole("dialog", { name: "app/Payments" })
          await drawer.getByRole("button", { name: "Change retry.backoff.times" }).click()
          const form = drawer.getByRole("form", { name: "Change retry.backoff.times" })
          await form.getByLabel("New value of retry.backoff.times").fill("0")
          await form.getByRole("button", { name: "What would this do?" }).click()
          const answer = form.getByRole("status", { name: "What this would do" })
          await answer
            .getByText(/^Successes fall from .* to .* of the calls, retries fall from .* to 0 per call/)
            .waitFor()
          await answer.getByRole("row", { name: /^retries per call .* 0$/ }).waitFor()
          await answer.getByText(/A simulation, not a promise: 400 calls of the last .*, replayed 3 times/).waitFor()
          await answer.getByText("What it takes for granted").click()
          await answer.getByText(/The dependency responds as it did then/).waitFor()
        })
        assert.deepStrictEqual(yield* Effect.promise(() => run(Policies.changes)), [])
        assert.deepStrictEqual(complaints, [])
        yield* close
      }).pipe(Effect.scoped)
    )
  })
})
