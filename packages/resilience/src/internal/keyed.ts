/** Keyed state: one entry per key, bounded, made on first use. */

import type * as Duration from "effect/Duration"
import * as Registry from "../machine/Registry.ts"
import * as Options from "./options.ts"
import * as Time from "./time.ts"
import type { AnyFiber } from "./types.ts"

/**
 * How much keyed state is kept.
 */
export interface KeysOptions {
  /** Keys kept at the same time, an integer >= 1. Default: 10,000. */
  readonly maxKeys?: number | undefined
  /** A key that nobody used for so long may be forgotten, unless a call is in it, an operator holds its circuit, or its circuit is open and not yet due for a probe. Default: 1 hour. */
  readonly idleTimeToLive?: Duration.Input | undefined
}

/** Defaults of keyed state; the only place where they stand. */
export const defaults = { maxKeys: 10_000, idleTimeToLive: "1 hour" } as const

/**
 * The key under which calls are counted when the map is full of entries that must not be forgotten: they share one
 * entry, so that memory stays bounded and every call stays protected.
 */
export const overflowKey = "(overflow)"

export class Keyed<T extends Registry.Entry> {
  readonly registry: Registry.Registry<T>
  private readonly make: (key: string, now: number) => T
  private overflow: T | undefined

  constructor(
    where: string,
    options: KeysOptions | undefined,
    make: (key: string, now: number) => T,
    pinned: (entry: T, now: number) => boolean
  ) {
    if (options !== undefined) Options.known(`${where}.keys`, options, ["maxKeys", "idleTimeToLive"])
    this.make = make
    this.registry = Registry.make(
      Options.integer(where, "keys.maxKeys", options?.maxKeys ?? defaults.maxKeys, 1),
      Options.millis(where, "keys.idleTimeToLive", options?.idleTimeToLive ?? defaults.idleTimeToLive, {
        infinite: true
      }),
      pinned
    )
  }

  /** The entry of a key, made if need be. Whether it was used is for the caller to say: most know the time only later. */
  get(key: string, fiber: AnyFiber): T {
    return this.registry.entries.get(key) ?? this.add(key, Time.monotonicMillis(fiber))
  }

  /** The entry of a key, without making one. */
  peek(key: string): T | undefined {
    return this.registry.entries.get(key)
  }

  /** The entry of a key that must have one of its own: an operator's word holds for its key, and such keys are few. */
  insist(key: string, now: number): T {
    return this.own(key, now) ?? Registry.insist(this.registry, key, (key) => this.make(key, now))
  }

  /** The entry of a key alone, never the shared one: `undefined` when there is no room for it. */
  own(key: string, now: number): T | undefined {
    const found = this.registry.entries.get(key)
    if (found !== undefined) return found
    return Registry.add(this.registry, key, now, (key) => this.make(key, now))
  }

  private add(key: string, now: number): T {
    const own = this.own(key, now)
    if (own !== undefined) return own
    this.overflow ??= this.make(overflowKey, now)
    return this.overflow
  }

  delete(key: string): void {
    this.registry.entries.delete(key)
  }

  /** The entries of keys. */
  kept(): IterableIterator<T> {
    return this.registry.entries.values()
  }

  /** Every entry, the shared one last. */
  *all(): IterableIterator<T> {
    yield* this.kept()
    if (this.overflow !== undefined) yield this.overflow
  }
}
