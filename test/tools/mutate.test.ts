import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { modulesOf } from "../../packages/tools/src/mutate/job.ts"
import { asks, instrument, type Mutant, mutantsOf } from "../../packages/tools/src/mutate/mutants.ts"
import { run, type Verdict } from "../../packages/tools/src/mutate/run.ts"
import { complaintsOf, scoresOf } from "../../packages/tools/src/mutate.ts"

const changesOf = (text: string): ReadonlyArray<string> =>
  mutantsOf("src/M.ts", text).map(({ name }) => name.replace("M f: ", ""))

describe("mutants", () => {
  test.each<[string, string, ReadonlyArray<string>]>([
    ["a boundary", "(a, b) => a < b", ["a < b → a <= b", "a < b → a >= b"]],
    ["arithmetic", "(a, b) => a % b", ["a % b → a * b"]],
    ["a literal", "() => 0", ["0 → 1"]],
    ["a number", "() => 7", ["7 → 6", "7 → 8"]],
    ["a boolean", "() => true", ["true → false"]],
    ["a sign", "(a) => -a", ["-a → a"]],
    ["logic", "(a, b) => a && b", ["a && b → a", "a && b → b", "a && b → a || b"]],
    ["a default", "(a, b) => a ?? b", ["a ?? b → a", "a ?? b → b"]],
    ["a choice", "(a, b, c) => a ? b : c", ["a → true", "a → false"]],
    ["a chain", "(a) => a.b?.c.d", ["a.b?.c.d → a.b.c.d"]],
    ["a chain of places", "(a) => a?.[b]", ["a?.[b] → a[b]"]],
    ["an extreme", "(a) => Math.min(a, b)", ["Math.min(a, b) → Math.max(a, b)"]],
    ["rounding", "(a) => Math.floor(a)", ["Math.floor(a) → Math.ceil(a)"]],
    ["a quantifier", "(a) => a.some(b)", ["a.some(b) → a.every(b)"]],
    ["an order", "(a) => a.sort()", ["a.sort() → a"]],
    ["a body that is a call", "(a) => g(a)", ["g(a) → undefined"]],
    ["a call", "() => { g() }", ["g() → (removed)"]],
    ["an assignment", "() => { a.b = c }", ["a.b = c → (removed)"]],
    ["a sum", "() => { a += 1 }", ["a += 1 → (removed)", "a += 1 → a -= 1", "1 → 2"]],
    ["a first value", "() => { a ??= b }", ["a ??= b → (removed)", "a ??= b → a = b"]],
    ["a step", "() => ++a", ["++a → --a"]],
    ["an early end", "(a) => { if (a) return b }", ["a → true", "a → false"]],
    ["a loop", "() => { for (; a; a--) g() }", ["a → false", "a-- → a++", "g() → (removed)"]],
    ["a case", "(a) => { switch (a) { case A: return b } }", ["A → NaN", "return b → (removed)"]],
    ["what is the same twice", "() => [0, 0]", ["0 → 1", "0 → 1 (2)"]],
    ["types, names and text", "(a: 1 | 2): { 3: true } => a as { 3: 'no' }", []]
  ])("%s", (_, text, changes) => {
    expect(changesOf(`export const f = ${text}`)).toEqual(changes)
  })

  test("know their line, and whether they act when their module is loaded", () => {
    const [one, two] = mutantsOf("M.ts", "export const a = 0\n\nexport const f = () => true")
    expect([one?.line, one?.isStatic, two?.line, two?.isStatic]).toEqual([1, true, 3, false])
  })
})

describe("a module with all its mutants in it", () => {
  const text = `
    const f = (a, b) => {
      const out = []
      if (a < 0 || b === 0) return [0]
      for (let i = 0; i < Math.min(a, 4); i++) {
        out.push(i % 2 === 0 ? a * i - b : -i)
        if (out.length === 40) throw new Error("it never ends")
      }
      out.sort((x, y) => x - y)
      switch (b) {
        case 1:
          return out.filter((x) => x > 1)
        default:
          out.length = Math.max(1, out.length - 1)
      }
      return [...out, a > 3 ? b?.c ?? 7 : !b]
    }`
  const mutants = mutantsOf("M.ts", text)
  const evaluate = (source: string, active: number) => {
    const f = new Function(asks, `${source}\nreturn f`)((n: number) => n === active)
    return [0, 1, 2, 3, 5, -1].flatMap((a) =>
      [0, 1, 2].map((b) => {
        try {
          return JSON.stringify(f(a, b))
        } catch (error) {
          return String(error)
        }
      })
    )
  }
  const edited = ({ end, instead, start }: Mutant): string => text.slice(0, start) + (instead ?? ";") + text.slice(end)

  test("does what it did with none active", () => {
    expect(mutants.length).toBeGreaterThan(40)
    expect(evaluate(instrument(text, mutants), -1)).toEqual(evaluate(text, -1))
  })

  test.each(mutants)("does what the edited source does: $name", (mutant) => {
    expect(evaluate(instrument(text, mutants), mutants.indexOf(mutant))).toEqual(evaluate(edited(mutant), -1))
  })
})

