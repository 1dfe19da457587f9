/** The command `resilience`, in this process, or bundled as it is published and run as a process. */
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { afterAll, beforeAll } from "@effect/vitest"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { bundle } from "../../packages/cli/bundle.ts"
import { program } from "../../packages/cli/src/command.ts"
import * as Host from "../../packages/cli/src/host.ts"
import { kept } from "../support/bundled.ts"

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

let folder = ""
let file = ""

/** Bundles the command once for all files of tests of a thread. */
const bundleOnce = async (): Promise<void> => {
  if (file !== "") return
  file = join(await kept("packages/cli/bundle.ts", bundle), "main.js")
}

/** A folder for the state of a file of tests. */
export const useCommand = (): void => {
  beforeAll(async () => {
    await bundleOnce()
    folder = mkdtempSync(join(tmpdir(), "resilience-test-"))
    process.env["RESILIENCE_STATE_DIR"] = join(folder, "state")
    process.env["FOLDER"] = folder
  })
  afterAll(() => {
    delete process.env["RESILIENCE_STATE_DIR"]
    delete process.env["FOLDER"]
    rmSync(folder, { recursive: true, force: true })
  })
}

/** The file of the command. */
export const commandFile = (): string => file

/** A file in the folder of the test. */
export const fileNamed = (name: string): string => join(folder, name)

export const textOf = (name: string): string => {
  try {
    return readFileSync(fileNamed(name), "utf8")
  } catch {
    return ""
  }
}

export interface Started {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

export const start = (...args: ReadonlyArray<string>): Started => {
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ["ignore", "pipe", "pipe"]
  })
  const text = { stdout: "", stderr: "" }
  child.stdout.on("data", (chunk) => {
    text.stdout += chunk
  })
  child.stderr.on("data", (chunk) => {
    text.stderr += chunk
  })
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (code, signal) => resolve({ code: code ?? (signal === "SIGKILL" ? 137 : 1), ...text }))
  })
  return { child, ended }
}

const isLocked = (file: string): boolean => {
  try {
    return readFileSync("/proc/locks", "utf8").includes(`:${statSync(file).ino} `)
  } catch {
    return false
  }
}

/**
 * A process that another thread of this one starts has all open files until it runs its program, and so the lock of a run that has
 * ended, for a moment. A command in a process of its own starts none but its job.
 */
const lockIsFree = async (args: ReadonlyArray<string>): Promise<void> => {
  const name = args[args.findIndex((arg) => arg === "-n" || arg === "--name") + 1]
  if (args[0] !== "run" || name === undefined || args.includes("allow")) return
  const end = Date.now() + 20_000
  while (isLocked(fileNamed(`state/locks/${name}.lock`)) && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

let commands = 0

/** Runs the command in this process, which takes no second: its jobs are processes. */
export const resilienceWith = async (input: string, ...args: ReadonlyArray<string>): Promise<Ended> => {
  const name = fileNamed(`command-${commands++}`)
  const texts = { stdout: `${name}.stdout`, stderr: `${name}.stderr` }
  const [stdout, stderr] = [openSync(texts.stdout, "a+"), openSync(texts.stderr, "a+")] as const
  const streamOf = (descriptor: number): Host.Stream => ({
    descriptor,
    write: (text) => void writeSync(descriptor, text)
  })
  const host: Host.Service = {
    openInput: () => Readable.from([input]),
    stdout: streamOf(stdout),
    stderr: streamOf(stderr),
    isTerminal: false,
    exitCode: 0
  }
  const console_: Console.Console = Object.assign(Object.create(console), {
    log: (...lines: ReadonlyArray<unknown>) => host.stdout.write(`${lines.join(" ")}\n`),
    error: (...lines: ReadonlyArray<unknown>) => host.stderr.write(`${lines.join(" ")}\n`)
  })
  await Effect.runPromiseExit(
    program(args).pipe(Effect.provideService(Host.Host, host), Effect.provideService(Console.Console, console_))
  )
  for (const descriptor of [stdout, stderr]) closeSync(descriptor)
  if (host.exitCode !== 75) await lockIsFree(args)
  return { code: host.exitCode, stdout: readFileSync(texts.stdout, "utf8"), stderr: readFileSync(texts.stderr, "utf8") }
}

export const resilience = (...args: ReadonlyArray<string>): Promise<Ended> => resilienceWith("", ...args)

/** Waits until something holds. */
export const until = async (what: string, holds: () => boolean): Promise<void> => {
  const end = Date.now() + 120_000
  while (!holds()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export const lives = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    // A process that nobody has waited for is over too.
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")
  } catch {
    return false
  }
}
