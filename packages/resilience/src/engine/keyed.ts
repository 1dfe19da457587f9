/** Keyed state: one entry per key, bounded in number, created on first use. */

import * as Registry from "../machine/Registry.ts"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type { KeyOptions } from "../Types.ts"

export interface KeySettings {
  readonly maxKeys: number
  /** Milliseconds. */
  readonly idleTimeToLive: number
}

/** The settings of `keys`; the defaults stand here. */
export const resolve = (where: string, options: KeyOptions = {}): KeySettings => {
  Check.noUnknown(Check.inside(where, "keys"), options, ["maxKeys", "idleTimeToLive"])
  return {
    maxKeys: Check.integer(where, "keys.maxKeys", Check.orDefault(options.maxKeys, 10_000), 1),
    idleTimeToLive: Check.millis(where, "keys.idleTimeToLive", Check.orDefault(options.idleTimeToLive, "1 hour"), {
      infinite: true
    })
  }
}

/**
 * The key of the one entry that all further keys share when the map is full of entries that must not be dropped: memory stays
 * bounded, and every call stays protected.
 */
export const overflowKey = "(overflow)"

export class Keyed<T extends Registry.Entry> {
  readonly registry: Registry.Registry<T>
  private readonly make: (key: string, now: number) => T
  private overflow: T | undefined
  /** When an entry of a snapshot was used last, for those that were not used since. */
  private before: WeakMap<T, { readonly usedAt: number; readonly mark: number }> | undefined

  constructor(
    { idleTimeToLive, maxKeys }: KeySettings,
    make: (key: string, now: number) => T,
    pinned: (entry: T, now: number) => boolean,
    dropped?: (entry: T, now: number) => void
  ) {
    this.make = make
    this.registry = Registry.make(maxKeys, idleTimeToLive, pinned, dropped)
  }

  /** Keeps idle entries for another time; how many there may be stays as it is. */
  retune({ idleTimeToLive }: KeySettings): void {
    this.registry.idleTimeToLive = idleTimeToLive
  }

  /** The entry of a key, created if need be. The caller updates `lastUsed`: most know the time only later. */
  get(key: string, fiber: AnyFiber): T {
    return this.registry.entries.get(key) ?? this.add(key, Time.monotonicMillis(fiber))
  }

  /** The entry of a key, without creating one. */
  peek(key: string): T | undefined {
    return this.registry.entries.get(key)
  }

  /** The entry that further keys share, if there is one. */
  get shared(): T | undefined {
    return this.overflow
  }

  /** An entry for this key alone, beyond `maxKeys` if need be: a command of an operator holds for its key. */
  ensure(key: string, now: number): T {
    return this.getDedicated(key, now) ?? Registry.ensure(this.registry, key, (key) => this.make(key, now))
  }

  /** The entry of this key alone, never the shared one: `undefined` when there is no room for it. */
  getDedicated(key: string, now: number): T | undefined {
    const found = this.registry.entries.get(key)
    if (found !== undefined) return found
    return Registry.add(this.registry, key, now, (key) => this.make(key, now))
  }

  private add(key: string, now: number): T {
    const dedicated = this.getDedicated(key, now)
    if (dedicated !== undefined) return dedicated
    this.overflow ??= this.make(overflowKey, now)
    return this.overflow
  }

  delete(key: string, now: number): void {
    const entry = this.registry.entries.get(key)
    if (entry !== undefined) Registry.drop(this.registry, entry, now)
  }

  get isEmpty(): boolean {
    return this.registry.entries.size === 0 && this.overflow === undefined
  }

  /** Counts an entry of a snapshot as used now, so that it is not idle, and remembers when it was used. */
  restoreUse(entry: T, usedAt: number, now: number): void {
    // A use of this millisecond leaves another time.
    const mark = Math.floor(now) - 1
    entry.lastUsed = mark
    this.before ??= new WeakMap()
    this.before.set(entry, { usedAt, mark })
  }

  /** When an entry was used last, in this process or in one before. */
  usedAt(entry: T): number {
    const before = this.before?.get(entry)
    return before?.mark === entry.lastUsed ? before.usedAt : entry.lastUsed
  }

  /** How many entries of single keys there are. */
  get size(): number {
    return this.registry.entries.size
  }

  /** The entries of single keys. */
  values(): IterableIterator<T> {
    return this.registry.entries.values()
  }

  /** Every entry, the shared one last. */
  *all(): IterableIterator<T> {
    yield* this.values()
    if (this.overflow !== undefined) yield this.overflow
  }
}
