/** Processes for fleets of tests: each is a `process.ts`, told over IPC, and ended by its own handle. */
import { fork } from "node:child_process"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import { bundled } from "../../support/bundled.ts"
import type { Fleet, Message, Order, Report, Request, World } from "./process.ts"

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const flags = ["--no-warnings"]

const file = join(await bundled("test/boards/matrix/process.ts"), "process.js")

/** A process or a thread. */
interface Runner {
  readonly send: (order: Order) => void
  readonly kill: () => void
  readonly signal: (signal: "SIGSTOP" | "SIGCONT") => void
}

/** Processes do not outlive this one. */
const kills = new Set<() => void>()
process.once("exit", () => {
  for (const kill of kills) kill()
})

const startProcess = (onMessage: (message: Message) => void, onExit: () => void): Runner => {
  const child = fork(file, [], { execArgv: flags, stdio: ["ignore", "ignore", "ignore", "ipc"] })
  const kill = () => void child.kill("SIGKILL")
  kills.add(kill)
  child.once("exit", () => {
    kills.delete(kill)
    onExit()
  })
  child.on("message", onMessage)
  return {
    send: (order) => {
      if (child.connected) child.send(order)
    },
    kill,
    signal: (signal) => void child.kill(signal)
  }
}

const startThread = (onMessage: (message: Message) => void, onExit: () => void): Runner => {
  const worker = new Worker(file, { execArgv: flags })
  worker.on("message", onMessage)
  worker.on("error", () => {})
  worker.once("exit", onExit)
  return {
    send: (order) => worker.postMessage(order),
    kill: () => void worker.terminate(),
    signal: () => {
      throw new Error("a thread gets no signals")
    }
  }
}

export class Kid {
  private readonly runner: Runner
  readonly isThread: boolean
  private readonly waiting = new Map<number, PromiseWithResolvers<Report>>()
  private asked = 0
  private readonly got = new Map<string, () => void>()
  readonly ready: Promise<void>
  isDead = false
  /** All that it has reported since it joined. */
  requests: Array<Request> = []
  openings: Array<Report["openings"][number]> = []
  waits: Array<number> = []
  last: Report | undefined

  constructor(isThread: boolean) {
    this.isThread = isThread
    this.ready = this.next("ready")
    const take = (message: Message): void => {
      if ("ask" in message) this.take(message)
      else for (const name of Object.keys(message)) this.got.get(name)?.()
    }
    const end = (): void => {
      this.isDead = true
      for (const { reject } of this.waiting.values()) reject(new Error("a process ended before it answered"))
    }
    this.runner = isThread ? startThread(take, end) : startProcess(take, end)
  }

  /** The next message of this kind. */
  private next(kind: "ready" | "joined" | "held"): Promise<void> {
    return new Promise((resolve) => this.got.set(kind, resolve))
  }

  private take(report: Report): void {
    this.requests.push(...report.requests)
    this.openings.push(...report.openings)
    this.waits.push(...report.waits)
    this.last = report
    this.waiting.get(report.ask)?.resolve(report)
    this.waiting.delete(report.ask)
  }

  readonly kill = (): void => {
    this.isDead = true
    this.runner.kill()
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.runner.signal(signal)
  }

  private tell(order: Order): void {
    this.runner.send(order)
  }

  async join(fleet: Fleet): Promise<void> {
    await this.ready
    this.requests = []
    this.openings = []
    this.waits = []
    const joined = this.next("joined")
    this.tell({ join: fleet })
    await joined
  }

  leave(): void {
    this.tell({ leave: true })
  }

  world(world: World): void {
    this.tell({ world })
  }

  say(say: "isolate" | "close", key?: string): void {
    this.tell({ say, key })
  }

  /** Takes the lock of a file, as a process does that was stopped while it wrote. */
  async hold(path: string): Promise<void> {
    await this.ready
    const held = this.next("held")
    this.tell({ hold: path })
    await held
  }

  ask(key?: string): Promise<Report> {
    const ask = ++this.asked
    const waiting = Promise.withResolvers<Report>()
    this.waiting.set(ask, waiting)
    this.tell({ ask, key })
    if (this.isDead) waiting.reject(new Error("a process that has ended was asked"))
    return waiting.promise
  }
}

/** Waits until the reports of all satisfy a condition; returns how long it took, in milliseconds. */
export const until = async (
  kids: ReadonlyArray<Kid>,
  what: string,
  holds: (report: Report) => boolean,
  { key, limit = 30_000 }: { readonly key?: string; readonly limit?: number } = {}
): Promise<number> => {
  const start = Date.now()
  let last: ReadonlyArray<Report> = []
  while (Date.now() - start < limit) {
    last = await Promise.all(kids.map((kid) => kid.ask(key)))
    if (last.every(holds)) return Date.now() - start
    await sleep(10)
  }
  const seen = last.map(({ openings: _, requests: __, waits: ___, ...rest }) => rest)
  throw new Error(`${what}: this did not happen within ${limit} ms: ${JSON.stringify(seen)}`)
}

/** Looks for as long as this, and fails as soon as one does not satisfy a condition. */
export const always = async (
  kids: ReadonlyArray<Kid>,
  what: string,
  holds: (report: Report) => boolean,
  millis: number
): Promise<void> => {
  const start = Date.now()
  while (Date.now() - start < millis) {
    for (const kid of kids) {
      const report = await kid.ask()
      if (!holds(report)) throw new Error(`not ${what}: ${JSON.stringify({ ...report, requests: [], waits: [] })}`)
    }
    await sleep(20)
  }
}

export const isState =
  (state: string) =>
  (report: Report): boolean =>
    report.state === state

export const isShut = (report: Report): boolean => report.state === "open" || report.state === "half-open"

export const inTouch = (report: Report): boolean => report.inTouch
