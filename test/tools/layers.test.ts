import { describe, expect, test } from "vitest"
import { checkKit, checkLayers, stabilityOfEffect } from "../../packages/tools/src/layers.ts"

const check = (files: Record<string, string>) => checkLayers(new Map(Object.entries(files)), stabilityOfEffect)

const none = "export {}"

describe("layers", () => {
  test("each layer may import those below, and its own modules where the layer allows it", () => {
    const complaints = check({
      "machine/Circuit.ts": `import * as Window from "./Window.ts"`,
      "machine/Window.ts": none,
      "runtime/clock.ts": none,
      "Transient.ts": `import { dual } from "effect/Function"`,
      "Rejection.ts": `import type * as Transient from "./Transient.ts"`,
      "engine/permits.ts": `import "./keys.ts"; import * as Circuit from "../machine/Circuit.ts"`,
      "engine/keys.ts": `import "../runtime/clock.ts"`,
      "Retry.ts": `import { Effect, pipe, type Schedule } from "effect"; import "./engine/permits.ts"`,
      "Policy.ts": `import * as Retry from "./Retry.ts"`,
      "http/Client.ts": `import * as Http from "effect/http/HttpClient"; import "./Status.ts"; import "../Policy.ts"`,
      "http/Status.ts": none,
      "index.ts": ["Transient", "Rejection", "Retry", "Policy"]
        .map((name) => `export * as ${name} from "./${name}.ts"`)
        .join("\n")
    })
    expect(complaints).toEqual([])
  })

  test.each([
    ["machine/Circuit.ts", "runtime/clock.ts", "machine", "runtime"],
    ["runtime/timer.ts", "Transient.ts", "runtime", "values"],
    ["Transient.ts", "engine/permits.ts", "values", "engine"],
    ["engine/permits.ts", "Bulkhead.ts", "engine", "policies"],
    ["Retry.ts", "Policy.ts", "policies", "Policy"],
    ["Policy.ts", "Config.ts", "Policy", "Config"],
    ["Config.ts", "redis/Store.ts", "Config", "adapters"],
    ["http/Client.ts", "index.ts", "adapters", "barrel"]
  ])("%s must not import %s", (from, to, fromLayer, toLayer) => {
    const up = "../".repeat(from.split("/").length - 1) || "./"
    const complaint = `src/${from} (${fromLayer}) imports src/${to} (${toLayer}): a module imports only from layers below`
    for (const statement of ["import * as X from", "import type { X } from", "export * from", "export { X } from"]) {
      expect(check({ [from]: `${statement} "${up}${to}"`, [to]: none })).toContain(complaint)
    }
    expect(check({ [from]: `export type X = import("${up}${to}").X`, [to]: none })).toContain(complaint)
    expect(check({ [from]: `export const x = () => import("${up}${to}")`, [to]: none })).toContain(complaint)
    expect(check({ [from]: `// import "${up}${to}"`, [to]: none })).toEqual([])
  })

  test.each([
    ["Retry.ts", "./RetryBudget.ts", "modules of this layer never import each other"],
    ["http/Client.ts", "../sql/Client.ts", "folders of adapters never import each other"]
  ])("%s must not import its neighbour %s", (from, specifier, rule) => {
    const to = specifier.replace(/^\.+\//, "")
    expect(check({ [from]: `import "${specifier}"`, [to]: none })).toEqual([expect.stringContaining(rule)])
  })

  test("no cycle, however long", () => {
    expect(
      check({
        "machine/Circuit.ts": `import "./Window.ts"`,
        "machine/Window.ts": `import "./Tokens.ts"`,
        "machine/Tokens.ts": `import type { Circuit } from "./Circuit.ts"`
      })
    ).toEqual([
      "src/machine/Circuit.ts → src/machine/Window.ts → src/machine/Tokens.ts → src/machine/Circuit.ts: a cycle"
    ])
  })

  test.each([
    ["machine/Circuit.ts", `import type { Effect } from "effect/Effect"`, "a machine imports nothing but machines"],
    ["machine/Circuit.ts", `import "node:crypto"`, "a machine imports nothing but machines"],
    ["Transient.ts", `import { readFileSync } from "node:fs"`, "the library imports nothing but effect"],
    ["Transient.ts", `import * as Policy from "cockatiel"`, "the library imports nothing but effect"],
    ["Transient.ts", `import * as All from "effect"`, "import the modules it needs"],
    ["Bulkhead.ts", `import * as P from "effect/PartitionedSemaphore"`, "which Effect calls unstable"],
    [
      "Bulkhead.ts",
      `import { Effect, LayerMap } from "effect"`,
      "imports effect/LayerMap, which Effect calls unstable"
    ],
    ["Fallback.ts", `import type { ExecutionPlan } from "effect"`, "which Effect calls unstable"],
    ["RetryBudget.ts", `import * as R from "effect/persistence/RateLimiter"`, "which Effect calls unstable"],
    ["Policy.ts", `import { HttpClient } from "effect/http"`, "which Effect calls unstable"],
    ["Policy.ts", `import * as No from "effect/NoSuchModule"`, "which Effect calls unknown"]
  ])("%s must not %s", (file, text, rule) => {
    expect(check({ [file]: text })).toEqual([expect.stringContaining(rule)])
  })

  test("every public module is in the barrel, and every import is a module", () => {
    expect(check({ "Retry.ts": none, "index.ts": none })).toEqual(["src/index.ts does not export src/Retry.ts"])
    expect(check({ "Retry.ts": `import "./Gone.ts"` })).toEqual([
      "src/Retry.ts imports ./Gone.ts, which is no module of the library"
    ])
  })
})

describe("the testing kit", () => {
  const kit = (text: string) =>
    checkKit(
      new Map(
        Object.entries({
          "Sweep.ts": text,
          "internal/seed.ts": none,
          "index.ts": `export * as Sweep from "./Sweep.ts"`
        })
      )
    )

  test.each([
    `import * as Effect from "effect/Effect"`,
    `import { Policy } from "effect-resilience"`,
    `import type * as Policy from "effect-resilience/Policy"`,
    `import "./internal/seed.ts"`
  ])("may %s", (text) => expect(kit(text)).toEqual([]))

  test.each([
    [`import { it } from "vitest"`, "nothing but effect and effect-resilience"],
    [`import "effect-resilient"`, "nothing but effect and effect-resilience"],
    [`import "../../resilience/src/machine/Circuit.ts"`, "no module of the kit"],
    [`import "./index.ts"`, "a cycle"]
  ])("must not %s", (text, rule) => expect(kit(text)).toEqual([expect.stringContaining(rule)]))

  test("exports each of its modules", () => {
    expect(
      checkKit(
        new Map([
          ["Sweep.ts", none],
          ["index.ts", none]
        ])
      )
    ).toEqual(["src/index.ts does not export src/Sweep.ts"])
  })

  test("may have a command, which the library does without", () => {
    const check = (files: Readonly<Record<string, string>>) =>
      checkKit(
        new Map(Object.entries({ "index.ts": `export * as Lab from "./Lab.ts"`, "Lab.ts": none, ...files })),
        { "{report,cli}/**": /^node:/ },
        ["report", "cli"]
      )
    const report = { "report/html.ts": `import "../Lab.ts"\nimport "node:fs"` }
    expect(check({ ...report, "cli/main.ts": `import "../Lab.ts"\nimport "../report/html.ts"` })).toEqual([])
    expect(check({ "Lab.ts": `import "./report/html.ts"`, "report/html.ts": none })).toEqual([
      "src/Lab.ts imports src/report/html.ts: nothing below report/ imports it"
    ])
    expect(check({ "report/html.ts": `import "../cli/main.ts"`, "cli/main.ts": none })).toEqual([
      "src/report/html.ts imports src/cli/main.ts: nothing below cli/ imports it"
    ])
    expect(check({ "internal/a.ts": `import "node:fs"` })).toEqual([
      "src/internal/a.ts imports node:fs: the kit imports nothing but effect and effect-resilience"
    ])
  })

  test("may have modules that take more, which the index leaves out", () => {
    const files = new Map([
      ["Peers.ts", `import type * as Peer from "peer"`],
      ["index.ts", none]
    ])
    expect(checkKit(files, { "Peers.ts": /^peer$/ })).toEqual([])
    expect(checkKit(files, { "Peers.ts": /^other$/ })).toEqual([
      "src/Peers.ts imports peer: the kit imports nothing but effect and effect-resilience"
    ])
  })
})