describe("a run", () => {
  const root = process.cwd()
  const sample = "test/tools/mutate/sample.ts"
  const before = readFileSync(sample, "utf8")

  test("a weak test leaves survivors, and nothing on disk is changed", async () => {
    const verdicts = await run({
      root,
      sources: [sample],
      tests: ["test/tools/mutate/weak.ts"],
      workers: 1,
      patience: 1500
    })
    const fates = Object.fromEntries(verdicts.map(({ fate, mutant }) => [mutant.name.replace("sample ", ""), fate]))
    expect(fates).toEqual({
      "adult: 18 → 17": "fails",
      "adult: 18 → 19": "fails",
      "isAdult: age >= adult → age < adult": "fails",
      // Nobody asks what happens at eighteen.
      "isAdult: age >= adult → age > adult": "survived",
      "countDown: 0 → 1": "fails",
      "countDown: 1 → 2": "fails",
      "countDown: left -= 1 → (removed)": "fails",
      "countDown: left -= 1 → left += 1": "fails",
      "countDown: left > 0 → false": "fails",
      "countDown: left > 0 → left <= 0": "fails",
      "countDown: left > 0 → left >= 0": "fails",
      "countDown: steps.push(left) → (removed)": "fails",
      "far: from * 2 → from / 2": "hangs",
      "far: 2 → 1": "fails",
      "far: 2 → 3": "fails",
      "unused: n === 0 → n !== 0": "not reached",
      "unused: 0 → 1": "not reached"
    })
    expect(readFileSync(sample, "utf8")).toBe(before)
  })

  test("a test that fails without any mutant ends it", async () => {
    const failing = run({ root, sources: [sample], tests: ["test/tools/mutate/broken.ts"], workers: 1 })
    await expect(failing).rejects.toThrow("without any mutant: test/tools/mutate/broken.ts > two and two: ")
  })
})

describe("the verdict", () => {
  const [mutant, other] = modulesOf({ root: ".", sources: ["test/tools/mutate/sample.ts"] })[0]!.mutants as [
    Mutant,
    Mutant
  ]
  const names = new Set([mutant.name, other.name])
  const of = (fate: Verdict["fate"]): Verdict => ({ path: "S.ts", mutant, fate, by: "a test" })
  const found: Verdict = { path: "S.ts", mutant: other, fate: "fails", by: "a test" }
  const many = Array.from({ length: 30 }, () => found)

  test("is good when all are found, or have their reason", () => {
    expect(complaintsOf(many, {}, names)).toEqual([])
    expect(complaintsOf([...many, of("survived")], { [mutant.name]: "it is equal" }, names)).toEqual([])
    expect(scoresOf([...many, of("survived")], { [mutant.name]: "it is equal" })).toEqual([
      { path: "S.ts", mutants: 31, killed: 30, listed: 1 }
    ])
  })

  test.each<[string, ReadonlyArray<Verdict>, Readonly<Record<string, string>>, string]>([
    ["a survivor without a reason", [...many, of("survived")], {}, "survived: sample adult: 18 → 17"],
    ["a mutant that no test reaches", [...many, of("not reached")], {}, "not reached: sample adult: 18 → 17"],
    ["a reason for one that is found", many, { [other.name]: "so" }, "listed as a survivor, but found: "],
    ["a reason for one that is not there", many, { "sample gone": "so" }, "listed as a survivor, but no such mutant"],
    ["a low score, whatever the reasons", [of("survived")], { [mutant.name]: "so" }, "S.ts: below 95 %"]
  ])("is bad for %s", (_, verdicts, reasons, complaint) => {
    expect(complaintsOf(verdicts, reasons, names)).toContainEqual(expect.stringContaining(complaint))
  })
})
