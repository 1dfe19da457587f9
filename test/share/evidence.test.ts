import { assert, describe, it } from "@effect/vitest"
import * as Board from "../../packages/resilience/src/machine/Board.ts"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"
import { Client, exchange, TestBoard } from "./client.ts"

const fleet = (n: number): ReadonlyArray<Client> => Array.from({ length: n }, (_, i) => new Client({ id: `m${i}` }))

/** Calls of each client between two moments, one every 20 ms. */
const calls = (clients: ReadonlyArray<Client>, failed: boolean, from: number, to: number): void => {
  for (let at = from; at < to; at += 20) for (const client of clients) client.run(failed, at)
}

const answered = (client: Client, board: TestBoard, report: Board.Report, sentAt: number, now: number): void =>
  client.member.news(report, board.sync(report, now), sentAt, now, 0)

const isClosed = (clients: ReadonlyArray<Client>): boolean =>
  clients.every((client) => client.phase() === Circuit.Closed)

describe("the evidence of a fleet", () => {
  it("is that of the witnesses that made calls, also if those that see failures report first", () => {
    const board = new TestBoard()
    const clients = fleet(5)
    const [bad, good] = [clients.slice(0, 2), clients.slice(2)]
    calls(clients, false, 0, 1000)
    for (const client of clients) exchange(client, board, 1000)
    calls(bad, true, 1000, 1200)
    calls(good, false, 1000, 1200)
    // The two report at once, as after a way that was cut; the others report when they hear that the key is suspect.
    for (const client of bad) exchange(client, board, 1200)
    const pushed = [{ finding: exchange(bad[0]!, board, 1205).circuits[0]! }]
    for (const client of good) {
      const { wakes } = client
      client.member.pushed(pushed, 1210, 0)
      assert.isAbove(client.wakes, wakes, "a member that hears of a suspect key waits for its calm report")
      assert.isAtMost(client.member.due(1210), 1210)
    }
    for (const client of clients) exchange(client, board, 1250)
    for (let at = 1300; at <= 2000; at += 100) {
      calls(bad, true, at - 100, at)
      calls(good, false, at - 100, at)
      for (const client of clients) exchange(client, board, at)
    }
    assert.isTrue(isClosed(good), "two of five opened the circuit of all")
    assert.isTrue(bad.every((client) => client.phase() === Circuit.Open))
  })

  it("opens at once when a quorum of all members has bad evidence", () => {
    const board = new TestBoard()
    const clients = fleet(4)
    for (const client of clients) exchange(client, board, 900)
    calls(clients, true, 1000, 1080)
    for (const client of clients.slice(0, 2)) exchange(client, board, 1080)
    const { circuits } = exchange(clients[2]!, board, 1081)
    assert.strictEqual(circuits[0]?.phase, Board.Open)
  })

  it("counts no more when it has waited before a board that stood still", () => {
    const board = new TestBoard()
    const clients = fleet(4)
    calls(clients, false, 0, 1000)
    for (const client of clients) exchange(client, board, 1000)
    // The board stands still, and reports of an outage wait.
    calls(clients, true, 1000, 1060)
    const waiting = [1060, 1310].map((at) =>
      clients.map((client) => ({ client, at, report: client.member.makeReport(at) }))
    )
    calls(clients, false, 1400, 4000)
    for (const client of clients) client.circuit("k", 4000)
    for (const { at, client, report } of waiting.flat()) answered(client, board, report, at, 4000)
    for (const client of clients) exchange(client, board, 4010)
    assert.isTrue(isClosed(clients), "old evidence opened the circuits")
  })

  it("counts again with the first report after an answer", () => {
    const board = new TestBoard()
    const clients = fleet(4)
    for (const client of clients) exchange(client, board, 1000)
    // Reports whose answers are lost.
    for (const client of clients) board.sync(client.member.makeReport(1100), 1100)
    calls(clients, true, 1100, 1180)
    for (const client of clients) exchange(client, board, 1180)
    calls(clients, true, 1180, 1200)
    const after = clients.map((client) => exchange(client, board, 1200).circuits[0]?.phase)
    assert.include(after, Board.Open)
  })

  it("that has waited gets no lease of a probe", () => {
    const board = new TestBoard()
    const clients = fleet(2)
    for (const client of clients) exchange(client, board, 1000)
    calls(clients, true, 1000, 1100)
    for (const client of clients) exchange(client, board, 1100)
    for (const client of clients) exchange(client, board, 1110)
    assert.isTrue(clients.every((client) => client.phase() === Circuit.Open))
    for (const client of clients) client.run(true, 2150)
    const reports = clients.map((client) => client.member.makeReport(2150))
    const late = reports.map((report) => board.sync(report, 5000).circuits[0])
    assert.deepStrictEqual(
      late.map((one) => one?.token),
      [0, 0]
    )
  })
})
