import { Script } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { Engine } from "@effect-resilience/lab"
import { link } from "../../packages/lab/src/internal/linker.ts"
import { Realm, realmOf } from "../../packages/lab/src/internal/realm.ts"

/** A program of the realm, which notes down what it likes. */
const run = (program: string, until: number, seed = 1): ReadonlyArray<unknown> => {
  const engine = Engine.make({ seed })
  const realm = new Realm(engine)
  const notes: Array<unknown> = []
  const source = new Script(`((note) => { ${program} })`)
  const start = realm.run(source) as (note: (what: unknown) => void) => void // as it is written above
  realm.enter(() => start((what) => notes.push(what)))
  engine.runUntil(until)
  return notes
}

describe("a realm", () => {
  it("has the world's time and timers", () => {
    const notes = run(
      `const began = Date.now()
       const at = (what) => () => note([what, Date.now() - began, new Date().getTime() - began, performance.now()])
       setTimeout(at("fraction"), 10.9)
       setTimeout(at("none"))
       setTimeout((...given) => note(given), 20, 1, 2)
       clearTimeout(setTimeout(at("cleared"), 5))
       clearTimeout(undefined)
       const every = setInterval(() => { at("every")(); if (performance.now() > 60) clearInterval(every) }, 25).unref()`,
      1000
    )
    assert.deepStrictEqual(notes, [
      ["none", 1, 1, 1],
      ["fraction", 10, 10, 10],
      [1, 2],
      ["every", 25, 25, 25],
      ["every", 50, 50, 50],
      ["every", 75, 75, 75]
    ])
  })

  it("runs promises to their end before time goes on", () => {
    const notes = run(
      `const deep = async (n) => { if (n === 0) return performance.now(); await null; return deep(n - 1) }
       setTimeout(async () => { note(await deep(50)); note(await new Promise((done) => setTimeout(() => done("later"), 1))) }, 7)
       setTimeout(() => note("next"), 8)
       queueMicrotask(() => note("micro"))`,
      100
    )
    assert.deepStrictEqual(notes, ["micro", 7, "next", "later"])
  })

  it("runs no promise in the middle of something else", () => {
    const engine = Engine.make({ seed: 1 })
    const realm = new Realm(engine)
    const order: Array<string> = []
    const note = (what: string) => (): void => void order.push(what)
    realm.enter(() => {
      realm.settled(
        realm.promise((resolve) => resolve()),
        note("promise"),
        note("never")
      )
      realm.enter(note("inner"))
      note("outer")()
    })
    assert.deepStrictEqual(order, ["inner", "outer", "promise"])
  })

  it("has chance that the seed decides", () => {
    const program = "note(Math.random()); note(Math.random())"
    assert.deepStrictEqual(run(program, 0), run(program, 0))
    assert.notDeepEqual(run(program, 0), run(program, 0, 2))
  })

  it("is one for a world, and for that world alone", () => {
    const engine = Engine.make({ seed: 1 })
    assert.strictEqual(realmOf(engine), realmOf(engine))
    assert.notStrictEqual(realmOf(engine), realmOf(Engine.make({ seed: 1 })))
    const cockatiel = realmOf(engine).load("cockatiel")
    assert.strictEqual(realmOf(engine).load("cockatiel"), cockatiel)
    assert.notStrictEqual(realmOf(Engine.make({ seed: 1 })).load("cockatiel"), cockatiel)
  })
})

describe("the linker", () => {
  it("finds all that a package exports", async () => {
    const outside = await import("cockatiel")
    const inside = new Realm(Engine.make({ seed: 1 })).load("cockatiel") as object // a module
    assert.deepStrictEqual(Object.keys(inside).sort(), Object.keys(outside).sort())
    assert.isTrue(Object.values(inside).every((one) => one !== undefined))
  })

  it("says what to do when a package is missing", () => {
    assert.throws(
      () => link("no-such-package", () => undefined),
      "this sender runs the package no-such-package, which is not installed: npm install no-such-package"
    )
  })
})
