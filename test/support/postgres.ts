/** A PostgreSQL server of its own on a free port, from Debian's package, for tests and examples. */
import { spawn, spawnSync } from "node:child_process"
import { chownSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { freePort } from "../../packages/demo/src/fleet/port.ts"

/** Where the programs of the newest installed version are. */
const bin = globSync("/usr/lib/postgresql/*/bin/initdb").sort().at(-1)?.replace("/initdb", "")

export const isInstalled = bin !== undefined

export const notInstalled = "skipped: PostgreSQL is not installed (apt-get install postgresql)"

/** PostgreSQL refuses to run as root. */
const account = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const [, , uid, gid] = /^postgres:.*$/m.exec(readFileSync("/etc/passwd", "utf8"))?.[0]?.split(":") ?? []
  if (uid === undefined || gid === undefined) throw new Error("there is no account postgres")
  return { uid: Number(uid), gid: Number(gid) }
}

const settings = [
  "listen_addresses=127.0.0.1",
  "fsync=off",
  "max_connections=60",
  "shared_buffers=16MB",
  "deadlock_timeout=20ms",
  // The proxy in front of the server stands for TLS and networks.
  "ssl=off"
]

interface Running {
  readonly port: number
  readonly stop: () => Promise<void>
}

const start = async (): Promise<Running> => {
  if (bin === undefined) throw new Error(notInstalled)
  const as = account()
  const directory = mkdtempSync(join(tmpdir(), "postgres-"))
  if (as !== undefined) chownSync(directory, as.uid, as.gid)
  const remove = () => rmSync(directory, { recursive: true, force: true })
  const made = spawnSync(
    join(bin, "initdb"),
    ["-D", directory, "-U", "postgres", "-A", "trust", "-N", "--locale=C", "--encoding=UTF8"],
    { ...as, cwd: directory, encoding: "utf8" }
  )
  if (made.status !== 0) {
    remove()
    throw new Error(`initdb failed: ${made.stderr}`)
  }
  const port = await freePort()
  const options = [...settings, `unix_socket_directories=${directory}`].flatMap((setting) => ["-c", setting])
  const server = spawn(join(bin, "postgres"), ["-D", directory, "-p", String(port), ...options], {
    ...as,
    cwd: directory,
    stdio: ["ignore", "ignore", "pipe"]
  })
  const exited = new Promise<void>((resolve) => server.once("exit", () => resolve()))
  const kill = () => server.kill("SIGQUIT")
  process.once("exit", kill)
  const stop = async () => {
    process.removeListener("exit", kill)
    kill()
    await exited
    remove()
  }
  const ready = new Promise<void>((resolve, reject) => {
    let log = ""
    server.stderr.setEncoding("utf8").on("data", (text: string) => {
      log += text
      if (log.includes("ready to accept connections")) resolve()
    })
    void exited.then(() => reject(new Error(`postgres ended: ${log}`)))
  })
  try {
    await ready
  } catch (error) {
    await stop()
    throw error
  }
  return { port, stop }
}

/** Starts a server with an empty database `postgres`, until the scope closes. Users need no password. */
export const postgres: Effect.Effect<{ readonly port: number }, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(start),
  ({ stop }) => Effect.promise(stop)
)
