/** Laws of the fuse's machine, on random sequences of what may happen to it. */
import { assert, describe, it } from "@effect/vitest"
import * as Machine from "../../packages/resilience/src/machine/Fuse.ts"
import { seeded } from "../support/random.ts"
import { sample } from "../support/sample.ts"

const hold = (seed: number): void => {
  const random = seeded(seed)
  const settings: Machine.Settings = {
    shorts: 1 + Math.floor(random() * 5),
    initial: Math.floor(random() * 1000),
    factor: 1 + random() * 2,
    max: 5000,
    jitter: random(),
    manual: random() < 0.5
  }
  const fuse = Machine.make(settings)
  let now = 0
  for (let step = 0; step < 300; step++) {
    now += Math.floor(random() * 400)
    const before = { ...fuse }
    const wasTripped = Machine.isTripped(fuse, now)
    const asked = random() < 0.2 ? random() * 3000 : undefined
    const chance = random()
    const kind = random()
    if (kind < 0.8) {
      const pause = Machine.short(fuse, now, chance, asked)
      assert.strictEqual(fuse.totalShorts, before.totalShorts + 1)
      // One that was tripped counts no short and trips no second time.
      if (wasTripped) assert.deepStrictEqual(fuse, { ...before, totalShorts: fuse.totalShorts })
      else if (before.shorts + 1 < settings.shorts) assert.deepStrictEqual([pause, fuse.trips], [0, before.trips])
      else assert.strictEqual(fuse.trips, before.trips + 1)
      if (fuse.trips > before.trips && asked !== undefined) assert.isAtLeast(pause, asked - 1e-6)
      if (fuse.trips > before.trips && asked === undefined) {
        assert.isTrue(pause >= before.pause * (1 - settings.jitter) - 1e-6)
        assert.isTrue(pause <= before.pause * (1 + settings.jitter) + 1e-6)
      }
    } else if (kind < 0.9) {
      assert.isAtLeast(Machine.trip(fuse, now, chance, asked), 0)
      assert.isAtLeast(fuse.until, before.until)
    } else if (kind < 0.95) {
      Machine.reset(fuse)
      assert.isFalse(Machine.isTripped(fuse, now))
    } else Machine.resetBackoff(fuse)
    assert.isBelow(fuse.shorts, settings.shorts)
    assert.isTrue(fuse.pause >= settings.initial && fuse.pause <= settings.max)
    assert.isTrue(!fuse.broken || settings.manual)
    assert.isAtLeast(fuse.trips, before.trips)
  }
}

describe("a fuse", () => {
  it("keeps its laws in any order of shorts, trips and resets", () => {
    for (let seed = 1; seed <= sample(100, 300); seed++) hold(seed)
  })
})
