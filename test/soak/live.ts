/** A service with all parts on, called over real sockets in real time, its upstream failing in turns: memory and resources must stay flat. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { Agent, createServer, get, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { type Memory, token } from "./service.ts"

export interface Sample extends Memory {
  readonly minute: number
  readonly calls: number
  /** Calls by the status of their answer; 0: the service ended the connection. */
  readonly statuses: Readonly<Record<string, number>>
  /** Calls that had no answer after {@link longest}. */
  readonly hung: number
}

/** Milliseconds in which the service answers whatever its upstream does: its deadline is 2 seconds. */
const longest = 10_000

const perSecond = 100

/** What the upstream does, {@link phaseMillis} each. */
const phases = [
  "healthy",
  "refusing",
  "healthy",
  "hanging",
  "healthy",
  "throttling",
  "slow",
  "cutting",
  "resetting"
] as const

const phaseMillis = 10_000

/** Milliseconds between two samples: each is taken at the same phase. */
export const cycle = phases.length * phaseMillis

const answer = (phase: (typeof phases)[number], response: ServerResponse): unknown => {
  const text = (status: number, headers = {}): unknown => response.writeHead(status, headers).end("an answer")
  switch (phase) {
    case "healthy":
      return setTimeout(() => text(Math.random() < 0.01 ? 503 : 200), 5 + 40 * Math.random() ** 4)
    case "refusing":
      return text(503)
    case "hanging":
      return
    case "throttling":
      return text(429, { "retry-after": "1" })
    case "slow":
      return setTimeout(() => text(200), 400 * Math.random())
    case "cutting":
      return response.writeHead(200, { "content-length": "100" }).write("half", () => response.destroy())
    case "resetting":
      return response.socket?.resetAndDestroy()
  }
}

const listen = async (): Promise<{ readonly url: string; readonly close: () => void }> => {
  const begin = Date.now()
  const server = createServer((_request, response) => {
    answer(phases[Math.floor((Date.now() - begin) / phaseMillis) % phases.length] ?? "healthy", response)
  })
  await once(server.listen(0, "127.0.0.1"), "listening")
  // A server that listens on a port has an address of this kind.
  const { port } = server.address() as AddressInfo
  const close = (): void => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${port}`, close }
}

/** Calls the service, and takes a sample of its memory after each of `cycles`. */
export const live = async (cycles: number, progress?: (sample: Sample) => void): Promise<ReadonlyArray<Sample>> => {
  const folder = mkdtempSync(join(tmpdir(), "soak-"))
  const upstream = await listen()
  const service = fork(join(import.meta.dirname, "service.ts"), [upstream.url, folder])
  const ended = once(service, "exit").then(([code]) => {
    throw new Error(`the service ended with code ${code}`)
  })
  ended.catch(() => {})
  /** The next message of the service, which sends what service.ts says. */
  const said = async <A>(): Promise<A> => (await Promise.race([once(service, "message"), ended]))[0]
  const agent = new Agent({ keepAlive: true })
  const statuses: Record<string, number> = {}
  let calls = 0
  let hung = 0
  const call = (url: string, headers = {}): void => {
    calls += 1
    const count = (status: number): void => {
      statuses[status] = (statuses[status] ?? 0) + 1
    }
    const request = get(url, { agent, headers }, (response) => {
      response.resume().once("close", () => count(response.statusCode ?? 0))
    })
    request.once("error", () => count(0))
    // An answer that has arrived while this process had no turn is read before the next immediate.
    request.setTimeout(longest, () => {
      setImmediate(() => {
        if (request.destroyed) return
        hung += 1
        request.destroy()
      })
    })
  }
  try {
    const url = await said<string>()
    const load = setInterval(() => {
      const isNew = Math.random() < 0.2
      const key = isNew ? Math.floor(1e6 * Math.random()) : Math.floor(20 * Math.random())
      call(`${url}/${Math.random() < 0.5 ? "fixed" : "adaptive"}/${key}`)
    }, 1000 / perSecond)
    const look = setInterval(() => {
      call(`${url}/metrics`)
      call(`${url}/resilience/api/state`, { authorization: `Bearer ${token}` })
    }, 2000)
    const taken: Array<Sample> = []
    try {
      for (let i = 1; i <= cycles; i++) {
        await sleep(cycle)
        service.send("memory")
        const memory = await said<Memory>()
        const sample = { minute: (i * cycle) / 60_000, calls, statuses: { ...statuses }, hung, ...memory }
        taken.push(sample)
        progress?.(sample)
      }
    } finally {
      clearInterval(load)
      clearInterval(look)
    }
    return taken
  } finally {
    agent.destroy()
    service.kill()
    upstream.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
