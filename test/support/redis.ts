/** A Redis server of its own on a free port of the loopback interface, from Debian's package, for tests. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createClient } from "redis"
import { freePort } from "../../packages/demo/src/fleet/port.ts"

export const isInstalled = spawnSync("redis-server", ["--version"], { stdio: "ignore" }).status === 0

if (!isInstalled) console.warn("redis-server is not installed: its tests are skipped (apt-get install redis-server)")

/** A client that neither queues while it is disconnected nor tells of it. */
export const clientOptions = (port: number) =>
  ({
    socket: { host: "127.0.0.1", port, connectTimeout: 500, reconnectStrategy: 50 },
    disableOfflineQueue: true
  }) as const

const saved = "saved.rdb"

export class RedisServer {
  readonly port: number
  private readonly directory: string
  private child: ChildProcess | undefined

  private constructor(port: number) {
    this.port = port
    this.directory = mkdtempSync(join(tmpdir(), "redis-"))
  }

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await freePort())
    await server.run()
    return server
  }

  /** Starts the server, empty or with what {@link save} saved. */
  async run(from: "nothing" | "saved" = "nothing"): Promise<void> {
    if (from === "nothing") rmSync(join(this.directory, saved), { force: true })
    const args = ["--port", String(this.port), "--bind", "127.0.0.1", "--save", "", "--dir", this.directory]
    args.push("--dbfilename", saved)
    const child = spawn("redis-server", args, { stdio: "ignore" })
    this.child = child
    process.once("exit", this.kill)
    const deadline = Date.now() + 120_000
    while (Date.now() < deadline && child.exitCode === null) {
      const client = createClient({ socket: { host: "127.0.0.1", port: this.port, reconnectStrategy: false } })
      client.on("error", () => {})
      const answer = await client.connect().then(
        () => client.ping(),
        () => undefined
      )
      if (client.isOpen) client.destroy()
      if (answer === "PONG") return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Error(
      `redis-server did not start: ${child.exitCode === null ? "no answer" : `exit code ${child.exitCode}`}`
    )
  }

  /** Writes what it holds into a file. */
  async save(): Promise<void> {
    const client = createClient({ socket: { host: "127.0.0.1", port: this.port, reconnectStrategy: false } })
    client.on("error", () => {})
    await client.connect()
    await client.sendCommand(["SAVE"])
    client.destroy()
  }

  private readonly kill = (): void => {
    this.child?.kill("SIGKILL")
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.child?.kill(signal)
  }

  /** Kills the server: what it held is lost. */
  async crash(): Promise<void> {
    const { child } = this
    process.removeListener("exit", this.kill)
    if (child === undefined || child.exitCode !== null) return
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()))
    child.kill("SIGKILL")
    await ended
  }

  async stop(): Promise<void> {
    await this.crash()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
