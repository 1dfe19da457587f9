import { assert, describe, it } from "@effect/vitest"
import * as Board from "../../packages/resilience/src/machine/Board.ts"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"
import * as Member from "../../packages/resilience/src/machine/Member.ts"
import { Client, type ClientOptions, exchange, round, TestBoard } from "./client.ts"

const fleet = (n: number, options: Partial<ClientOptions> = {}) => {
  const board = new TestBoard()
  const clients = Array.from({ length: n }, (_, i) => new Client({ id: `m${i}`, ...options }))
  for (const client of clients) client.circuit("k", 0)
  round(clients, board, 0)
  return { board, clients, phases: () => clients.map((client) => client.phase()) }
}

/** Every client calls `times` times, and reports. */
const callAll = (clients: ReadonlyArray<Client>, failed: boolean, times: number, now: number) => {
  for (const client of clients) for (let i = 0; i < times; i++) client.run(failed, now)
}

/** A fleet of four that is open at 1,000 ms. */
const openFleet = (options: Partial<ClientOptions> = {}) => {
  const made = fleet(4, { trip: "patient", ...options })
  callAll(made.clients, true, 3, 1000)
  round(made.clients, made.board, 1000)
  assert.deepStrictEqual(made.phases(), [1, 1, 1, 1])
  return made
}

describe("an opening of the fleet", () => {
  it("needs a quorum of witnesses, and then opens members with too few calls to open by themselves", () => {
    const { board, clients, phases } = fleet(4, { trip: "patient" })
    callAll(clients.slice(0, 1), true, 50, 1000)
    round(clients, board, 1000)
    assert.deepStrictEqual(phases(), [0, 0, 0, 0])
    callAll(clients.slice(1), true, 3, 1010)
    round(clients, board, 1010)
    assert.deepStrictEqual(phases(), [1, 1, 1, 1])
  })

  it.each([
    { members: 2, factor: 1, openings: [100, 100, 100] },
    { members: 4, factor: 3, openings: [100, 200, 500] },
    { members: 16, factor: 3, openings: [100, 150, 300] }
  ])("of $members members grows by the root of their number less than that of one alone, at $factor", (given) => {
    const { clients } = fleet(given.members, { trip: "patient", openFor: 100, factor: given.factor })
    const [client] = clients
    const link = client!.link("k")
    const openings = [0, 1, 2].map((before) => {
      link.openings = before
      client!.run(true, 1000)
      return client!.member.makeReport(1000).circuits[0]?.openFor
    })
    assert.deepStrictEqual(openings, given.openings)
  })

  it("is not caused by members of one witness, as many as they are", () => {
    const { board, clients, phases } = fleet(4, { trip: "patient", witness: "one host" })
    callAll(clients, true, 50, 1000)
    round(clients, board, 1000)
    assert.deepStrictEqual(phases(), [0, 0, 0, 0])
  })

  it("is not caused by one bad client, whose circuit the fleet leaves open", () => {
    const { board, clients, phases } = fleet(4)
    callAll(clients.slice(1), false, 50, 1000)
    callAll(clients.slice(0, 1), true, 50, 1000)
    round(clients, board, 1000)
    callAll(clients.slice(1), false, 50, 1020)
    round(clients, board, 1020)
    assert.deepStrictEqual(phases(), [1, 0, 0, 0])
    assert.strictEqual(clients[0]!.link("k").phase, Board.Closed)
  })

  it("needs no report while the fleet is healthy", () => {
    const { board, clients } = fleet(4)
    callAll(clients, false, 50, 1000)
    for (const client of clients) {
      assert.deepStrictEqual(client.member.makeReport(1000).circuits, [])
      assert.strictEqual(client.member.due(1000), 1000 + Member.calm)
    }
    callAll(clients.slice(0, 1), true, 60, 1001)
    assert.isAtMost(clients[0]!.member.due(1001), 1005)
    exchange(clients[0]!, board, 1005)
  })

  it("is learned by a member that has just started, before its first call", () => {
    const { board } = openFleet()
    const late = new Client({ id: "late" })
    exchange(late, board, 1100)
    assert.isFalse(late.run(false, 1101))
    assert.strictEqual(late.phase(), Circuit.Open)
  })

  it("binds only while news is fresh: a member that hears nothing probes for itself", () => {
    const { clients } = openFleet()
    const [alone] = clients
    assert.isFalse(alone!.run(true, 1000 + Member.hold - 1))
    assert.isTrue(alone!.run(false, 1000 + Member.hold))
    assert.strictEqual(alone!.phase(), Circuit.Closed)
  })
})

