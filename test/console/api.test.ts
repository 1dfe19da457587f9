/** What the API responds with: over a real server. */
import { assert, describe, it } from "@effect/vitest"
import { Console, type State } from "@effect-resilience/console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CircuitBreaker, Policy, Shared, TripPolicy } from "effect-resilience"
import { codeOf, send } from "./send.ts"
import { calls, type Down, makeWorld, Payments, Search, token, Users } from "./world.ts"

const headers = { authorization: `Bearer ${token}` }

const hostile = `</script><img src=x onerror="alert(1)">\r\n\r\ndata: {"x":1}\u2028'"&;`

class Hostile extends Policy.Service<Hostile>()(hostile, { breaker: {}, timeout: "1 second" }) {}

class Many extends CircuitBreaker.Service<Many>()("app/Many", {
  trip: TripPolicy.consecutive(1),
  openFor: "1 minute",
  failures: ["Down"]
}) {}

const orders = {
  breaker: { trip: TripPolicy.consecutive(1000), openFor: "20 seconds" },
  shared: { breaker: {} }
} as const

type Protect = <R>(self: Effect.Effect<string, Down, R>) => Effect.Effect<unknown, unknown, R>

class Members extends Context.Service<Members, ReadonlyArray<{ readonly protect: Protect }>>()("test/Members") {}

/** Two members of one fleet in one process. */
const twoMembers = Layer.effect(
  Members,
  Effect.all([Policy.make("app/Orders", orders), Policy.make("app/Orders", orders)])
).pipe(Layer.provide(Shared.layerMemory))

const serving = Effect.gen(function* () {
  const world = yield* makeWorld(Layer.mergeAll(Hostile.layer, Many.layer))
  const { close, url } = yield* world.serve({ token, interval: "100 millis", title: "tests" })
  yield* Effect.addFinalizer(() => close)
  const api = `${url}/resilience/api`
  const get = <A>(path: string) => Effect.map(send(`${api}/${path}`, { headers }), ({ text }) => JSON.parse(text) as A)
  const run = <A, E>(effect: Effect.Effect<A, E, any>) => Effect.promise(() => world.run(effect))
  const state = get<State.State>("state")
  const named = (name: string) => Effect.map(state, ({ policies }) => policies.find((policy) => policy.name === name)!)
  return { api, get, named, run, state, url }
})

