import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { Outcome, Rejection, Timeout, Transient } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}
class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {
  readonly throttled = true
}

const rejection = new Rejection.CircuitOpen({
  policy: "inner",
  key: "default",
  state: "open",
  retryAfter: Duration.seconds(1)
})
const timedOut = new Timeout.TimedOut({ policy: "inner", key: "default", after: Duration.seconds(1) })

const both = <E, F>(one: Cause.Cause<E>, other: Cause.Cause<F>) => Exit.failCause(Cause.combine(one, other))

describe("classify: which exits are successes, failures or ignored", () => {
  it.each([
    ["a success", Exit.succeed(1), "success"],
    ["a success with undefined", Exit.void, "success"],
    ["a transient error", Exit.fail(new Down()), "failure"],
    ["a timeout of ours", Exit.fail(timedOut), "failure"],
    ["a throttled error: it is available", Exit.fail(new Busy()), "ignored"],
    ["a throttled error beside a transient one", both(Cause.fail(new Busy()), Cause.fail(new Down())), "failure"],
    ["a throttled error beside a permanent one", both(Cause.fail(new Busy()), Cause.fail(new NotFound())), "success"],
    ["a permanent error: it has answered", Exit.fail(new NotFound()), "success"],
    ["an error that is no object", Exit.fail("no"), "success"],
    ["an error that is null", Exit.fail(null), "success"],
    ["a rejection of ours", Exit.fail(rejection), "ignored"],
    ["a defect", Exit.die(new Error("bug")), "failure"],
    ["interruption", Exit.interrupt(1), "ignored"],
    ["a cause without reasons", Exit.failCause(Cause.empty), "ignored"],
    ["interruption beside a transient error", both(Cause.interrupt(1), Cause.fail(new Down())), "failure"],
    ["interruption beside a permanent error", both(Cause.interrupt(1), Cause.fail(new NotFound())), "success"],
    ["interruption beside a defect", both(Cause.interrupt(1), Cause.die("bug")), "failure"],
    ["a rejection beside interruption", both(Cause.fail(rejection), Cause.interrupt(1)), "ignored"],
    ["a permanent error beside a transient one", both(Cause.fail(new NotFound()), Cause.fail(new Down())), "failure"]
  ] as Array<[string, Exit.Exit<unknown, unknown>, Outcome.Outcome]>)("%s", (_, exit, outcome) => {
    assert.strictEqual(Outcome.classify(exit), outcome)
  })
})

describe("judge: replaces the default classification", () => {
  it("without a judgement, or an empty one, is the default itself", () => {
    for (const nothing of [undefined, {}, { failures: undefined, ignore: undefined }]) {
      assert.strictEqual(Outcome.classifier(nothing), Outcome.classify)
    }
  })

  const table: Array<[string, Outcome.Classification<unknown, unknown>, Record<string, Outcome.Outcome>]> = [
    ["failures names the only errors that count", { failures: ["NotFound"] }, { NotFound: "failure", Down: "success" }],
    ["ignore names errors that are neutral", { ignore: ["Down"] }, { Down: "ignored", NotFound: "success" }],
    [
      "ignore wins over failures",
      { failures: ["Down", "NotFound"], ignore: ["Down"] },
      { Down: "ignored", NotFound: "failure" }
    ],
    [
      "failWhen judges values, and errors as ever",
      { failWhen: (value) => value === 1 },
      { one: "failure", two: "success", Down: "failure", NotFound: "success" }
    ],
    [
      "a timeout of ours is a failure whatever `failures` are: the dependency has not responded (resilience4j #2013)",
      { failures: ["Down"] },
      { TimedOut: "failure", Down: "failure", NotFound: "success" }
    ],
    ["unless `ignore` names it", { failures: ["Down"], ignore: ["TimedOut"] }, { TimedOut: "ignored" }],
    [
      "others: what every other error counts as",
      { failures: ["Down"], others: "ignored" },
      { Down: "failure", NotFound: "ignored", text: "ignored", one: "success", Busy: "ignored" }
    ],
    [
      "others, without `failures`",
      { others: "ignored" },
      { Down: "failure", TimedOut: "failure", NotFound: "ignored", one: "success" }
    ],
    ["others: success is the default", { others: "success" }, { Down: "failure", NotFound: "success" }],
    ["a throttled error is ignored, whatever others are", { others: "success" }, { Busy: "ignored", Down: "failure" }],
    ["throttled: a failure", { throttled: "failure" }, { Busy: "failure", Down: "failure", NotFound: "success" }],
    ["a throttled error that `failures` names is a failure", { failures: ["Busy"] }, { Busy: "failure" }],
    ["and one that it does not name is ignored", { failures: ["Down"] }, { Busy: "ignored" }]
  ]
  const exits: Record<string, Exit.Exit<unknown, unknown>> = {
    Down: Exit.fail(new Down()),
    NotFound: Exit.fail(new NotFound()),
    TimedOut: Exit.fail(timedOut),
    Busy: Exit.fail(new Busy()),
    text: Exit.fail("no"),
    one: Exit.succeed(1),
    two: Exit.succeed(2)
  }

  it.each(table)("%s", (_, judgement, expected) => {
    const judge = Outcome.classifier(judgement)
    for (const [name, outcome] of Object.entries(expected)) assert.strictEqual(judge(exits[name]!), outcome, name)
  })

  it.each(table)("%s; defects still count, interruption and rejections never do", (_, judgement) => {
    const judge = Outcome.classifier(judgement)
    assert.strictEqual(judge(Exit.die("bug")), "failure")
    assert.strictEqual(judge(Exit.interrupt(1)), "ignored")
    assert.strictEqual(judge(Exit.fail(rejection)), "ignored")
  })

  it("a rejection is never a failure, even when its tag is listed in `failures`", () => {
    assert.strictEqual(Outcome.classifier({ failures: ["CircuitOpen"] })(Exit.fail(rejection)), "ignored")
  })

  it("classify replaces the other fields, and is not called for interruption", () => {
    const asked: Array<unknown> = []
    const judge = Outcome.classifier({
      failures: ["NotFound"],
      classify: (exit) => {
        asked.push(exit)
        return "success"
      }
    })
    assert.strictEqual(judge(Exit.die("bug")), "success")
    assert.strictEqual(judge(Exit.fail(new NotFound())), "success")
    assert.strictEqual(judge(Exit.interrupt(1)), "ignored")
    assert.strictEqual(asked.length, 2)
  })
})

describe("isJudgement", () => {
  it("is true for an object with at least one defined field", () => {
    assert.isTrue(Outcome.isClassification({ ignore: [] }))
    assert.isTrue(Outcome.isClassification({ others: "ignored" }))
    assert.isTrue(Outcome.isClassification({ throttled: "failure" }))
    assert.isTrue(Outcome.isClassification({ classify: Outcome.classify, key: "a" }))
    assert.isFalse(Outcome.isClassification({ failures: undefined, failWhen: undefined }))
    assert.isFalse(Outcome.isClassification({}))
    assert.isFalse(Outcome.isClassification(undefined))
  })
})
