/** The page in Chromium, against a real server: what an operator sees and does. No test waits for a time, only for what it expects. */
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CircuitBreaker, Policies, Policy, Shared, TripPolicy } from "effect-resilience"
import type { Browser, Page } from "playwright-core"
import { browser, isInstalled, open } from "./browser.ts"
import { calls, makeWorld, Payments, readToken, Search, token } from "./world.ts"

class Chromium extends Context.Service<Chromium, Browser>()("test/Chromium") {
  static readonly layer = Layer.effect(Chromium, browser)
}

const hostile = `<img src=x onerror="document.title='run'"><script>document.title='run'</script>'"&`

class Hostile extends Policy.Service<Hostile>()(hostile, {
  breaker: { trip: TripPolicy.consecutive(1), openFor: "1 minute" }
}) {}

class Many extends CircuitBreaker.Service<Many>()("app/Many", {
  trip: TripPolicy.consecutive(1),
  openFor: "1 minute",
  failures: ["Down"]
}) {}

class Orders extends Policy.Service<Orders>()("app/Orders", { breaker: {}, shared: { breaker: {} } }) {}

const options = { token, readToken, title: "tests", interval: "100 millis" } as const

const world = Effect.gen(function* () {
  const world = yield* makeWorld(Layer.mergeAll(Hostile.layer, Many.layer))
  const server = yield* world.serve(options)
  const run = <A, E>(effect: Effect.Effect<A, E, any>) => Effect.promise(() => world.run(effect))
  return { ...world, ...server, run }
})

const see = (page: Page, text: string | RegExp) =>
  Effect.promise(() => page.getByText(text).filter({ visible: true }).first().waitFor())

const evaluate = (page: Page, expression: string) => Effect.promise(() => page.evaluate<unknown>(expression))

const outage = calls(Payments.protect({ key: "eu" }), 30, true)

const settings = Effect.map(Policies.all, (all) => all.find(({ name }) => name === "app/Payments")?.settings)

