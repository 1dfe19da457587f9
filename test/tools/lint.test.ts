import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, expect, test } from "vitest"

// The project's own configuration over files that break it, in one run of Biome.
const folder = mkdtempSync(join(tmpdir(), "lint-"))
afterAll(() => rmSync(folder, { recursive: true }))

interface Case {
  readonly file: string
  readonly text: string
  /** A rule, or words of a plugin's message. */
  readonly wrong?: string
}

const library = "packages/resilience/src"

const cases: ReadonlyArray<Case> = [
  { file: `${library}/a.ts`, text: "export const now = () => Date.now()", wrong: "noRestrictedGlobals" },
  { file: `${library}/b.ts`, text: "export const now = () => new Date()", wrong: "noRestrictedGlobals" },
  { file: `${library}/c.ts`, text: "export const now = () => performance.now()", wrong: "noRestrictedGlobals" },
  { file: `${library}/d.ts`, text: "export const roll = () => Math.random()", wrong: "No Math.random" },
  { file: `${library}/e.ts`, text: "export const f = async () => 1", wrong: "No async" },
  { file: `${library}/f.ts`, text: "export async function f(\n  x: number\n) {\n  return x\n}", wrong: "No async" },
  { file: `${library}/g.ts`, text: "export const f = async function () {}", wrong: "No async" },
  { file: `${library}/h.ts`, text: "export class A {\n  static async f() {}\n}", wrong: "No async" },
  { file: `${library}/i.ts`, text: "export const a = {\n  async f() {\n    return 1\n  }\n}", wrong: "No async" },
  { file: `${library}/j.ts`, text: "export const asyncThing = () => ({ async: 1 })" },
  { file: `${library}/k.ts`, text: "try {\n  f()\n} catch {\n  g()\n}", wrong: "No try" },
  { file: `${library}/l.ts`, text: "try {\n  f()\n} finally {\n  g()\n}", wrong: "No try" },
  { file: `${library}/m.ts`, text: 'console.log("x")', wrong: "noConsole" },
  { file: `${library}/n.ts`, text: "setTimeout(() => {}, 1)", wrong: "noRestrictedGlobals" },
  { file: `${library}/o.ts`, text: "setInterval(() => {}, 1)", wrong: "noRestrictedGlobals" },
  { file: `${library}/p.ts`, text: "globalThis.setTimeout(() => {}, 1)", wrong: "noRestrictedGlobals" },
  { file: `${library}/runtime/timer.ts`, text: "export const f = () => setTimeout(() => {}, 1)" },
  { file: `${library}/runtime/timers.ts`, text: "setTimeout(() => {}, 1)", wrong: "noRestrictedGlobals" },
  { file: `${library}/q.ts`, text: 'export { a } from "./index.ts"', wrong: "noRestrictedImports" },
  { file: `${library}/machine/r.ts`, text: 'import "../index.ts"', wrong: "noRestrictedImports" },
  { file: `${library}/s.ts`, text: "export default 1", wrong: "noDefaultExport" },
  { file: `${library}/t.ts`, text: "export const f = (x: any) => x", wrong: "noExplicitAny" },
  {
    file: `${library}/u.ts`,
    text: "// biome-ignore lint/suspicious/noExplicitAny: any service fits\nexport const f = (x: any) => x"
  },
  {
    file: `${library}/v.ts`,
    text: "// biome-ignore lint/suspicious/noExplicitAny:\nexport const f = (x: any) => x",
    wrong: "suppressions/parse"
  },
  { file: `${library}/engine/w.ts`, text: "export const f = (x: any) => x" },
  { file: "test/x.ts", text: "export const f = async () => Date.now() + Math.random()" },
  { file: "test/y.ts", text: "layer(a, { timeout: 1 })((it) => {\n  it()\n})", wrong: "No layer without a name" },
  { file: "test/z.ts", text: 'layer(a, { timeout: 1 })("name", (it) => {\n  it()\n})' }
]

const runBiome = () => {
  for (const path of ["biome.json", "packages/tools/lint"]) cpSync(path, join(folder, path), { recursive: true })
  const config = JSON.parse(readFileSync("biome.json", "utf8"))
  writeFileSync(join(folder, "biome.json"), JSON.stringify({ ...config, vcs: { enabled: false } }))
  for (const { file, text } of cases) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), `${text}\n`)
  }
  const biome = join(process.cwd(), "node_modules/.bin/biome")
  const { stdout } = spawnSync(biome, ["lint", "--reporter=json", "--max-diagnostics=none", "packages", "test"], {
    cwd: folder,
    encoding: "utf8"
  })
  return JSON.parse(stdout).diagnostics as ReadonlyArray<unknown>
}

const diagnostics = runBiome().map((one) => JSON.stringify(one))

test.each(cases)("$file: $text", ({ file, wrong }) => {
  const found = diagnostics.filter((one) => one.includes(`"${file}"`))
  if (wrong === undefined) expect(found).toEqual([])
  else expect(found).toContainEqual(expect.stringContaining(wrong))
})