describe("every response", () => {
  it.live("is not kept, framed or guessed about, and the page runs its own script only", () =>
    Effect.gen(function* () {
      const { api, url } = yield* serving
      const page = yield* send(`${url}/resilience`)
      const policy = String(page.headers["content-security-policy"])
      assert.include(policy, "default-src 'none'")
      assert.match(policy, /script-src 'sha256-[A-Za-z0-9+/]{43}='(?:;|$)/)
      assert.match(policy, /style-src 'sha256-[A-Za-z0-9+/]{43}='(?:;|$)/)
      assert.include(policy, "frame-ancestors 'none'")
      assert.include(policy, "require-trusted-types-for 'script'")
      assert.notInclude(policy, "unsafe")
      assert.notMatch(page.text, /\b(?:src|href)="(?!data:,)/, "the page loads something")
      const answers = [page, yield* send(`${api}/state`, { headers }), yield* send(`${api}/state`)]
      for (const answer of answers) {
        assert.strictEqual(answer.headers["cache-control"], "no-store")
        assert.strictEqual(answer.headers["x-content-type-options"], "nosniff")
        assert.strictEqual(answer.headers["referrer-policy"], "no-referrer")
        assert.strictEqual(answer.headers["x-frame-options"], "DENY")
        assert.include(String(answer.headers["content-security-policy"]), "frame-ancestors 'none'")
        assert.isUndefined(answer.headers["access-control-allow-origin"])
        assert.isUndefined(answer.headers["set-cookie"])
      }
    }).pipe(Effect.scoped)
  )
})

describe("the state", () => {
  it.live("has the policy with an open circuit first, with why, until when, and what callers get", () =>
    Effect.gen(function* () {
      const { run, state } = yield* serving
      yield* run(calls(Search.protect, 3, false))
      yield* run(calls(Users.protect, 8, true))
      const { policies, title } = yield* state
      const [first] = policies
      assert.strictEqual(title, "tests")
      assert.strictEqual(first?.name, "app/Users")
      assert.strictEqual(first?.status, "failing")
      assert.deepStrictEqual(first?.circuits, { open: 1, "half-open": 0, isolated: 0, disabled: 0, closed: 0 })
      const [key] = first?.troubled ?? []
      assert.strictEqual(key?.circuit?.state, "open")
      assert.strictEqual(key?.circuit?.evidence?.trip, "consecutive")
      assert.isAbove(key?.circuit?.retryAfterMillis ?? 0, 10_000)
      assert.strictEqual(key?.lastError?.tag, "Down")
      assert.strictEqual(key?.totals.rejections.CircuitOpen, first?.totals.rejections.CircuitOpen)
      assert.isAbove(first?.totals.rejections.CircuitOpen ?? 0, 0)
    }).pipe(Effect.scoped)
  )

  it.live("has the settings, the limits and the numbers of a policy", () =>
    Effect.gen(function* () {
      const { named, run } = yield* serving
      yield* run(calls(Payments.protect({ key: "eu" }), 6, false))
      yield* run(calls(Payments.protect({ key: "us" }), 2, false))
      const policy = yield* named("app/Payments")
      assert.strictEqual(policy.settings["timeout"], 1000)
      assert.strictEqual(policy.keys, 2)
      assert.strictEqual(policy.totals.calls, 8)
      assert.strictEqual(policy.recent.successRate, 1)
      assert.strictEqual(policy.maxConcurrent, 20)
      assert.strictEqual(policy.maxQueued, 40)
      assert.isAbove(policy.capacity ?? 0, 0)
      assert.include(policy.actions, "isolate")
    }).pipe(Effect.scoped)
  )

  it.live("has the fleet of a policy that shares: board, members, what it has open, and by how many witnesses", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld(twoMembers)
      const { close, url } = yield* world.serve({ token, interval: "100 millis" })
      yield* Effect.addFinalizer(() => close)
      const shared = Effect.map(send(`${url}/resilience/api/state`, { headers }), ({ text }) => {
        const { policies }: State.State = JSON.parse(text)
        assert.isTrue(policies.filter(({ name }) => name !== "app/Orders").every(({ fleet }) => fleet === undefined))
        return policies.flatMap(({ fleet, name }) => (name === "app/Orders" && fleet !== undefined ? [fleet] : []))
      })
      const before = yield* shared
      assert.lengthOf(before, 2)
      for (const { heardMillis, ...fleet } of before) {
        assert.isBelow(heardMillis ?? Infinity, 2500)
        assert.deepInclude(fleet, { board: "memory", inTouch: true, settingsDiffer: false, open: 0, circuits: [] })
        assert.isNotEmpty(fleet.member)
      }
      for (const { protect } of Context.get(world.context, Members)) {
        yield* Effect.promise(() => world.run(calls(protect, 6, true)))
      }
      const isOpen = Effect.map(shared, (all) => all.find(({ members, open }) => members === 2 && open > 0))
      const fleet = yield* Effect.repeat(Effect.delay(isOpen, "50 millis"), { until: (one) => one !== undefined })
      const [circuit] = fleet?.circuits ?? []
      assert.deepInclude(circuit, { key: "default", state: "open", probe: false })
      assert.strictEqual(circuit?.evidence?.trip, "fleet")
      assert.deepInclude(circuit?.evidence?.figures, { witnesses: 2, bad: 2 })
      assert.isAbove(circuit?.leftMillis ?? 0, 0)
    }).pipe(Effect.scoped)
  )

  it.live("carries names that are hostile as data, and nothing more", () =>
    Effect.gen(function* () {
      const { api, get, named, run } = yield* serving
      yield* run(calls(Hostile.protect({ key: hostile }), 2, true))
      assert.strictEqual((yield* named(hostile)).totals.calls, 2)
      const detail = yield* get<State.Detail>(
        `policy?name=${encodeURIComponent(hostile)}&key=${encodeURIComponent(hostile)}`
      )
      assert.deepStrictEqual(
        detail.keys.map(({ key }) => key),
        [hostile]
      )
      // A line break in a name must not begin another message of the stream.
      const abort = new AbortController()
      const response = yield* Effect.promise(() => fetch(`${api}/stream`, { headers, signal: abort.signal }))
      const { value } = yield* Effect.promise(() => response.body!.getReader().read())
      abort.abort()
      const [message = "", ...more] = new TextDecoder().decode(value).split("\n\n")
      assert.deepStrictEqual(more, [""])
      assert.isTrue(message.startsWith("data: {"))
      const { policies }: State.State = JSON.parse(message.slice("data: ".length))
      assert.isTrue(policies.some(({ name }) => name === hostile))
    }).pipe(Effect.scoped)
  )
})

