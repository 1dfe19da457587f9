/**
 * A process that keeps the board, ends with the demo, and lets the board stand still when it is told to: it holds the lock of the file as
 * a process does that was stopped while it wrote, or it stops the Redis server.
 */
import { spawn } from "node:child_process"
import { connect } from "node:net"
import { DatabaseSync } from "node:sqlite"
import { say, type ToBoard } from "../messages.ts"
import { freePort } from "./port.ts"

interface Board {
  readonly where: string
  readonly stop: () => void
  readonly goOn: () => void
}

const [backend, directory = ""] = process.argv.slice(2)

const file = (): Board => {
  const path = `${directory}/board.db`
  let database: DatabaseSync | undefined
  return {
    where: path,
    stop: () => {
      database = new DatabaseSync(path, { timeout: 5000 })
      database.exec("BEGIN IMMEDIATE")
    },
    goOn: () => {
      database?.exec("ROLLBACK")
      database?.close()
    }
  }
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const end = (isThere: boolean) => {
      socket.destroy()
      resolve(isThere)
    }
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"))
    socket.once("data", (data) => end(String(data).startsWith("+PONG")))
    socket.once("error", () => end(false))
  })

const redis = async (): Promise<Board> => {
  const port = await freePort()
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory]
  const server = spawn("redis-server", args, { stdio: "ignore" })
  process.once("exit", () => server.kill("SIGKILL"))
  const failed = new Promise<never>((_, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const isMissing = error.code === "ENOENT"
      const install = "redis-server is not installed (on Debian: apt-get install redis-server); leave --redis out"
      reject(new Error(isMissing ? install : error.message))
    })
    server.once("exit", (code) => reject(new Error(`redis-server ended with code ${code}`)))
  })
  const ready = async (): Promise<void> => {
    for (let tries = 0; tries < 400 && !(await answers(port)); tries += 1)
      await new Promise((resolve) => setTimeout(resolve, 25))
  }
  await Promise.race([ready(), failed])
  failed.catch((error: Error) => say({ _tag: "NoBoard", problem: error.message }))
  return {
    where: String(port),
    stop: () => void server.kill("SIGSTOP"),
    goOn: () => void server.kill("SIGCONT")
  }
}

process.on("SIGINT", () => {})
process.on("disconnect", () => process.exit(0))
try {
  const board = backend === "redis" ? await redis() : file()
  process.on("message", (message: ToBoard) => {
    if (message._tag === "Stop") board.stop()
    else board.goOn()
  })
  say({ _tag: "Where", where: board.where })
} catch (error) {
  say({ _tag: "NoBoard", problem: error instanceof Error ? error.message : String(error) })
}