describe.skipIf(!isInstalled)("the page (skipped where Debian's package chromium is not installed)", () => {
  layer(Chromium.layer, { excludeTestServices: true })("in Chromium", (it) => {
    it.effect("shows an outage: which dependency, since when, why, until when, and what callers get", () =>
      Effect.gen(function* () {
        const { close, run, url } = yield* world
        const { complaints, page, requested } = yield* open(yield* Chromium, url)
        yield* see(page, "all 6 policies healthy")
        yield* run(calls(Search.protect, 5, false))
        yield* run(outage)
        yield* run(outage)
        yield* see(page, "1 policy in trouble")
        const card = page.getByRole("article", { name: "app/Payments, open" })
        yield* Effect.promise(() => card.getByText(/unhealthy for .* next probe in .* opened by failureRate/).waitFor())
        yield* Effect.promise(() => card.getByText(/Callers get .*CircuitOpen/).waitFor())
        yield* Effect.promise(() => card.getByText("Down: 503 from the bank").waitFor())
        yield* Effect.promise(() => page.waitForFunction('document.title.startsWith("(1)")'))
        assert.deepStrictEqual(complaints, [])
        for (const one of requested) assert.isTrue(one.startsWith(url) || one.startsWith("data:"), one)
        yield* close
      }).pipe(Effect.scoped)
    )

    it.effect("shows the fleet of a policy: members, what it has open, and that the board was lost", () =>
      Effect.gen(function* () {
        const board = { isUp: true }
        const lossy = Layer.effect(
          Shared.Board,
          Effect.map(Shared.Board, (memory) => ({
            ...memory,
            sync: (scope: string, report: string) =>
              board.isUp ? memory.sync(scope, report) : Effect.fail(new Shared.BoardError({ cause: "cut off" }))
          }))
        ).pipe(Layer.provide(Shared.layerMemory))
        const { serve } = yield* makeWorld(Orders.layer.pipe(Layer.provide(lossy)))
        const { close, url } = yield* serve(options)
        const { complaints, page } = yield* open(yield* Chromium, url, { hash: "#/app%2FOrders" })
        const fleet = page.getByRole("dialog").getByRole("region", { name: "Fleet" })
        yield* Effect.promise(() => fleet.getByText("memory").waitFor())
        board.isUp = false
        const lost = /out of touch with the board \(memory\), last heard .* ago: this process decides alone/
        yield* Effect.promise(() => fleet.getByText(lost).waitFor())
        assert.deepStrictEqual(complaints, [])
        yield* close
      }).pipe(Effect.scoped)
    )

    it.effect("isolates a circuit for 15 minutes with a reason, and undoes it", () =>
      Effect.gen(function* () {
        const { close, run, url } = yield* world
        yield* run(calls(Payments.protect({ key: "eu" }), 3, false))
        yield* run(calls(Payments.protect({ key: "us" }), 3, false))
        const { complaints, page } = yield* open(yield* Chromium, url, { hash: "#/app%2FPayments/eu" })
        const drawer = page.getByRole("dialog", { name: "app/Payments" })
        yield* Effect.promise(async () => {
          await drawer.getByRole("group", { name: "Commands for eu" }).getByRole("button", { name: "Isolate…" }).click()
          const form = drawer.getByRole("form", { name: "Isolate eu" })
          await form.getByLabel("Reason").fill("INC-7: double charges")
          await form.getByLabel("For").selectOption("15 minutes")
          await form.getByRole("button", { name: "Isolate eu for 15 minutes" }).click()
          await drawer.getByText(/isolated for .* by ann: INC-7: double charges, ends in 1[45] min/).waitFor()
        })
        assert.strictEqual((yield* run(Payments.stats("eu"))).circuit?._tag, "isolated")
        assert.strictEqual((yield* run(Payments.stats("us"))).circuit?._tag, "closed")
        const [made] = yield* run(Policies.changes)
        assert.strictEqual(made?.by, "ann")
        assert.strictEqual(made?.reason, "INC-7: double charges")
        assert.strictEqual((made?.until ?? 0) - (made?.at ?? 0), 15 * 60_000)
        yield* Effect.promise(async () => {
          await drawer
            .getByRole("region", { name: "In force" })
            .getByRole("button", { name: /Undo change/ })
            .click()
          await drawer
            .getByRole("form", { name: "Undo change 1" })
            .getByRole("button", { name: "Undo change 1" })
            .click()
          await drawer.getByRole("region", { name: "History" }).getByText("undone on eu").waitFor()
        })
        assert.strictEqual((yield* run(Payments.stats("eu"))).circuit?._tag, "closed")
        assert.deepStrictEqual(complaints, [])
        yield* close
      }).pipe(Effect.scoped)
    )

    it.effect("shows what another threshold would change, changes it, and undoes it", () =>
      Effect.gen(function* () {
        const { close, run, url } = yield* world
        yield* run(calls(Payments.protect({ key: "eu" }), 3, false))
        const before = yield* run(settings)
        const { complaints, page } = yield* open(yield* Chromium, url, { hash: "#/app%2FPayments" })
        const drawer = page.getByRole("dialog", { name: "app/Payments" })
        yield* Effect.promise(async () => {
          await drawer.getByRole("button", { name: "Change breaker.trip.threshold" }).click()
          const form = drawer.getByRole("form", { name: "Change breaker.trip.threshold" })
          const value = form.getByLabel("New value of breaker.trip.threshold")
          await value.fill("7")
          await form
            .getByRole("alert")
            .getByText(/must be in \(0, 1\]/)
            .waitFor()
          await value.fill("0.9")
          const preview = form.getByRole("status", { name: "What this would change" })
          await preview.getByText("0.5", { exact: true }).waitFor()
          await preview.getByText("0.9", { exact: true }).waitFor()
          await form.getByLabel("Reason").fill("the bank is slow today")
          await form.getByRole("button", { name: /^Change breaker.trip.threshold/ }).click()
          await drawer.getByText(/Done: breaker.trip.threshold: 0.5 → 0.9/).waitFor()
        })
        assert.notDeepEqual(yield* run(settings), before)
        yield* Effect.promise(async () => {
          const held = drawer.getByRole("region", { name: "In force" })
          await held.getByText("breaker.trip.threshold: 0.5 → 0.9").waitFor()
          await held.getByRole("button", { name: /Undo change/ }).click()
          await held
            .getByRole("form")
            .getByRole("button", { name: /^Undo change/ })
            .click()
          await held.waitFor({ state: "detached" })
        })
        assert.deepStrictEqual(yield* run(settings), before)
        assert.deepStrictEqual(complaints, [])
        yield* close
      }).pipe(Effect.scoped)
    )

    it.effect("asks for the token, says that a wrong one is refused, and shows nothing until it is right", () =>
      Effect.gen(function* () {
        const { close, run, url } = yield* world
        yield* run(calls(Payments.protect({ key: "secret-tenant" }), 3, true))
        const { complaints, page } = yield* open(yield* Chromium, url, { token: "" })
        const login = page.getByRole("dialog", { name: "Token" })
        yield* Effect.promise(async () => {
          await login.getByLabel("Token of this console").fill("not-the-token-of-this-console")
          await login.getByRole("button", { name: "Connect" }).click()
          await login.getByText("this token is not the token of the console").waitFor()
        })
        assert.notInclude(yield* Effect.promise(() => page.locator("#app").textContent()), "app/Payments")
        yield* Effect.promise(async () => {
          await login.getByLabel("Token of this console").fill(readToken)
          await login.getByRole("button", { name: "Connect" }).click()
          await page.getByText("read-only: this token may read only").waitFor()
          await page.getByRole("link", { name: "app/Payments" }).first().click()
        })
        const isolate = page.getByRole("button", { name: "Isolate…" }).first()
        assert.isTrue(yield* Effect.promise(() => isolate.isDisabled()))
        const kept = yield* Effect.promise(() => page.evaluate<unknown>("[localStorage.length, document.cookie]"))
        assert.deepStrictEqual(kept, [0, ""])
        assert.deepStrictEqual(complaints, [])
        yield* close
      }).pipe(Effect.scoped)
    )

    it.effect("renders hostile names, keys, errors and reasons as text: no script runs, no element appears", () =>
      Effect.gen(function* () {
        const { close, run, url } = yield* world
        yield* run(calls(Hostile.protect({ key: hostile }), 3, true))
        yield* run(
          Policies.command(hostile, {
            action: "isolate",
            key: hostile,
            by: hostile,
            reason: hostile,
            for: "15 minutes"
          })
        )
        const hash = `#/${encodeURIComponent(hostile)}/${encodeURIComponent(hostile)}`
        const { complaints, page } = yield* open(yield* Chromium, url, { hash })
        yield* see(page, /isolated for .* by <img src=x/)
        const elements = "document.querySelectorAll('img, iframe, object').length + document.scripts.length"
        assert.strictEqual(yield* evaluate(page, elements), 1)
        assert.notStrictEqual(yield* evaluate(page, "document.title"), "run")
        assert.deepStrictEqual(complaints, [])
        // What an attacker brought into the page would not run either.
        const attempts = [
          `document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=alert(1)>")`,
          `document.body.append(Object.assign(document.createElement("script"), { text: "document.title = 'run'" }))`,
          `setTimeout("document.title = 'run'")`
        ]
        for (const attempt of attempts) {
          yield* evaluate(
            page,
            `(() => { try { ${attempt} } catch {} return new Promise((end) => setTimeout(end)) })()`
          )
        }
        assert.strictEqual(yield* evaluate(page, elements), 1)
        assert.notStrictEqual(yield* evaluate(page, "document.title"), "run")
        const reached = yield* evaluate(page, `fetch("http://127.0.0.1:9/").then(() => "sent", () => "blocked")`)
        assert.strictEqual(reached, "blocked")
        assert.isTrue(complaints.some((text) => text.includes("Content Security Policy")))
        yield* close
      }).pipe(Effect.scoped)
    )

    it.effect("scrolls through 1,000 keys, the troubled ones first, and finds one by its beginning", () =>
      Effect.gen(function* () {
        const { close, run, url } = yield* world
        const keys = Array.from({ length: 1000 }, (_, i) => `tenant-${String(i).padStart(4, "0")}`)
        yield* run(
          Effect.forEach(keys, (key) => calls(Many.protect({ key }), 1, key === "tenant-0777"), { discard: true })
        )
        const { page } = yield* open(yield* Chromium, url, { hash: "#/app%2FMany" })
        const list = page.getByRole("region", { name: "Keys" })
        yield* Effect.promise(async () => {
          await list.getByRole("listitem").first().getByText("tenant-0777").waitFor()
          assert.isBelow(await list.getByRole("listitem").count(), 100)
          await list.locator(".view").evaluate((view) => view.scrollTo(0, view.scrollHeight))
          await list.getByText("tenant-0999").waitFor()
          assert.isBelow(await list.getByRole("listitem").count(), 100)
          assert.strictEqual(
            await list.getByText("tenant-0999").locator("xpath=ancestor::li").getAttribute("aria-posinset"),
            "1000"
          )
          await list.getByLabel("Keys that begin with").fill("tenant-05")
          await page.getByText("100 keys", { exact: true }).waitFor()
          await list.getByText("tenant-0500").click()
          await page.getByRole("region", { name: "Key tenant-0500" }).waitFor()
          assert.match(page.url(), /#\/app%2FMany\/tenant-0500$/)
        })
        yield* close
      }).pipe(Effect.scoped)
    )

    it.effect("says that the connection is lost, keeps what it knew, and comes back with the server", () =>
      Effect.gen(function* () {
        const { close, port, run, serve, url } = yield* world
        yield* run(outage)
        const { complaints, page } = yield* open(yield* Chromium, url)
        yield* see(page, "1 policy in trouble")
        yield* close
        yield* see(page, /connection lost/)
        yield* see(page, "app/Payments")
        const again = yield* serve(options, port)
        yield* see(page, /^live/)
        yield* see(page, "1 policy in trouble")
        assert.deepStrictEqual(complaints, [])
        yield* again.close
      }).pipe(Effect.scoped)
    )

    it.effect("is used with the keyboard alone: a policy is opened, and closed with Escape", () =>
      Effect.gen(function* () {
        const { close, run, url } = yield* world
        yield* run(outage)
        const { page } = yield* open(yield* Chromium, url)
        yield* see(page, "1 policy in trouble")
        yield* Effect.promise(async () => {
          await page.getByRole("link", { name: "app/Payments" }).first().focus()
          await page.keyboard.press("Enter")
          await page.getByRole("dialog", { name: "app/Payments" }).waitFor()
          await page.keyboard.press("Escape")
          await page.getByRole("dialog").waitFor({ state: "detached" })
        })
        yield* close
      }).pipe(Effect.scoped)
    )
  })
})
