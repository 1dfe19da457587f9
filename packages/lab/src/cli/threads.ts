/** Runs tasks in threads. Each thread takes the next task when it has finished its last one. */
import { parentPort, Worker, workerData } from "node:worker_threads"
import { isSource } from "../internal/origin.ts"

interface Request<Task> {
  readonly index: number
  readonly task: Task
}

type Reply<Result> =
  | { readonly index: number; readonly result: Result }
  | { readonly index: number; readonly error: string }

export interface Options<Task, Result> {
  /** The module that {@link serve}s. */
  readonly script: URL
  /** The data that every thread gets at its start. It is copied, as tasks and results are. */
  readonly data: unknown
  readonly workers: number
  readonly tasks: ReadonlyArray<Task>
  /** Names a task in an error. */
  readonly nameOf?: ((task: Task) => string) | undefined
  /** Milliseconds without a beat after which a thread is in an endless loop. Default: a minute. */
  readonly patience?: number | undefined
  /** Called with each result as it arrives, in any order. */
  readonly done?: ((index: number, result: Result) => void) | undefined
}

/** What a thread gets at its start. */
interface Start {
  readonly data: unknown
  /** Counts the beats of the thread. */
  readonly beats: Int32Array
}

/** A thread, its task, and when it was last seen to move. */
interface Seat<Task> {
  readonly thread: Worker
  readonly beats: Int32Array
  task: Task | undefined
  seen: number
  movedAt: number
}

const minute = 60_000

/**
 * Runs every task and resolves with the results in the order of the tasks. The first failure of a task or a thread ends
 * all threads and is the error.
 */
export const run = <Task, Result>(options: Options<Task, Result>): Promise<ReadonlyArray<Result>> =>
  new Promise((resolve, reject) => {
    const { tasks } = options
    const results = Array<Result>(tasks.length)
    let next = 0
    let left = tasks.length
    let over = false
    const end = (settle: () => void): void => {
      if (over) return
      over = true
      clearInterval(watch)
      void Promise.allSettled(seats.map(({ thread }) => thread.terminate())).then(settle)
    }
    const feed = (seat: Seat<Task>): void => {
      const index = next
      seat.task = tasks[index]
      seat.movedAt = performance.now()
      if (index >= tasks.length) return
      next += 1
      const request: Request<Task> = { index, task: tasks[index] as Task } // in range
      seat.thread.postMessage(request)
    }
    const start = (): Seat<Task> => {
      // Sources import sources, also if this process was started without the condition.
      const beats = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
      const thread = new Worker(options.script, {
        workerData: { data: options.data, beats } satisfies Start,
        ...(isSource ? { execArgv: ["--conditions=@effect-resilience/source"] } : {})
      })
      thread.on("message", (reply: Reply<Result>) => {
        if (over) return
        if ("error" in reply) return end(() => reject(new Error(reply.error)))
        results[reply.index] = reply.result
        left -= 1
        options.done?.(reply.index, reply.result)
        if (left === 0) end(() => resolve(results))
        else feed(seat)
      })
      thread.on("error", (error) => end(() => reject(error)))
      thread.on("exit", (code) => end(() => reject(new Error(`a worker ended with exit code ${code}`))))
      const seat: Seat<Task> = { thread, beats, task: undefined, seen: 0, movedAt: 0 }
      feed(seat)
      return seat
    }
    const seats: Array<Seat<Task>> = []
    const patience = options.patience ?? minute
    // A thread in an endless loop answers nothing. Its first beat says that its modules are loaded, which takes long on a busy machine.
    const watch = setInterval(() => {
      for (const seat of seats) {
        const beat = Atomics.load(seat.beats, 0)
        if (beat !== seat.seen || seat.task === undefined) {
          seat.seen = beat
          seat.movedAt = performance.now()
        } else if (performance.now() - seat.movedAt > (beat === 0 ? Math.max(patience, minute) : patience)) {
          const name = options.nameOf?.(seat.task) ?? "a task"
          end(() => reject(new Error(`${name} stands still: for ${patience / 1000} s no virtual second has passed`)))
        }
      }
    }, patience / 10)
    watch.unref()
    while (seats.length < Math.min(options.workers, tasks.length)) seats.push(start())
    if (tasks.length === 0) end(() => resolve([]))
  })

/**
 * The code of a thread: `make` returns the function that runs tasks, from the data of the start. A task that takes long
 * calls `beat` now and then.
 */
export const serve = async <Data, Task, Result>(
  make: (data: Data) => Promise<(task: Task, beat: () => void) => Promise<Result>>
): Promise<void> => {
  const port = parentPort
  if (port === null) throw new Error("this module runs in a worker thread only")
  // Requests that arrive earlier wait for it.
  const { beats, data } = workerData as Start // by `run`
  const made = make(data as Data) // `Options.data`
  const beat = (): void => {
    Atomics.add(beats, 0, 1)
  }
  port.on("message", async ({ index, task }: Request<Task>) => {
    try {
      const perform = await made
      beat()
      port.postMessage({ index, result: await perform(task, beat) } satisfies Reply<Result>)
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      port.postMessage({ index, error: text } satisfies Reply<Result>)
    }
  })
}