describe("the probe of a fleet", () => {
  it("is one, by lease, and its success closes the fleet", () => {
    const { board, clients, phases } = openFleet({ rejoin: "close" })
    for (const client of clients) assert.isFalse(client.run(false, 2100))
    round(clients, board, 2100)
    const probes = clients.map((client) => client.call(2110))
    assert.strictEqual(probes.filter((probe) => probe !== undefined).length, 1)
    const prober = probes.findIndex((probe) => probe !== undefined)
    clients[prober]!.end(probes[prober]!, false, 2150)
    round(clients, board, 2160)
    assert.deepStrictEqual(phases(), [0, 0, 0, 0])
  })

  it("lets each member verify for itself with `rejoin: verify`", () => {
    const { board, clients, phases } = openFleet()
    for (const client of clients) client.run(false, 2100)
    round(clients, board, 2100)
    for (const client of clients) client.run(false, 2110)
    round(clients, board, 2120)
    assert.deepStrictEqual(phases().sort(), [0, 1, 1, 1])
    for (const client of clients) assert.isTrue(client.run(false, 2130))
    assert.deepStrictEqual(phases(), [0, 0, 0, 0])
  })

  it("that fails opens the fleet again, for longer each time if asked", () => {
    const { board, clients } = openFleet()
    for (const client of clients) client.run(false, 2100)
    round(clients, board, 2100)
    for (const client of clients) client.run(true, 2110)
    round(clients, board, 2120)
    for (const client of clients) {
      assert.strictEqual(client.phase(), Circuit.Open)
      assert.strictEqual(client.link("k").openings, 2)
      assert.isFalse(client.run(true, 2130))
    }
  })

  it("is another member's once its lease is over, and a late result still counts", () => {
    const { board, clients } = openFleet({ rejoin: "close" })
    clients[0]!.run(false, 2100)
    exchange(clients[0]!, board, 2100)
    const hung = clients[0]!.call(2110)
    assert.isDefined(hung)
    for (const client of clients.slice(1)) client.run(false, 3000)
    for (const client of clients.slice(1)) exchange(client, board, 3000)
    assert.isUndefined(clients[1]!.call(3010))
    for (const client of clients.slice(1)) client.run(false, 4200)
    for (const client of clients.slice(1)) exchange(client, board, 4200)
    assert.isDefined(clients[1]!.call(4210))
    clients[0]!.end(hung!, false, 4300)
    round(clients, board, 4300)
    assert.deepStrictEqual(
      clients.map((client) => client.phase()),
      [0, 0, 0, 0]
    )
  })

  it("is given back when no call uses it, and a token that was given back is never used", () => {
    const { board, clients } = openFleet()
    const [first, second] = clients
    first!.run(false, 2100)
    const report = first!.member.makeReport(2100)
    const news = board.sync(report, 2100)
    first!.member.news(report, news, 2100, 2100, 0)
    const token = first!.link("k").token
    assert.isAbove(token, 0)
    exchange(first!, board, 2700)
    assert.strictEqual(first!.link("k").token, 0)
    second!.run(false, 2800)
    exchange(second!, board, 2800)
    assert.isAbove(second!.link("k").token, token)
    // The first answer, once more: overtaken.
    first!.member.news(report, news, 2100, 2900, 0)
    assert.strictEqual(first!.link("k").token, 0)
    assert.isFalse(first!.run(false, 2910))
  })

  it("after a lease that ended while the process stood still is not used", () => {
    const { board, clients } = openFleet()
    clients[0]!.run(false, 2100)
    exchange(clients[0]!, board, 2100)
    assert.isAbove(clients[0]!.link("k").token, 0)
    assert.isFalse(clients[0]!.run(false, 4100))
  })
})

