import { fork } from "node:child_process"
import { basename, join, resolve as resolvePath } from "node:path"
import { sourceCondition } from "../run.ts"
import { locate, type Module } from "./modules.ts"
import type { Message } from "./runner.ts"

/** For one module, in seconds: the longest takes one alone, and a machine may be busy. */
const limit = 60

export interface Failure {
  readonly file: string
  readonly line: number
  readonly reason: string
}

interface Outcome {
  /** The index of the module that ended the process. */
  readonly last: number
  readonly failure: string | undefined
}

const runProcess = (modules: ReadonlyArray<Module>, verbose: boolean): Promise<Outcome> =>
  new Promise((resolve) => {
    const child = fork(
      join(import.meta.dirname, "runner.ts"),
      modules.map((module) => module.path),
      {
        execArgv: [sourceCondition],
        env: { NODE_COMPILE_CACHE: resolvePath(".cache/node"), ...process.env },
        stdio: ["ignore", "pipe", "pipe", "ipc"]
      }
    )
    let last = 0
    let failure: string | undefined
    let output = ""
    let timer: NodeJS.Timeout | undefined
    const startTimer = () => {
      clearTimeout(timer)
      timer = setTimeout(() => {
        failure = `did not end within ${limit} s`
        child.kill("SIGKILL")
      }, limit * 1000)
    }
    startTimer()
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        output += text
      })
    }
    child.on("message", (message: Message) => {
      last = message.started
      failure ??= message.failure
      startTimer()
    })
    child.on("close", (code) => {
      clearTimeout(timer)
      if (verbose && output !== "") console.log(output.trimEnd())
      if (code !== 0) failure ??= `exited with code ${code}\n${output}`
      resolve({ last, failure })
    })
  })

/**
 * Runs modules in one process as far as they go, and goes on in a new one behind the module that ended it. A module that fails after others
 * is run again alone.
 */
export const execute = async (modules: ReadonlyArray<Module>, verbose: boolean): Promise<ReadonlyArray<Failure>> => {
  const failures: Array<Failure> = []
  for (let rest = modules; rest.length > 0; ) {
    const { failure, last } = await runProcess(rest, verbose)
    const module = rest[last]
    if (failure !== undefined && module !== undefined) {
      // A program that lists what lives in the process sees what others before it have left there: alone it must succeed.
      const alone = last === 0 ? failure : (await runProcess([module], verbose)).failure
      if (alone !== undefined) {
        const at = Number.parseInt(alone.split(`${basename(module.path)}:`)[1] ?? "2", 10)
        const { block, line } = locate(module, at)
        failures.push({ file: block.file, line, reason: alone })
      }
    }
    rest = rest.slice(last + 1)
  }
  return failures
}
