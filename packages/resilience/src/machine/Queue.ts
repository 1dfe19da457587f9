/**
 * The permits of a bulkhead and the queue for them: at most `limit` permits are held, at most `room` without those `beside` it, and at most
 * `maxQueued` callers wait. Within a class the first to come is the first to be served, except that tenants take turns: then that holds
 * within a tenant.
 *
 * A class is a rank from 0, the most important. A higher class is served first. The two lowest may use a share of the permits only, so
 * that a higher class finds one free. Of {@link turn} permits in a row that higher classes are given while a lower one waits, the next
 * goes to the caller of a lower class that has waited longest: no class starves.
 */
import * as LinkedList from "./LinkedList.ts"
import * as Turns from "./Turns.ts"

export interface Queue<T> extends LinkedList.LinkedList<Waiter<T>> {
  limit: number
  /** The permits that a fleet leaves to this process, or a limit that was found out; {@link unbounded} without one. */
  room: number
  /** Of those that run, the ones that take no place of `room`. */
  beside: number
  maxQueued: number
  running: number
  waiting: number
  /** The callers that wait, of all classes but {@link usual}, and their tenants; nothing until there was one of either. */
  classes: Classes<T> | undefined
}

interface Classes<T> {
  /** By rank; that of {@link usual} is the queue itself. */
  readonly lists: ReadonlyArray<LinkedList.LinkedList<Waiter<T>>>
  /** Callers that wait, by rank; that of {@link usual} is not counted. */
  readonly counts: Array<number>
  /** Permits in a row that went to a class above one that waits. */
  passed: number
  /** Callers that have waited since there were classes or tenants. */
  order: number
  /** The tenants of a class, by rank; nothing until a caller waits that names one. */
  readonly turns: Array<Turns.Turns<Waiter<T>> | undefined>
}

export interface Waiter<T> extends LinkedList.Node<Waiter<T>> {
  readonly value: T
  readonly rank: number
  /** Its number among the callers that have waited; 0 of one that came before there were classes or tenants. */
  readonly order: number
  /** Its tenant, as far as there was one when it came. */
  readonly lane: Turns.Lane<Waiter<T>> | undefined
}

/** The rank of a caller that says nothing. */
export const usual = 1

/** The share of the permits that the callers of a class may use, by rank. */
export const shares: ReadonlyArray<number> = [1, 1, 0.75, 0.5]

/** After as many permits in a row for higher classes one goes to a lower class. */
export const turn = 15

/** More permits than any queue has. */
export const unbounded = 0x3fff_ffff

export const make = <T>(limit: number, maxQueued: number): Queue<T> => ({
  limit,
  room: unbounded,
  beside: 0,
  maxQueued,
  running: 0,
  waiting: 0,
  classes: undefined,
  first: undefined,
  last: undefined
})

const listOf = <T>(self: Queue<T>, rank: number): LinkedList.LinkedList<Waiter<T>> | undefined =>
  rank === usual ? self : self.classes?.lists[rank]

const firstOf = <T>(self: Queue<T>, rank: number): Waiter<T> | undefined => {
  const turns = self.classes?.turns[rank]
  return turns === undefined ? listOf(self, rank)?.first : Turns.first(turns)
}

/** Is a permit free for a class? */
const isFreeFor = <T>({ beside, limit, room, running }: Queue<T>, rank: number): boolean =>
  running < Math.ceil(limit * shares[rank]!) && running - beside < Math.ceil(room * shares[rank]!)

/** Does a caller of this class, or of a higher one, wait? */
const isBehind = <T>(self: Queue<T>, rank: number): boolean => {
  if (self.classes === undefined) return self.waiting > 0 && rank >= usual
  for (let higher = 0; higher <= rank; higher++) if (firstOf(self, higher) !== undefined) return true
  return false
}

/** Acquires a permit if one is free and no caller of the same or a higher class waits for it. */
export const tryAcquire = <T>(self: Queue<T>, rank = usual): boolean => {
  if (!isFreeFor(self, rank) || (self.waiting > 0 && isBehind(self, rank))) return false
  self.running += 1
  return true
}

const classesOf = <T>(self: Queue<T>): Classes<T> => {
  self.classes ??= {
    lists: shares.map(() => LinkedList.make()),
    counts: shares.map(() => 0),
    passed: 0,
    order: 0,
    turns: shares.map(() => undefined)
  }
  return self.classes
}

/** The lane of a caller that comes; `undefined` as long as no caller of its class has named a tenant. */
const laneOf = <T>(self: Queue<T>, rank: number, tenant: string | undefined): Turns.Lane<Waiter<T>> | undefined => {
  let turns = self.classes?.turns[rank]
  if (turns === undefined) {
    if (tenant === undefined) return undefined
    turns = Turns.make()
    // Callers without a tenant stay where they are.
    const waiting = waitingOf(self, rank)
    if (waiting > 0) Turns.add(turns, undefined, listOf(self, rank)!, waiting)
    classesOf(self).turns[rank] = turns
  }
  const known = turns.byTenant.get(tenant)
  return known ?? Turns.add(turns, tenant, tenant === undefined ? listOf(self, rank)! : LinkedList.make(), 0)
}

