/**
 * Keeps the board of a fleet in the memory of one thread, for the threads of one process: no file, no server.
 *
 * It uses `BroadcastChannel` of `node:worker_threads`, which Bun and Deno have too. Where there is none, the policies are as good as alone.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Check from "../runtime/options.ts"
import { builtin } from "../runtime/platform.ts"
import { has } from "../runtime/read.ts"
import * as Shared from "../Shared.ts"

/**
 * Which thread keeps the board.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `name` | a text | `"effect-resilience"` |
 * | `keeps` | a boolean | the main thread keeps the board |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name of the board: threads of one process with one name meet. Default: `"effect-resilience"`. */
  readonly name?: string | undefined
  /** Whether this thread keeps the board. Exactly one of the threads must. Default: the main thread does. */
  readonly keeps?: boolean | undefined
}

/** What is used of a channel, whose type the library does not see. */
interface Channel {
  readonly postMessage: (message: unknown) => void
  onmessage: ((event: { readonly data: unknown }) => void) | null
  readonly close: () => void
  readonly unref: () => void
}

interface Threads {
  readonly isMainThread: boolean
  readonly BroadcastChannel: new (name: string) => Channel
}

/** A report, with a number that is the thread's own. */
interface Asked {
  readonly from: string
  readonly ask: number
  readonly scope: string
  readonly report: string
}

/** To the thread `to`; without news the board has refused the report. */
interface Answered {
  readonly to: string
  readonly ask: number
  readonly news: string | undefined
}

interface Pushed {
  readonly scope: string
  readonly push: string
}

const noThreads = new Shared.BoardError({ cause: new Error("there is no BroadcastChannel of node:worker_threads") })

const refused = new Shared.BoardError({ cause: new Error("the thread that keeps the board refused the report") })

const open = ({ BroadcastChannel }: Threads, name: string): Channel => {
  const channel = new BroadcastChannel(`effect-resilience/${name}`)
  // Sharing keeps no thread alive.
  channel.unref()
  return channel
}

interface Keeper {
  readonly board: Shared.Board["Service"]
  readonly channel: Channel
  /** The layers of this thread that are built over it. */
  layers: number
}

/** The boards that this thread keeps: layers of one name meet on one of them. */
const kept = new Map<string, Keeper>()

const makeKeeper = (threads: Threads, name: string, run: (answer: Effect.Effect<void>) => unknown): Keeper => {
  const channel = open(threads, name)
  const board = Shared.makeMemory("threads", (scope, push) => channel.postMessage({ scope, push } satisfies Pushed))
  const answer = ({ ask, from, report, scope }: Asked): Effect.Effect<void> =>
    Effect.map(
      Effect.match(board.sync(scope, report), { onFailure: () => undefined, onSuccess: (news) => news }),
      (news) => channel.postMessage({ to: from, ask, news } satisfies Answered)
    )
  channel.onmessage = ({ data }) => {
    if (has(data, "report")) run(answer(data as Asked))
  }
  return { board, channel, layers: 0 }
}

const keep = Effect.fnUntraced(function* (threads: Threads, name: string) {
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const keeper = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const keeper = kept.get(name) ?? makeKeeper(threads, name, run)
      kept.set(name, keeper)
      keeper.layers += 1
      return keeper
    }),
    (keeper) =>
      Effect.sync(() => {
        keeper.layers -= 1
        if (keeper.layers > 0) return
        kept.delete(name)
        keeper.channel.close()
      })
  )
  return keeper.board
})

/** A thread that asks the one that keeps the board. */
const ask = Effect.fnUntraced(function* (threads: Threads, name: string) {
  const from = yield* Shared.randomId
  const waiting = new Map<number, (news: string | undefined) => void>()
  const listeners = Shared.makeListeners()
  const channel = yield* Effect.acquireRelease(
    Effect.sync(() => open(threads, name)),
    (channel) => Effect.sync(() => channel.close())
  )
  channel.onmessage = ({ data }) => {
    if (has(data, "push")) {
      const { push, scope } = data as Pushed
      listeners.tell(scope, push)
    } else if (has(data, "to")) {
      const { ask, news, to } = data as Answered
      if (to === from) waiting.get(ask)?.(news)
    }
  }
  let asked = 0
  const board: Shared.Board["Service"] = {
    name: "threads",
    sync: (scope, report) =>
      Effect.callback((resume) => {
        const ask = ++asked
        waiting.set(ask, (news) => {
          waiting.delete(ask)
          resume(news === undefined ? Effect.fail(refused) : Effect.succeed(news))
        })
        channel.postMessage({ from, ask, scope, report } satisfies Asked)
        return Effect.sync(() => waiting.delete(ask))
      }),
    pushes: listeners.listen
  }
  return board
})

/** A platform without threads: every policy is alone. */
const nowhere: Shared.Board["Service"] = {
  name: "threads",
  sync: () => Effect.fail(noThreads),
  pushes: () => Effect.void
}

/**
 * A board in the memory of the main thread, for the worker threads of one process and the main thread itself.
 *
 * **Details** The main thread must build the layer too: its event loop answers the reports of the others. A report takes it less than a tenth of a
 * millisecond. What has changed is sent to all threads at once. The board ends with the last layer of the thread that keeps it, and the
 * policies of the others are as good as alone from then on.
 *
 * **Gotchas** A main thread that blocks its event loop answers no report: its members go on alone. Give the board to a quieter thread with
 * `keeps`, which must be `false` in the main thread then.
 *
 * **Example** (In the main thread and in every worker)
 *
 * ```ts no-run
 * import { Layer } from "effect"
 * import { Policy } from "effect-resilience"
 * import * as SharedThreads from "effect-resilience/shared/Threads"
 *
 * class Payments extends Policy.Service<Payments>()("app/Payments", {
 *   breaker: {},
 *   shared: { breaker: { rejoin: "close" } }
 * }) {}
 *
 * const live: Layer.Layer<Payments> = Payments.layer.pipe(Layer.provide(SharedThreads.layer()))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Shared.Board> => {
  const where = "shared/Threads.layer"
  Check.noUnknown(where, options, ["name", "keeps"])
  const name = Check.nonEmpty(where, "name", Check.orDefault(options.name, "effect-resilience"))
  const { keeps } = options
  if (keeps !== undefined && typeof keeps !== "boolean") Check.invalid(where, "keeps", "true or false", keeps)
  return Layer.effect(
    Shared.Board,
    Effect.suspend(() => {
      const threads = builtin<Threads>("node:worker_threads")
      if (threads?.BroadcastChannel === undefined) return Effect.succeed(nowhere)
      return (keeps ?? threads.isMainThread) ? keep(threads, name) : ask(threads, name)
    })
  )
}