describe("an operator's command", () => {
  it("reaches every member, and every key if it is for all", () => {
    const { board, clients, phases } = fleet(3)
    clients[1]!.say("isolate", 1000, "*")
    round(clients, board, 1001)
    assert.deepStrictEqual(phases(), [3, 3, 3])
    assert.isFalse(clients[2]!.run(false, 1002, "another key"))
    clients[0]!.say("close", 1010, "k")
    round(clients, board, 1011)
    assert.deepStrictEqual(phases(), [0, 0, 0])
    assert.isFalse(clients[2]!.run(false, 1012, "another key"))
  })

  it("given by two operators at once is one and the same for all", () => {
    const { board, clients, phases } = fleet(3)
    clients[0]!.say("isolate", 1000)
    clients[2]!.say("disable", 1000)
    round(clients, board, 1001)
    assert.deepStrictEqual(phases(), [4, 4, 4])
  })

  it("survives the board, and is learned by members to come", () => {
    const { board, clients } = fleet(2)
    clients[0]!.say("isolate", 1000)
    round(clients, board, 1001)
    board.wipe()
    round(clients, board, 1100)
    const late = new Client({ id: "late" })
    exchange(late, board, 1200)
    assert.strictEqual(late.phase(), Circuit.Isolated)
  })

  it("that closes ends what the fleet had found out, and an answer on its way does not open it again", () => {
    const { board, clients, phases } = openFleet()
    const report = clients[0]!.member.makeReport(1500)
    const news = board.sync(report, 1500)
    clients[0]!.say("close", 1501)
    clients[0]!.member.news(report, news, 1500, 1502, 0)
    assert.strictEqual(clients[0]!.phase(), Circuit.Closed)
    round(clients, board, 1510)
    assert.deepStrictEqual(phases(), [0, 0, 0, 0])
  })
})

describe("a board that lost everything", () => {
  it("is filled again by its members", () => {
    const { board, clients } = openFleet()
    const { generation } = clients[0]!.link("k")
    board.wipe()
    round(clients, board, 1200)
    const late = new Client({ id: "late" })
    exchange(late, board, 1250)
    assert.isFalse(late.run(true, 1251))
    assert.isAtLeast(late.link("k").generation, generation)
  })

  it("or was restored from before goes on as another one", () => {
    const { board, clients } = fleet(2)
    const old = board.copy()
    clients[0]!.say("isolate", 1000)
    round(clients, board, 1001)
    const { inc } = exchange(clients[0]!, board, 1100)
    board.rows = old
    const again = exchange(clients[0]!, board, 1200)
    assert.notStrictEqual(again.inc, inc)
    round(clients, board, 1300)
    const late = new Client({ id: "late" })
    exchange(late, board, 1400)
    assert.strictEqual(late.phase(), Circuit.Isolated)
  })
})

describe("a board that does not answer", () => {
  it("is asked less and less often, at most every two seconds", () => {
    const [client] = fleet(1).clients
    let now = 1000
    const pauses = Array.from({ length: 8 }, () => {
      client!.member.makeReport(now)
      client!.member.missed(now, 0.999)
      const due = client!.member.due(now)
      const pause = due - now
      now = due
      return Math.round(pause)
    })
    assert.deepStrictEqual(pauses, [200, 400, 800, 1599, 1999, 1999, 1999, 1999])
  })
})

describe("settings that differ", () => {
  it("are reported by the member that came later", () => {
    const board = new TestBoard()
    const old = new Client({ id: "old" })
    const deployed = new Client({ id: "new", settings: { quorum: 0.3 } })
    exchange(old, board, 0)
    exchange(deployed, board, 1)
    assert.deepStrictEqual([old.member.differs, deployed.member.differs], [false, true])
  })
})