/** Adds a waiter to the end of its class, or of its tenant in it; `undefined` when `most` wait already. */
export const enqueue = <T>(
  self: Queue<T>,
  value: T,
  most = self.maxQueued,
  rank = usual,
  tenant?: string
): Waiter<T> | undefined => {
  if (self.waiting >= most) return undefined
  if (rank !== usual) classesOf(self)
  const { classes } = self
  const order = classes === undefined ? 0 : ++classes.order
  const lane = laneOf(self, rank, tenant)
  const waiter: Waiter<T> = { value, rank, order, lane, linked: false, previous: undefined, next: undefined }
  // Just created: the list of every class but the usual one, and the turns of a lane.
  if (lane === undefined) LinkedList.append(listOf(self, rank)!, waiter)
  else Turns.append(self.classes!.turns[rank]!, lane, waiter)
  if (classes !== undefined && rank !== usual) classes.counts[rank]! += 1
  self.waiting += 1
  return waiter
}

/**
 * The caller that came last of the lowest class below `rank` that has more than an eighth of the places: its place is that of a more
 * important one. Without such a class, of the tenant of this class of which most wait: its place is that of a tenant of which at least two
 * fewer do. It has left the queue then.
 */
export const displace = <T>(self: Queue<T>, rank: number, tenant?: string): Waiter<T> | undefined =>
  displaceLower(self, rank) ?? displaceTenant(self, rank, tenant)

const displaceTenant = <T>(self: Queue<T>, rank: number, tenant: string | undefined): Waiter<T> | undefined => {
  const turns = self.classes?.turns[rank]
  // A class without tenants is one.
  if (turns === undefined && tenant === undefined) return undefined
  const newest =
    turns === undefined
      ? waitingOf(self, rank) > 1
        ? listOf(self, rank)?.last
        : undefined
      : Turns.surplus(turns, Turns.sizeOf(turns, tenant) + 1)
  return newest !== undefined && leave(self, newest) ? newest : undefined
}

const newestOf = <T>(self: Queue<T>, rank: number): Waiter<T> | undefined => {
  const turns = self.classes?.turns[rank]
  return turns === undefined ? listOf(self, rank)?.last : Turns.surplus(turns, 0)
}

const displaceLower = <T>(self: Queue<T>, rank: number): Waiter<T> | undefined => {
  // With calls of one class there is no lower one, except that all may be lower than the first of the highest.
  if (self.classes === undefined && rank >= usual) return undefined
  const kept = Math.ceil((self.maxQueued - 1) / 8)
  for (let lower = shares.length - 1; lower > rank; lower--) {
    if (waitingOf(self, lower) <= kept) continue
    const newest = newestOf(self, lower)
    if (newest !== undefined && leave(self, newest)) return newest
  }
  return undefined
}

const waitingOf = <T>({ classes, waiting }: Queue<T>, rank: number): number => {
  if (classes === undefined) return rank === usual ? waiting : 0
  return rank === usual ? waiting - classes.counts.reduce((sum, count) => sum + count, 0) : classes.counts[rank]!
}

/** Any caller that waits. */
export const anyWaiting = <T>(self: Queue<T>): Waiter<T> | undefined => {
  for (let rank = 0; rank < shares.length; rank++) {
    const waiter = firstOf(self, rank)
    if (waiter !== undefined) return waiter
  }
  return undefined
}

/** Leaves the queue. `false` when the waiter was not in it any more: then it holds a permit. */
export const leave = <T>(self: Queue<T>, waiter: Waiter<T>): boolean => {
  const { rank } = waiter
  const list = waiter.lane?.waiters ?? listOf(self, rank)
  if (list === undefined || !LinkedList.remove(list, waiter)) return false
  self.waiting -= 1
  if (self.classes !== undefined && rank !== usual) self.classes.counts[rank]! -= 1
  const turns = self.classes?.turns[rank]
  if (turns === undefined) return true
  // One that came before the first tenant has the lane of those without.
  const lane = turns.byTenant.get(waiter.lane?.tenant)
  if (lane !== undefined) Turns.left(turns, lane)
  // Without tenants the class is as it was before.
  if (turns.lanes.first === undefined) classesOf(self).turns[rank] = undefined
  return true
}

/** The first caller of the highest class that waits; after {@link turn} such permits the one of a lower class that came first. */
const nextOf = <T>(self: Queue<T>, classes: Classes<T>): Waiter<T> | undefined => {
  let next: Waiter<T> | undefined
  let passed: Waiter<T> | undefined
  for (let rank = 0; rank < shares.length; rank++) {
    const waiter = firstOf(self, rank)
    if (waiter === undefined) continue
    if (next === undefined) next = waiter
    else if (passed === undefined || waiter.order < passed.order) passed = waiter
  }
  if (passed !== undefined && classes.passed >= turn) {
    classes.passed = 0
    return passed
  }
  if (next === undefined || !isFreeFor(self, next.rank)) return undefined
  classes.passed = passed === undefined ? 0 : classes.passed + 1
  return next
}

/** Gives a free permit to the next waiter, which the caller wakes. Call until it returns `undefined`. */
export const grantNext = <T>(self: Queue<T>): Waiter<T> | undefined => {
  if (self.waiting === 0 || self.running >= self.limit || self.running - self.beside >= self.room) return undefined
  const waiter = self.classes === undefined ? firstOf(self, usual) : nextOf(self, self.classes)
  if (waiter === undefined) return undefined
  leave(self, waiter)
  const turns = self.classes?.turns[waiter.rank]
  const lane = turns?.byTenant.get(waiter.lane?.tenant)
  if (turns !== undefined && lane !== undefined) Turns.served(turns, lane)
  self.running += 1
  return waiter
}

/** Releases a permit. Follow with {@link grantNext}. */
export const release = <T>(self: Queue<T>): void => {
  self.running -= 1
}
