/** A process that lives no longer than the run it is for. */
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { sourceCondition } from "../../run.ts"
import type { FromChild, ToChild } from "./messages.ts"

export class Child<Report> {
  readonly process: ChildProcess
  /** The port it listens on, if it does; rejected when it ends before. */
  readonly ready: Promise<number | undefined>
  /** Rejected when it ends before. */
  readonly report: Promise<Report>
  private readonly name: string

  constructor(name: "dependency" | "clients") {
    this.name = name
    this.process = fork(fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), [], {
      execArgv: [sourceCondition],
      // Numbers that JSON does not know, and arrays of numbers.
      serialization: "advanced",
      stdio: ["ignore", 2, 2, "ipc"]
    })
    const ready = Promise.withResolvers<number | undefined>()
    const report = Promise.withResolvers<Report>()
    this.ready = ready.promise
    this.report = report.promise
    this.process.on("message", (message: FromChild<Report>) => {
      if (message._tag === "Ready") ready.resolve(message.port)
      else report.resolve(message.report)
    })
    const fail = (how: string) => {
      const error = new Error(`the process of the ${name} ${how}`)
      ready.reject(error)
      report.reject(error)
    }
    this.process.on("error", (error) => fail(`failed: ${error.message}`))
    this.process.on("exit", (code, signal) =>
      fail(signal === null ? `ended with code ${code}` : `was ended by ${signal}`)
    )
    // Whoever waits for one of them hears of it; the other must not end this process.
    this.ready.catch(() => {})
    this.report.catch(() => {})
  }

  tell(message: ToChild): void {
    // What a failed send means is said by the exit that follows.
    this.process.send(message, () => {})
  }

  /** The report, or an error when there is none after so many milliseconds. */
  reportWithin(limit: number): Promise<Report> {
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => late.reject(new Error(`the ${this.name} did not report within ${Math.round(limit / 1000)} s`)),
      limit
    )
    return Promise.race([this.report, late.promise]).finally(() => clearTimeout(timer))
  }

  /** It has nothing to clean up: its sockets end with it. */
  async end(): Promise<void> {
    const { process } = this
    if (process.exitCode !== null || process.signalCode !== null || process.pid === undefined) return
    const gone = new Promise((resolve) => process.once("exit", resolve))
    process.kill("SIGKILL")
    await gone
  }
}