describe("the stream", () => {
  it.live("sends the state again after each interval, and ends with the server", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      // The server would wait 20 seconds for a response.
      const { close, url } = yield* world.serve({ token, interval: "100 millis" }, 0, "20 seconds")
      const response = yield* Effect.promise(() => fetch(`${url}/resilience/api/stream`, { headers }))
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
      const reader = response.body!.getReader()
      const decoder = new TextDecoder()
      let text = ""
      while (text.split("\n\n").length < 4) {
        const { value } = yield* Effect.promise(() => reader.read())
        text += decoder.decode(value, { stream: true })
      }
      const times = text
        .split("\n\n")
        .slice(0, 3)
        .map((message) => (JSON.parse(message.slice(6)) as State.State).at)
      assert.isTrue(times[0]! < times[1]! && times[1]! < times[2]!)
      const rest = Effect.promise(async () => {
        while (!(await reader.read()).done);
      })
      const closed = Effect.all([rest, close], { concurrency: "unbounded" })
      yield* Effect.timeoutOrElse(closed, {
        duration: "1 minute",
        orElse: () => Effect.die("the stream holds the server")
      })
    }).pipe(Effect.scoped)
  )
})

describe("the keys of a policy", () => {
  it.live("come in parts, the most troubled first, and by prefix", () =>
    Effect.gen(function* () {
      const { api, get, named, run } = yield* serving
      for (let i = 0; i < 300; i++) {
        const key = `tenant-${String(i).padStart(3, "0")}`
        yield* run(calls(Many.protect({ key }), 1, i % 100 === 50))
      }
      const policy = yield* named("app/Many")
      assert.strictEqual(policy.keys, 300)
      assert.strictEqual(policy.unhealthy, 3)
      assert.deepStrictEqual(policy.troubled.map(({ key }) => key).sort(), ["tenant-050", "tenant-150", "tenant-250"])
      const part = (query: string) => get<State.Detail>(`policy?name=app/Many&${query}`)
      const first = yield* part("limit=5")
      assert.strictEqual(first.matching, 300)
      assert.deepStrictEqual(
        first.keys.map(({ status }) => status),
        ["failing", "failing", "failing", "healthy", "healthy"]
      )
      const last = yield* part("from=297&limit=50")
      assert.deepStrictEqual(
        last.keys.map(({ key }) => key),
        ["tenant-297", "tenant-298", "tenant-299"]
      )
      const found = yield* part("prefix=tenant-15&limit=200")
      assert.strictEqual(found.matching, 10)
      assert.strictEqual(found.keys[0]?.key, "tenant-150")
      for (const query of ["limit=201", "limit=-1", "limit=x", "from=1.5", "instance=1e3"]) {
        const answer = yield* send(`${api}/policy?name=app/Many&${query}`, { headers })
        assert.strictEqual(codeOf(answer), "400 BadRequest", query)
      }
      const unknown = yield* send(`${api}/policy?name=app/Nobody`, { headers })
      assert.strictEqual(codeOf(unknown), "404 UnknownPolicy")
    }).pipe(Effect.scoped)
  )
})

describe("options", () => {
  const refused: ReadonlyArray<readonly [Console.Options, RegExp]> = [
    [{ path: "/a/:b" as never }, /path must be a path without parameters/],
    [{ token: "short" }, /token must be a string or Redacted of at least 16 characters/],
    [{ token: "with a space in the middle" }, /token must be/],
    [{ readToken: token }, /readToken must be another secret/],
    [{ token, readToken: token }, /readToken must be another secret/],
    [{ token, authorize: () => Effect.succeed({ by: "ann" }) }, /token must be left out when there is `authorize`/],
    [{ interval: "1 millis" }, /interval must be a duration from 100 milliseconds to 1 minute/],
    [{ actionsPerMinute: 0 }, /actionsPerMinute must be an integer from 1 to 1000/],
    [{ origins: ["ops.example"] }, /origins must be an array of origins/],
    [{ title: "x".repeat(101) }, /title must be a string of at most 100 characters/],
    [{ readOnly: "yes" as never }, /readOnly must be true or false/],
    [{ tokens: token } as never, /there is no option tokens/]
  ]
  for (const [options, message] of refused) {
    it(`that are wrong are refused at once: ${Object.keys(options).join(", ")} ${message.source}`, () => {
      assert.throws(() => Console.layerHttp(options), message)
    })
  }

  it("that are wrong do not show a secret", () => {
    const secret = "too-short"
    assert.throws(() => Console.layerHttp({ token: secret }), new RegExp(`^(?!.*${secret})`))
  })
})
