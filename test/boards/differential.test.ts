import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { createClient } from "redis"
import * as Board from "../../packages/resilience/src/machine/Board.ts"
import { boardScript } from "../../packages/resilience/src/shared/internal/boardScript.ts"
import { isInstalled, RedisServer } from "../support/redis.ts"
import { share } from "../support/share.ts"

const random = (seed: number) => {
  let x = seed
  return () => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) / 4294967296
  }
}

interface Remembered {
  id: string
  witness: string
  seq: number
  acked: number
  inc: string
  rev: number
  news: Board.News | undefined
  report: Board.Report | undefined
}

const keys = ["a", "b/c", "ü%"]

/** Random reports of members that remember the news, as members do, and now and then do not. */
const reports = (next: () => number) => {
  const int = (n: number) => Math.floor(next() * n)
  let ids = 0
  let stamps = 0
  const make = (): Remembered => ({
    id: `m${ids++}`,
    witness: `w${int(3)}`,
    seq: 0,
    acked: 0,
    inc: "",
    rev: 0,
    news: undefined,
    report: undefined
  })
  const members = Array.from({ length: 5 }, make)
  const one = (): { readonly member: Remembered; readonly report: Board.Report } => {
    const at = int(members.length)
    if (next() < 0.01) members[at] = make()
    const member = members[at]!
    // Doubled, and late.
    if (member.report !== undefined && next() < 0.05) return { member, report: member.report }
    const circuits = keys
      .filter(() => next() < 0.5)
      .map((key): Board.CircuitReport => {
        const known = member.news?.circuits.find((circuit) => circuit.key === key)
        const calls = int(12)
        const failures = next() < 0.6 ? calls : int(calls + 1)
        const result =
          known !== undefined && known.phase !== Board.Closed && next() < 0.5
            ? { generation: known.generation, token: known.token, ok: ([1, 0, -1] as const)[int(3)]! }
            : undefined
        return {
          key,
          calls,
          failures,
          vote: next() < 0.2 ? 1 : 0,
          wants: next() < 0.6 ? 1 : 0,
          openFor: 200 + int(800) + next(),
          generation: (known?.generation ?? 0) + (next() < 0.05 ? int(3) : 0),
          phase: known?.phase ?? Board.Closed,
          left: known === undefined ? 0 : Math.round(known.left * next() * 8) / 8,
          openings: known?.openings ?? 0,
          ...(result === undefined ? {} : { result })
        }
      })
    const words =
      next() < 0.1
        ? [
            {
              key: next() < 0.3 ? Board.everyKey : keys[int(keys.length)]!,
              stamp: next() < 0.2 ? stamps : ++stamps,
              by: member.id,
              say: (["isolate", "disable", "clear", "close", "reset"] as const)[int(5)]!,
              who: "ann",
              reason: 'a "reason"',
              ...(next() < 0.5 ? { left: 500 + int(4000) } : {})
            }
          ]
        : []
    const report: Board.Report = {
      member: member.id,
      witness: member.witness,
      seq: ++member.seq,
      acked: member.acked,
      inc: next() < 0.02 ? "another" : member.inc,
      rev: next() < 0.05 ? 0 : member.rev,
      age: next() < 0.05 ? 20_000 : int(500),
      known: int(7),
      settings: {
        ...Board.defaults,
        forget: 5000,
        ...(next() < 0.02 ? { quorum: 0.7 } : {}),
        ...(next() < 0.02 ? { rate: 123_456_789, burst: 12.5 } : {})
      },
      circuits,
      words,
      buckets: next() < 0.5 ? [{ name: "floor", rate: 10, burst: 20, want: int(8) }] : [],
      pools: keys
        .filter(() => next() < 0.4)
        .map((name) => {
          const known = member.news?.pools.find((pool) => pool.name === name)
          return {
            name,
            cap: 20,
            lease: 2000 + int(2000) + next(),
            have: next() < 0.9 ? (known?.granted ?? 0) : int(10),
            want: next() < 0.2 ? 0 : int(21),
            safe: next() < 0.9 ? (known?.safe ?? 0) : int(5)
          }
        }),
      rates: keys
        .filter(() => next() < 0.4)
        .map((name) => {
          const known = member.news?.rates.find((rate) => rate.name === name)
          return {
            name,
            cap: 20_000_001,
            lease: 2000 + next(),
            have: next() < 0.9 ? (known?.granted ?? 0) : int(10_000_000),
            want: next() < 0.2 ? 0 : int(20_000_002),
            safe: next() < 0.9 ? (known?.safe ?? 0) : int(5_000_000),
            burst: 12.5,
            tokens: next() * 4
          }
        }),
      leaving: next() < 0.01
    }
    member.report = report
    return { member, report }
  }
  return one
}

