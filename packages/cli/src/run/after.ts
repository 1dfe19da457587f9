/** What follows a run: the commands of its operator, and the file of its metrics. */
import { spawn } from "node:child_process"
import { renameSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Host from "../host.ts"
import * as Processes from "../processes.ts"

/** Milliseconds after which a command is killed with its group. */
const limit = 60_000

const spawned = (
  command: string,
  environment: Readonly<Record<string, string>>,
  { stderr }: Host.Service
): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const child = spawn("/bin/sh", ["-c", command], {
      detached: true,
      env: { ...process.env, ...environment },
      // What a command writes is no output of the job.
      stdio: ["ignore", stderr.descriptor, stderr.descriptor]
    })
    child.once("error", (error) => resume(Effect.succeed(error.message)))
    child.once("exit", (code, signal) =>
      resume(Effect.succeed(code === 0 ? undefined : `it ended with ${signal ?? `exit ${code}`}`))
    )
    return Effect.sync(() => Processes.sendToGroup(child.pid, "SIGKILL"))
  })

/** Runs a command of the operator; `undefined` when it succeeded, else what went wrong. */
export const runCommand = (
  command: string,
  environment: Readonly<Record<string, string>>
): Effect.Effect<string | undefined> =>
  Effect.map(
    Effect.timeoutOption(
      Effect.flatMap(Host.Host, (host) => spawned(command, environment, host)),
      limit
    ),
    Option.getOrElse(() => "it was killed after 60s")
  )

/** Writes a file beside another one and puts it in its place, so that no reader finds half of it. */
export const replaceFile = (file: string, text: string): void => {
  // A collector that reads `*.prom` does not take it.
  const beside = join(dirname(file), `.${basename(file)}.${process.pid}.tmp`)
  try {
    writeFileSync(beside, text)
    renameSync(beside, file)
  } catch (error) {
    rmSync(beside, { force: true })
    throw error
  }
}
