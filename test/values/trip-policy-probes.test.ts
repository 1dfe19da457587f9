import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { TripPolicy } from "effect-resilience"

/** A rule that does or does not ask to open, and judges a probe; `undefined` leaves that to the outcome. */
interface Leaf {
  readonly trips: boolean
  readonly judges: boolean | undefined
}
type Tree = Leaf | { readonly kind: "any" | "all"; readonly of: ReadonlyArray<Tree> }

const leaf = Schema.Struct({
  trips: Schema.Boolean,
  judges: Schema.UndefinedOr(Schema.Boolean)
})
const combined = <S extends Schema.Schema<Tree>>(of: S) =>
  Schema.Struct({ kind: Schema.Literals(["any", "all"]), of: Schema.NonEmptyArray(of) })
const deep = Schema.Union([leaf, combined(leaf)])
const tree = combined(Schema.Union([leaf, combined(deep)]))

const isLeaf = (tree: Tree): tree is Leaf => !("kind" in tree)

/** Each leaf has a name of its own. */
const make = (tree: Tree, path = "p"): TripPolicy.Any => {
  if (!isLeaf(tree)) return TripPolicy[tree.kind](...tree.of.map((part, i) => make(part, `${path}${i}`)))
  const { judges, trips } = tree
  return TripPolicy.make({
    name: path,
    initial: () => ({}),
    record: () => {},
    trips: () => trips,
    ...(judges === undefined ? {} : { probeFailed: () => judges })
  })
}

const trips = (tree: Tree): boolean =>
  isLeaf(tree) ? tree.trips : tree.kind === "any" ? tree.of.some(trips) : tree.of.every(trips)

/** The rules that opened the circuit: an `any` inside an `any` is one list, and of a part of a part nothing is known. */
const askers = (tree: Tree, isKnown = true): ReadonlyArray<Leaf> => {
  if (isLeaf(tree)) return [tree]
  if (tree.kind === "all" || !isKnown) return tree.of.flatMap((part) => askers(part, false))
  return tree.of.filter(trips).flatMap((part) => askers(part, !isLeaf(part) && part.kind === "any"))
}

describe("a probe of a combination of trip policies", () => {
  it.prop("fails when one of those that opened the circuit says so", [tree], ([tree]) => {
    const policy = make(tree)
    const state = policy.initial()
    assert.strictEqual(policy.trips(state, 0), trips(tree))
    if (!trips(tree)) return
    const openedBy = policy.trippedBy?.(state, 0) ?? [policy.name]
    const failed = policy.probeFailed?.({ duration: 5 }, openedBy) === true
    assert.strictEqual(
      failed,
      askers(tree).some(({ judges }) => judges === true)
    )
  })

  it("is left to its outcome when no part judges probes", () => {
    const plain = { trips: true, judges: undefined }
    assert.isUndefined(make({ kind: "all", of: [plain, plain] }).probeFailed)
    assert.isUndefined(make({ kind: "any", of: [plain, { kind: "all", of: [plain] }] }).probeFailed)
  })
})