const close = (a: unknown, b: unknown): boolean => {
  if (typeof a === "number" && typeof b === "number") return Math.abs(a - b) < 1e-3 * Math.max(1, Math.abs(a) * 1e-9)
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, i) => close(one, b[i]))
  if (typeof a === "object" && a !== null && typeof b === "object" && b !== null) {
    const [x, y] = [a as Record<string, unknown>, b as Record<string, unknown>]
    return Object.keys({ ...x, ...y }).every((name) => close(x[name], y[name]))
  }
  return a === b
}

/** A newcomer learns the openings in any order. */
const ordered = (news: Board.News, report: Board.Report): object => {
  const told = report.circuits.length
  const rest = news.circuits.slice(told).toSorted((a, b) => (a.key < b.key ? -1 : 1))
  const { push: _, ...others } = news
  return { ...others, circuits: [...news.circuits.slice(0, told), ...rest] }
}

describe.skipIf(!isInstalled)("the board in Lua and the board in TypeScript", () => {
  let server: RedisServer
  let client: ReturnType<typeof createClient>

  beforeAll(async () => {
    server = await RedisServer.start()
    client = createClient({ socket: { host: "127.0.0.1", port: server.port } })
    client.on("error", () => {})
    await client.connect()
  })

  afterAll(async () => {
    client.destroy()
    await server.stop()
  })

  it.each(share([1, 2, 3, 4], (seed) => seed === 1))(
    "answer random reports alike, seed %i",
    { timeout: 300_000 },
    async (seed) => {
      const next = random(seed * 7919)
      const one = reports(next)
      const pushed: Array<unknown> = []
      const prefix = `{test:${seed}}:`
      const listener = client.duplicate()
      await listener.connect()
      await listener.subscribe(`${prefix}news`, (text) => pushed.push(JSON.parse(text)))
      let rows = new Board.MemoryRows()
      let wall = 1_700_000_000_000
      let openings = 0
      let probes = 0
      let expected = 0
      let granted = 0
      let rated = 0
      let given = 0
      for (let i = 0; i < 1800; i++) {
        wall += Math.floor(next() * 200)
        if (next() < 0.01) wall += (next() < 0.5 ? 1 : -1) * 3_600_000
        if (next() < 0.003) {
          await client.flushAll()
          rows = new Board.MemoryRows()
        }
        const { member, report } = one()
        const text = JSON.stringify(report)
        const id = `inc${i}`
        const now = Board.steady(rows, wall, report.settings.leap)
        const ours = JSON.parse(JSON.stringify(Board.sync(rows, JSON.parse(text), now, id))) as Board.News
        const answer = await client.eval(boardScript, { keys: [prefix], arguments: [text, id, String(wall)] })
        const theirs = JSON.parse(String(answer)) as Board.News
        assert.isTrue(Board.isNews(theirs))
        if (!close(ordered(ours, report), ordered(theirs, report))) {
          assert.deepStrictEqual(ordered(theirs, report), ordered(ours, report), `report ${i}: ${text}`)
          assert.fail(`report ${i} differs`)
        }
        if (ours.push.length > 0) expected += 1
        openings += ours.push.filter((push) => "finding" in push && push.finding.phase === Board.Open).length
        probes += ours.circuits.filter(({ token }) => token > 0).length
        granted += ours.pools.filter((pool) => pool.granted > 0).length
        rated += ours.rates.filter((rate) => rate.granted > 0).length
        given += ours.rates.filter((rate) => rate.tokens > 0).length
        // An answer may be lost.
        if (next() < 0.1) continue
        member.news = ours
        member.inc = ours.inc
        member.rev = ours.rev
        member.acked = report.seq
      }
      await listener.ping()
      assert.strictEqual(pushed.length, expected)
      // Nothing is kept for ever.
      for await (const names of client.scanIterator({ MATCH: `${prefix}*` })) {
        for (const name of names) assert.isAbove(await client.pTTL(name), 0, name)
      }
      listener.destroy()
      // The run means something.
      assert.isAbove(openings, 50)
      assert.isAbove(probes, 20)
      assert.isAbove(granted, 200)
      assert.isAbove(rated, 200)
      assert.isAbove(given, 50)
    }
  )
})
