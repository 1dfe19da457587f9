/** Where a row of the matrix plays: processes that have joined one fleet, and a board to which things happen. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Effect, Exit, Layer, Scope } from "effect"
import * as SharedThreads from "effect-resilience/shared/Threads"
import { RedisServer } from "../../support/redis.ts"
import { Kid, until } from "./kids.ts"
import type { Backend, Fleet } from "./process.ts"
import { Proxy } from "./proxy.ts"

interface Board {
  readonly where: string
  /** No report is answered until it goes on. */
  readonly stop: () => Promise<void>
  readonly goOn: () => Promise<void>
  /** It loses everything. */
  readonly lose: () => Promise<void>
  /** It is as it was when it was saved. */
  readonly save: () => Promise<void>
  readonly restore: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Idle processes are taken again: a start costs more than a row. */
export class Kids {
  private idle: Array<Kid> = []
  private readonly all: Array<Kid> = []

  take(isThread = false): Kid {
    const kid = this.idle.find((one) => one.isThread === isThread)
    if (kid !== undefined) {
      this.idle = this.idle.filter((one) => one !== kid)
      return kid
    }
    const made = new Kid(isThread)
    this.all.push(made)
    return made
  }

  giveBack(kids: ReadonlyArray<Kid>): void {
    for (const kid of kids) {
      if (kid.isDead) continue
      kid.leave()
      this.idle.push(kid)
    }
  }

  end(): void {
    for (const kid of this.all) kid.kill()
  }
}

const ends = ["", "-wal", "-shm"]

const file = (kids: Kids): Board => {
  const directory = mkdtempSync(join(tmpdir(), "fleet-"))
  const where = join(directory, "board.db")
  const saved = join(directory, "saved.db")
  let holder: Kid | undefined
  const goOn = async () => {
    holder?.kill()
    holder = undefined
  }
  return {
    where,
    stop: async () => {
      const kid = kids.take()
      holder = kid
      await kid.hold(where)
      kid.signal("SIGSTOP")
    },
    goOn,
    lose: async () => {
      for (const end of ends) rmSync(where + end, { force: true })
    },
    save: async () => {
      const database = new DatabaseSync(where, { timeout: 5000 })
      database.exec(`VACUUM INTO '${saved}'`)
      database.close()
    },
    restore: async () => {
      for (const end of ends.slice(1)) rmSync(where + end, { force: true })
      renameSync(saved, where)
    },
    close: async () => {
      await goOn()
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

/** Overwrites a file with what is no database. */
export const spoil = (path: string): void => {
  for (const end of ends.slice(1)) rmSync(path + end, { force: true })
  writeFileSync(path, "no database ".repeat(1000))
}

const redis = async (): Promise<Board> => {
  const server = await RedisServer.start()
  return {
    where: String(server.port),
    stop: async () => server.signal("SIGSTOP"),
    goOn: async () => server.signal("SIGCONT"),
    lose: async () => {
      await server.crash()
      await server.run()
    },
    save: () => server.save(),
    restore: async () => {
      await server.crash()
      await server.run("saved")
    },
    close: () => server.stop()
  }
}

/** In this thread. It stands still while it is not there, and has lost everything when it is back. */
const memory = async (): Promise<Board> => {
  const where = `threads-${Math.random().toString(36).slice(2)}`
  let scope: Scope.Closeable | undefined
  const goOn = async () => {
    const own = Scope.makeUnsafe()
    scope = own
    await Effect.runPromise(Layer.buildWithScope(SharedThreads.layer({ name: where, keeps: true }), own))
  }
  const stop = async () => {
    if (scope !== undefined) await Effect.runPromise(Scope.close(scope, Exit.void))
    scope = undefined
  }
  await goOn()
  const never = () => Promise.reject(new Error("a board of threads is not saved"))
  return {
    where,
    stop,
    goOn,
    lose: async () => {
      await stop()
      await goOn()
    },
    save: never,
    restore: never,
    close: stop
  }
}

const boardOf = async (backend: Backend, kids: Kids): Promise<Board> => {
  switch (backend) {
    case "sqlite":
      return file(kids)
    case "redis":
      return redis()
    case "threads":
      return memory()
  }
}

export interface Plan {
  readonly size: number
  readonly fleet?: Partial<Fleet> | undefined
  /** Milliseconds by which the wall clock of each process is wrong. */
  readonly skews?: ReadonlyArray<number> | undefined
  /** The number of the way on which each process reaches the board, when it does not reach it directly. */
  readonly ways?: ReadonlyArray<number> | undefined
}

export class Stage {
  readonly backend: Backend
  readonly board: Board
  kids: ReadonlyArray<Kid> = []
  ways: ReadonlyArray<Proxy> = []
  private readonly pool: Kids
  private readonly plan: Plan
  private readonly name: string

  private constructor(backend: Backend, board: Board, pool: Kids, plan: Plan) {
    this.backend = backend
    this.board = board
    this.pool = pool
    this.plan = plan
    this.name = `fleet-${Math.random().toString(36).slice(2)}`
  }

  static async open(backend: Backend, pool: Kids, plan: Plan): Promise<Stage> {
    const board = await boardOf(backend, pool)
    const stage = new Stage(backend, board, pool, plan)
    try {
      const count = Math.max(0, ...(plan.ways ?? []).map((way) => way + 1))
      stage.ways = await Promise.all(Array.from({ length: count }, () => Proxy.start(Number(board.where))))
      stage.kids = Array.from({ length: plan.size }, () => pool.take(backend === "threads"))
      await Promise.all(stage.kids.map((kid, index) => kid.join(stage.fleet(index))))
      await stage.inTouch()
    } catch (error) {
      await stage.close()
      throw error
    }
    return stage
  }

  private fleet(index: number): Fleet {
    const { fleet, skews, ways } = this.plan
    const way = this.ways[ways?.[index] ?? -1]
    return {
      name: this.name,
      backend: this.backend,
      where: way === undefined ? this.board.where : String(way.port),
      skew: skews?.[index] ?? 0,
      ...fleet
    }
  }

  /** One more process. */
  async newcomer(): Promise<Kid> {
    const kid = this.pool.take(this.backend === "threads")
    this.kids = [...this.kids, kid]
    await kid.join(this.fleet(this.kids.length))
    return kid
  }

  get living(): ReadonlyArray<Kid> {
    return this.kids.filter(({ isDead }) => !isDead)
  }

  /** Waits until all are in touch, and know how many they are. */
  inTouch(): Promise<number> {
    const { living } = this
    return until(living, "all in touch", ({ inTouch, members }) => inTouch && members === living.length)
  }

  down(isDown: boolean): void {
    for (const kid of this.living) kid.world({ isDown })
  }

  async close(): Promise<void> {
    this.pool.giveBack(this.kids)
    for (const way of this.ways) way.stop()
    await this.board.close()
  }
}

/** What a row needs, and what it does. */
export interface Playable {
  readonly plan: Plan
  readonly play: (stage: Stage) => Promise<string>
}

/** Milliseconds after which a row hangs. */
const longest = 180_000

/** Plays one row; returns what was measured, and fails when something does not hold. */
export const playRow = async ({ plan, play }: Playable, backend: Backend, kids: Kids): Promise<string> => {
  const stage = await Stage.open(backend, kids, plan)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it has not ended after ${longest / 1000} s`)), longest)
  })
  try {
    return await Promise.race([play(stage), late])
  } finally {
    clearTimeout(timer)
    await stage.close()
  }
}
