/**
 * The operator's page of a program, and its JSON API: what every policy does, why, until when, what callers get, and how to change
 * it while it runs.
 *
 * This is an adapter: it depends on Effect's `http` modules, which Effect marks as unstable.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Change, Event, Policies } from "effect-resilience"
import * as Access from "./internal/access.ts"
import { CurrentLab } from "./internal/lab.ts"
import * as Page from "./internal/page.ts"
import * as Rate from "./internal/rate.ts"
import * as Replay from "./internal/replay.ts"
import * as Report from "./internal/report.ts"
import * as Requests from "./internal/requests.ts"
import * as Responses from "./internal/responses.ts"
import * as Steer from "./internal/steer.ts"

/**
 * Who sends a request, as the app's own authorization knows it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Actor {
  /** The name that the record of changes has. 1 to 100 characters. */
  readonly by: string
  /** Whether they may act, or read only. Default: `true`. */
  readonly mayAct?: boolean | undefined
}

/**
 * What `authorize` fails with: the request is refused.
 *
 * @category errors
 * @since 0.1.0
 */
export class Refused extends Data.TaggedError("Refused")<{
  /** 401: who is it? 403: not them. */
  readonly status: 401 | 403
  /** What the page shows. */
  readonly detail: string
}> {}

/**
 * Options of {@link layerHttp}.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `path` | a path without parameters | `"/resilience"` |
 * | `token`, `readToken` | 16 characters or more, no spaces | none: this machine only, read-only |
 * | `authorize` | a function, instead of a token | none |
 * | `readOnly` | a boolean | `false` |
 * | `interval` | 100 milliseconds to 1 minute | 1 second |
 * | `actionsPerMinute` | an integer, 1 to 1,000 | 60 |
 * | `origins` | origins, such as `"https://ops.example"` | none |
 * | `title` | up to 100 characters | the address in the browser |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<R = never> {
  /** The path of the page; the API is below it. Default: `"/resilience"`. */
  readonly path?: `/${string}` | undefined
  /**
   * The secret that a caller must send as `Authorization: Bearer …`, to read and to act. At least 16 characters, no spaces. Without
   * it, and without `authorize`, the console responds to this machine only, and is read-only. Default: none.
   */
  readonly token?: string | Redacted.Redacted | undefined
  /** A second secret, whose owners may read only. It needs `token`. Default: none. */
  readonly readToken?: string | Redacted.Redacted | undefined
  /**
   * The authorization of the app, instead of a token: an actor for a request, or {@link Refused}. The name of the actor stands in the
   * record of changes. Default: none.
   */
  readonly authorize?: ((request: HttpServerRequest.HttpServerRequest) => Effect.Effect<Actor, Refused, R>) | undefined
  /** Whether no caller may act. Default: `false`. */
  readonly readOnly?: boolean | undefined
  /** The time between two messages of the stream, from 100 milliseconds to 1 minute. Default: 1 second. */
  readonly interval?: Duration.Input | undefined
  /** Actions that are accepted a minute, from all callers together. An integer from 1 to 1,000. Default: 60. */
  readonly actionsPerMinute?: number | undefined
  /**
   * Origins of pages that may call the API, besides that of the console itself: where a proxy changes the header `Host`. Default:
   * none.
   */
  readonly origins?: ReadonlyArray<string> | undefined
  /** The name of the program on the page. At most 100 characters. Default: the address in the browser. */
  readonly title?: string | undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

const where = "Console.layerHttp"

const names = [
  "path",
  "token",
  "readToken",
  "authorize",
  "readOnly",
  "interval",
  "actionsPerMinute",
  "origins",
  "title"
]

const invalid = (field: string, range: string): never => {
  // The value is not shown: it may be a secret.
  throw new RangeError(`${where}: ${field} must be ${range}`)
}

