import { spawn } from "node:child_process"

export interface Result {
  readonly ok: boolean
  /** Standard output and error, in the order they came. */
  readonly output: string
  readonly seconds: number
}

export interface Options {
  readonly cwd?: string | undefined
  /** Variables beside those of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** In seconds. */
  readonly limit?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Runs a command of the shell's PATH to its end. Never rejects. */
export const run = (command: string, args: ReadonlyArray<string>, options: Options = {}): Promise<Result> =>
  new Promise((resolve) => {
    const start = performance.now()
    let output = ""
    let ended = false
    const end = (ok: boolean, note = "") => {
      if (ended) return
      ended = true
      clearTimeout(timer)
      resolve({ ok, output: output + note, seconds: (performance.now() - start) / 1000 })
    }
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      // The commands of npm packages are .cmd files on Windows, which only a shell starts.
      shell: process.platform === "win32",
      ...(options.signal === undefined ? {} : { signal: options.signal })
    })
    const timer =
      options.limit === undefined
        ? undefined
        : setTimeout(() => {
            child.kill("SIGKILL")
            end(false, `did not end within ${options.limit} s\n`)
          }, options.limit * 1000)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text
      })
    }
    child.on("error", (error) => end(false, `${error.message}\n`))
    child.on("close", (code, signal) => end(code === 0, signal === null ? "" : `ended by ${signal}\n`))
  })

/** The condition under which `effect-resilience` means its sources: no build is needed first. */
export const sourceCondition = "--conditions=@effect-resilience/source"
