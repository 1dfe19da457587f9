import { expect, test } from "vitest"
import { describeModule } from "../../packages/tools/src/api.ts"

test("sorts the exports of a declaration file by name, and then what they need", () => {
  const text = [
    'import * as Effect from "effect/Effect";',
    "export declare const make: () => Made;",
    "declare const Base: { new (): {} };",
    "export declare class Breaker extends Base {\n}",
    "export interface Options {\n    readonly a: 1;\n}",
    "export declare const make: (a: 1) => Made;",
    "declare const catch_: 1;",
    "export { catch_ as catch };",
    "export {};"
  ]
  expect(describeModule(text.join("\n")).split("\n")).toEqual([
    "export declare class Breaker extends Base {",
    "}",
    "export interface Options {",
    "    readonly a: 1;",
    "}",
    "export { catch_ as catch };",
    "export declare const make: () => Made;",
    "export declare const make: (a: 1) => Made;",
    "// not exported",
    "declare const Base: { new (): {} };",
    "declare const catch_: 1;"
  ])
})

test("does not depend on the order in which the compiler printed an inferred type", () => {
  const one = "export declare const a: ({ b: 1; a: 2 | { d: 1; c: 2; }; } | { a: 3; (): void; });"
  const other = "export declare const a: ({ (): void; a: 3; } | { a: { c: 2; d: 1; } | 2; b: 1; });"
  expect(describeModule(one)).toBe(describeModule(other))
})