const pathOf = (path: unknown): `/${string}` => {
  const isPath = typeof path === "string" && path.startsWith("/") && !/[:*?#\s]|\/\//.test(path)
  return isPath
    ? `/${path.slice(1).replace(/\/$/, "")}`
    : invalid("path", 'a path without parameters, such as "/resilience"')
}

const secretOf = (field: string, given: string | Redacted.Redacted | undefined): string | undefined => {
  if (given === undefined) return undefined
  const secret: unknown = Redacted.isRedacted(given) ? Redacted.value(given) : given
  return typeof secret === "string" && /^\S{16,}$/.test(secret)
    ? secret
    : invalid(field, "a string or Redacted of at least 16 characters, without spaces")
}

const intervalOf = (given: Duration.Input): number => {
  const millis = Option.match(Duration.fromInput(given), { onNone: () => Number.NaN, onSome: Duration.toMillis })
  return millis >= 100 && millis <= 60_000
    ? millis
    : invalid("interval", "a duration from 100 milliseconds to 1 minute")
}

const integerOf = (field: string, given: number, least: number, most: number): number =>
  Number.isInteger(given) && given >= least && given <= most
    ? given
    : invalid(field, `an integer from ${least} to ${most}`)

const isOrigin = (origin: unknown): origin is string =>
  typeof origin === "string" && URL.canParse(origin) && new URL(origin).origin === origin

const originsOf = (given: ReadonlyArray<string>): ReadonlySet<string> =>
  Array.isArray(given) && given.every(isOrigin)
    ? new Set(given)
    : invalid("origins", 'an array of origins, such as ["https://ops.example"]')

const titleOf = (given: string): string =>
  typeof given === "string" && given.length <= 100 ? given : invalid("title", "a string of at most 100 characters")

const byApp =
  <R>(authorize: NonNullable<Options<R>["authorize"]>): Access.Access<R> =>
  (request) =>
    authorize(request).pipe(
      Effect.mapError(
        ({ detail, status }) => new Responses.Refusal({ status, code: "Refused", detail: Requests.shorten(detail) })
      ),
      Effect.map(({ by, mayAct }) => ({
        by: by.slice(0, 100),
        readOnly: mayAct === false ? "you may read only" : undefined
      }))
    )

const accessOf = <R>(options: Options<R>): Access.Access<R> => {
  const token = secretOf("token", options.token)
  const readToken = secretOf("readToken", options.readToken)
  if (readToken !== undefined && (token === undefined || readToken === token)) {
    invalid("readToken", "another secret than `token`, beside it")
  }
  if (options.authorize === undefined) return token === undefined ? Access.local : Access.byToken(token, readToken)
  if (token !== undefined) invalid("token", "left out when there is `authorize`")
  if (typeof options.authorize !== "function") invalid("authorize", "a function that returns an effect")
  return byApp(options.authorize)
}

interface Settings<R> {
  readonly path: `/${string}`
  readonly access: Access.Access<R>
  readonly interval: number
  readonly actionsPerMinute: number
  readonly origins: ReadonlySet<string>
  readonly title: string
}

const resolve = <R>(options: Options<R>): Settings<R> => {
  for (const name of Object.keys(options)) {
    if (!names.includes(name))
      throw new RangeError(`${where}: there is no option ${name}; there are ${names.join(", ")}`)
  }
  const { actionsPerMinute = 60, interval = "1 second", origins = [], path = "/resilience", readOnly = false } = options
  if (typeof readOnly !== "boolean") invalid("readOnly", "true or false")
  const access = accessOf(options)
  return {
    path: pathOf(path),
    access: readOnly ? Access.readOnly(access) : access,
    interval: intervalOf(interval),
    actionsPerMinute: integerOf("actionsPerMinute", actionsPerMinute, 1, 1000),
    origins: originsOf(origins),
    title: titleOf(options.title ?? "")
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Bodies
// ---------------------------------------------------------------------------------------------------------------------

const text = (least: number, most: number) => Schema.String.check(Schema.isMinLength(least), Schema.isMaxLength(most))

const reason = text(1, 500)
const by = Schema.optionalKey(text(1, 100))

const CommandBody = Schema.Struct({
  policy: text(1, 1000),
  ...Change.Command.fields,
  key: Schema.optionalKey(text(0, 1000)),
  reason,
  by
})

const UndoBody = Schema.Struct({ id: Schema.Int, reason, by })

/** Other values of a policy, to preview them or to replay calls with them. */
const OtherValues = Schema.Struct({
  policy: text(1, 1000),
  instance: Schema.optionalKey(Schema.Int),
  values: Schema.JsonObject
})

/** The actor of the authorization; without one, the name that the body gives. */
const authorOf = (caller: Access.Caller, given: string | undefined): string => caller.by ?? given ?? "console"

// ---------------------------------------------------------------------------------------------------------------------
// Routes
// ---------------------------------------------------------------------------------------------------------------------

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/** Keys in one response. */
const mostKeys = 200

/** Milliseconds after which a stream ends: its reader comes back, and is authorized again. */
const longest = 10 * 60_000

/** Streams at a time. */
const mostStreams = 64

/**
 * Mounts the console on Effect's `HttpRouter`: a page for operators, and the API that it uses.
 *
 * **Details** Without `token` and `authorize` the console responds to this machine only, and is read-only. With a token everything
 * but the empty page needs it.
 *
 * | route | what |
 * |---|---|
 * | `GET /resilience` | the page: one file that loads nothing |
 * | `GET /resilience/api/state` | every policy, the changes that hold, and the last changes |
 * | `GET /resilience/api/stream` | the same, as server-sent events, once per `interval` |
 * | `GET /resilience/api/policy?name=&instance=&prefix=&key=&from=&limit=` | one policy with a part of its keys |
 * | `POST /resilience/api/command` | makes a change |
 * | `POST /resilience/api/undo` | undoes a change |
 * | `POST /resilience/api/preview` | what a change of settings would change |
 * | `POST /resilience/api/replay` | what it would have done with the calls of the last minutes, if `@effect-resilience/lab` is installed |
 *
 * The policies are those of the registry in which the layer is built. The console reads their stats every two seconds, for the
 * trends, and while a page is open once per `interval` in addition; a call of a policy costs nothing more.
 *
 * Throws a `RangeError` when an option is wrong.
 *
 * **Gotchas** The page shows names, keys and messages of errors. Behind a proxy on the same machine every request seems to come from
 * this machine; requests with a header of a proxy are therefore refused without a token.
 *
 * **Example** (A console with a token)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { HttpRouter } from "effect/http"
 * import { Policies, Policy } from "effect-resilience"
 * import { Console, type State } from "@effect-resilience/console"
 *
 * class Payments extends Policy.Service<Payments>()("app/Payments", { timeout: "1 second" }) {}
 *
 * const app = Console.layerHttp({ path: "/resilience", token: "a-secret-of-16-characters" }).pipe(
 *   Layer.provideMerge(Payments.layer),
 *   Layer.provide(Policies.layer)
 * )
 * const { dispose, handler } = HttpRouter.toWebHandler(app, { disableLogger: true })
 * const get = (authorization: string) =>
 *   handler(new Request("http://localhost/resilience/api/state", { headers: { authorization } }))
 * const refused = await get("Bearer wrong")
 * refused.status // => 401
 * const response = await get("Bearer a-secret-of-16-characters")
 * const state = (await response.json()) as State.State
 * state.policies[0]?.name // => "app/Payments"
 * await dispose()
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHttp = <R = never>(
  options: Options<R> = {}
): Layer.Layer<
  never,
  never,
  HttpRouter.HttpRouter | HttpRouter.Request.From<"Requires", Exclude<R, HttpRouter.Provided>>
> => {
  const settings = resolve(options)
  return HttpRouter.use((router) => routes(router, settings))
}

const routes = <R>(router: HttpRouter.HttpRouter, settings: Settings<R>) =>
  Effect.gen(function* () {
    const { access, actionsPerMinute, interval, origins, path, title } = settings
    const below = path === "/" ? "" : path
    // What the console reads and changes is that of the program in which it was built.
    const own = Context.make(Policies.CurrentRegistry, yield* Policies.CurrentRegistry).pipe(
      Context.add(Event.CurrentHub, yield* Event.CurrentHub)
    )
    const lab = yield* yield* CurrentLab
    const reader = yield* Effect.provide(Report.make(title, interval, lab !== undefined), own)
    yield* Effect.forkScoped(Effect.provide(reader.sample, own))

    const actions = Rate.perMinute(actionsPerMinute)
    const previews = Rate.perMinute(actionsPerMinute * 10)
    // Its own: who replays often can still act.
    const replays = Rate.perMinute(actionsPerMinute)

    const route = (
      name: string,
      method: "GET" | "POST",
      handle: (request: Request, caller: Access.Caller) => Responses.OrRefusal<Response>
    ) =>
      router.add("*", `${below}/api/${name}`, (request) =>
        Effect.gen(function* () {
          yield* Requests.method(request, method)
          yield* Requests.ofThisSite(request, origins)
          const caller = yield* access(request)
          return yield* Effect.provide(handle(request, caller), own)
        }).pipe(Effect.catchTag("Refusal", (refusal) => Effect.succeed(Responses.problem(refusal))))
      )

    /** What changes something, or would. */
    const action = <A>(
      name: string,
      limit: Responses.OrRefusal<void>,
      schema: Schema.ConstraintCodec<A, unknown>,
      run: (body: A, caller: Access.Caller) => Responses.OrRefusal<unknown>
    ) =>
      route(name, "POST", (request, caller) =>
        Effect.gen(function* () {
          if (caller.readOnly !== undefined) {
            return yield* new Responses.Refusal({ status: 403, code: "ReadOnly", detail: caller.readOnly })
          }
          yield* limit
          const body = yield* Requests.body(request, schema)
          const result = yield* run(body, caller)
          yield* reader.forget
          return Responses.json(result)
        })
      )

    let streams = 0
    const stream = (request: Request, caller: Access.Caller): Stream.Stream<Uint8Array> =>
      Stream.fromEffect(Effect.map(reader.state(caller), (state) => `data: ${JSON.stringify(state)}\n\n`)).pipe(
        Stream.repeat(Schedule.spaced(interval)),
        // A server that stops waits for its responses.
        Stream.takeWhile(() => !Requests.isClosing(request)),
        Stream.take(Math.ceil(longest / interval)),
        Stream.encodeText,
        Stream.provideContext(own),
        Stream.onStart(
          Effect.sync(() => {
            streams += 1
          })
        ),
        Stream.ensuring(
          Effect.sync(() => {
            streams -= 1
          })
        )
      )

    const html = Responses.page(Page.html, Page.hashes)
    yield* router.add("*", path, (request) =>
      Requests.method(request, "GET").pipe(
        Effect.as(html),
        Effect.catchTag("Refusal", (refusal) => Effect.succeed(Responses.problem(refusal)))
      )
    )
    yield* route("state", "GET", (_, caller) => Effect.map(reader.state(caller), Responses.json))
    yield* route("stream", "GET", (request, caller) =>
      Effect.suspend(() => {
        if (request.method === "HEAD") return Effect.succeed(Responses.events(Stream.empty))
        return streams < mostStreams
          ? Effect.succeed(Responses.events(stream(request, caller)))
          : Effect.fail(
              new Responses.Refusal({ status: 503, code: "TooManyStreams", detail: `${mostStreams} pages are open` })
            )
      })
    )
    yield* route("policy", "GET", (request) =>
      Effect.gen(function* () {
        const given = Requests.query(request)
        const instance = yield* Requests.integer(given, "instance", 0, 1e9)
        const which = {
          name: given.get("name") ?? "",
          instance: instance === 0 ? undefined : instance,
          prefix: given.get("prefix") ?? "",
          key: given.get("key") ?? undefined,
          from: yield* Requests.integer(given, "from", 0, 1e9),
          limit: yield* Requests.integer(given, "limit", 50, mostKeys)
        }
        return Responses.json(yield* reader.detail(which))
      })
    )
    yield* action("command", actions, CommandBody, ({ policy, ...command }, caller) =>
      Steer.command(policy, { ...command, by: authorOf(caller, command.by) })
    )
    yield* action("undo", actions, UndoBody, ({ id, reason, by }, caller) =>
      Steer.undo(id, { reason, by: authorOf(caller, by) })
    )
    yield* action("preview", previews, OtherValues, ({ policy, values, ...which }) =>
      Steer.preview(policy, values, which)
    )
    yield* action("replay", replays, OtherValues, Replay.make(lab, reader))
  })
