/**
 * Callers of one class that wait, by tenant: the tenants take turns, and within a tenant the order is that of arrival. A tenant is known
 * only while one of its callers waits, so there are at most as many as places. Every step costs the same with ten thousand tenants as
 * with two.
 */
import * as LinkedList from "./LinkedList.ts"

export interface Turns<W extends LinkedList.Node<W>> {
  /** The tenants of which callers wait; the first has the next turn. */
  readonly lanes: LinkedList.LinkedList<Lane<W>>
  /** Of callers that name no tenant the key is `undefined`. */
  readonly byTenant: Map<string | undefined, Lane<W>>
  /** The tenants by the number of their callers that wait. */
  readonly bySize: Array<LinkedList.LinkedList<Place<W>>>
  /** The largest such number. */
  largest: number
}

/** A tenant. */
export interface Lane<W extends LinkedList.Node<W>> extends LinkedList.Node<Lane<W>> {
  readonly tenant: string | undefined
  readonly waiters: LinkedList.LinkedList<W>
  size: number
  /** Where it is in `bySize`. */
  readonly place: Place<W>
}

interface Place<W extends LinkedList.Node<W>> extends LinkedList.Node<Place<W>> {
  readonly lane: Lane<W> | undefined
}

export const make = <W extends LinkedList.Node<W>>(): Turns<W> => ({
  lanes: LinkedList.make(),
  byTenant: new Map(),
  bySize: [],
  largest: 0
})

/** Adds a tenant with `size` callers that wait already. */
export const add = <W extends LinkedList.Node<W>>(
  self: Turns<W>,
  tenant: string | undefined,
  waiters: LinkedList.LinkedList<W>,
  size: number
): Lane<W> => {
  const place: { -readonly [K in keyof Place<W>]: Place<W>[K] } = {
    linked: false,
    previous: undefined,
    next: undefined,
    lane: undefined
  }
  const lane: Lane<W> = { tenant, waiters, size, place, linked: false, previous: undefined, next: undefined }
  place.lane = lane
  self.byTenant.set(tenant, lane)
  LinkedList.append(self.lanes, lane)
  LinkedList.append(ofSize(self, size), place)
  self.largest = Math.max(self.largest, size)
  return lane
}

const ofSize = <W extends LinkedList.Node<W>>({ bySize }: Turns<W>, size: number): LinkedList.LinkedList<Place<W>> => {
  for (let i = bySize.length; i <= size; i++) bySize.push(LinkedList.make())
  // Just added if it was missing.
  return bySize[size]!
}

const resize = <W extends LinkedList.Node<W>>(self: Turns<W>, lane: Lane<W>, size: number): void => {
  LinkedList.remove(ofSize(self, lane.size), lane.place)
  lane.size = size
  if (size > 0) LinkedList.append(ofSize(self, size), lane.place)
  if (size > self.largest) self.largest = size
  // It was the only one of the largest size; now it is one smaller.
  else if (ofSize(self, self.largest).first === undefined) self.largest = size
}

/** Adds a caller to the end of its tenant. */
export const append = <W extends LinkedList.Node<W>>(self: Turns<W>, lane: Lane<W>, waiter: W): void => {
  LinkedList.append(lane.waiters, waiter)
  resize(self, lane, lane.size + 1)
}

/** A caller has left the list of its tenant. */
export const left = <W extends LinkedList.Node<W>>(self: Turns<W>, lane: Lane<W>): void => {
  resize(self, lane, lane.size - 1)
  if (lane.size > 0) return
  LinkedList.remove(self.lanes, lane)
  self.byTenant.delete(lane.tenant)
}

/** A caller of the tenant had its turn. */
export const served = <W extends LinkedList.Node<W>>(self: Turns<W>, lane: Lane<W>): void => {
  if (LinkedList.remove(self.lanes, lane)) LinkedList.append(self.lanes, lane)
}

export const first = <W extends LinkedList.Node<W>>({ lanes }: Turns<W>): W | undefined => lanes.first?.waiters.first

/** The caller that came last of the tenant of which most wait, if more than `than` do. */
export const surplus = <W extends LinkedList.Node<W>>({ bySize, largest }: Turns<W>, than: number): W | undefined =>
  largest > than ? bySize[largest]?.first?.lane?.waiters.last : undefined

/** How many callers of a tenant wait. */
export const sizeOf = <W extends LinkedList.Node<W>>({ byTenant }: Turns<W>, tenant: string | undefined): number =>
  byTenant.get(tenant)?.size ?? 0
