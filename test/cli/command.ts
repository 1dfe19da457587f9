/** The command `resilience`, bundled as it is published, run as a process. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll } from "@effect/vitest"
import { bundle } from "../../packages/cli/bundle.ts"
import { kept } from "../support/bundled.ts"

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

let folder = ""
let bundled: Promise<string> | undefined
let file = ""

/** Bundles the command once, with a folder for the state of a file of tests. */
export const useCommand = (): void => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "resilience-test-"))
    bundled ??= kept(bundle)
    file = join(await bundled, "main.js")
  }, 60_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
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
    env: { ...process.env, RESILIENCE_STATE_DIR: join(folder, "state"), FOLDER: folder },
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

export const resilience = (...args: ReadonlyArray<string>): Promise<Ended> => start(...args).ended

/** Waits until something holds. */
export const until = async (what: string, holds: () => boolean): Promise<void> => {
  const end = Date.now() + 20_000
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
