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
  /** Called with each result as it arrives, in any order. */
  readonly done?: ((index: number, result: Result) => void) | undefined
}

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
      void Promise.allSettled(threads.map((thread) => thread.terminate())).then(settle)
    }
    const feed = (thread: Worker): void => {
      const index = next
      if (index >= tasks.length) return
      next += 1
      const request: Request<Task> = { index, task: tasks[index] as Task } // in range
      thread.postMessage(request)
    }
    const start = (): Worker => {
      // Sources import sources, also if this process was started without the condition.
      const thread = new Worker(options.script, {
        workerData: options.data,
        ...(isSource ? { execArgv: ["--conditions=@effect-resilience/source"] } : {})
      })
      thread.on("message", (reply: Reply<Result>) => {
        if (over) return
        if ("error" in reply) return end(() => reject(new Error(reply.error)))
        results[reply.index] = reply.result
        left -= 1
        options.done?.(reply.index, reply.result)
        if (left === 0) end(() => resolve(results))
        else feed(thread)
      })
      thread.on("error", (error) => end(() => reject(error)))
      thread.on("exit", (code) => end(() => reject(new Error(`a worker ended with exit code ${code}`))))
      feed(thread)
      return thread
    }
    const threads: Array<Worker> = []
    while (threads.length < Math.min(options.workers, tasks.length)) threads.push(start())
    if (tasks.length === 0) resolve([])
  })

/** The code of a thread: `make` returns the function that runs tasks, from the data of the start. */
export const serve = async <Data, Task, Result>(
  make: (data: Data) => Promise<(task: Task) => Promise<Result>>
): Promise<void> => {
  const port = parentPort
  if (port === null) throw new Error("this module runs in a worker thread only")
  // Requests that arrive earlier wait for it.
  const made = make(workerData as Data) // `Options.data`
  port.on("message", async ({ index, task }: Request<Task>) => {
    try {
      const perform = await made
      port.postMessage({ index, result: await perform(task) } satisfies Reply<Result>)
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      port.postMessage({ index, error: text } satisfies Reply<Result>)
    }
  })
}
