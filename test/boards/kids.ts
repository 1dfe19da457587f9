/** A fleet of processes for tests: each is a `process.ts`, told over IPC, and ended by its own handle. */
import { type ChildProcess, fork } from "node:child_process"
import { join } from "node:path"
import { bundled } from "../support/bundled.ts"
import type { Order, Report } from "./process.ts"

const program = join(await bundled("test/boards/process.ts"), "process.js")

export class Kid {
  private readonly child: ChildProcess
  private readonly waiting = new Map<number, (report: Report) => void>()
  private asked = 0
  readonly ready: Promise<void>

  constructor(backend: string, where: string) {
    const child = fork(program, [backend, where], {
      execArgv: ["--no-warnings"],
      stdio: ["ignore", "ignore", "ignore", "ipc"]
    })
    this.child = child
    process.once("exit", this.kill)
    this.ready = new Promise((resolve) => {
      child.on("message", (message: Report | { readonly ready: true }) => {
        if ("ready" in message) resolve()
        else if ("ask" in message) this.waiting.get(message.ask)?.(message)
      })
    })
  }

  readonly kill = (): void => {
    process.removeListener("exit", this.kill)
    this.child.kill("SIGKILL")
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.child.kill(signal)
  }

  tell(order: Order): void {
    this.child.send(order)
  }

  ask(): Promise<Report> {
    const ask = ++this.asked
    return new Promise((resolve) => {
      this.waiting.set(ask, resolve)
      this.child.send({ ask })
    })
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits until the reports of all satisfy a condition; returns how long it took, in milliseconds. */
export const until = async (
  kids: ReadonlyArray<Kid>,
  what: string,
  holds: (report: Report) => boolean,
  limit = 20_000
): Promise<number> => {
  const start = Date.now()
  let last: ReadonlyArray<Report> = []
  while (Date.now() - start < limit) {
    last = await Promise.all(kids.map((kid) => kid.ask()))
    if (last.every(holds)) return Date.now() - start
    await sleep(20)
  }
  throw new Error(`${what} did not happen: ${JSON.stringify(last)}`)
}

export const isState =
  (state: string) =>
  (report: Report): boolean =>
    report.state === state

export const isShut = (report: Report): boolean => report.state === "open" || report.state === "half-open"

export const startFleet = async (backend: string, where: string, n: number): Promise<ReadonlyArray<Kid>> => {
  const kids = Array.from({ length: n }, () => new Kid(backend, where))
  await Promise.all(kids.map(({ ready }) => ready))
  await until(kids, "all in touch", ({ inTouch, members }) => inTouch && members === n)
  return kids
}
