import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Alerts from "effect-resilience/telemetry/Alerts"
import { live, payments } from "./subjects.ts"

const alertsOf = (entries: ReadonlyArray<Alerts.Described>, options?: Alerts.Options) =>
  Object.fromEntries(
    Alerts.rules(entries, options).map(({ name, rules }) => [
      name,
      rules.map(({ alert }) => alert.slice("Resilience".length))
    ])
  )

describe("Alerts.rules", () => {
  it.effect("has a policy's rules for the parts that it has, and no group for one without", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(alertsOf(yield* live), {
        "resilience RetryBudget app/Budget": ["RetryBudgetSpent"],
        "resilience Policy app/Payments": [
          "CircuitNotClosed",
          "CircuitOpenShare",
          "CircuitFlapping",
          "RetryBudgetSpent",
          "RejectionsHigh",
          "OverrideForgotten",
          "ChangeOpenEnded",
          "BulkheadNearlyFull",
          "LatencyNearTimeout"
        ],
        "resilience CircuitBreaker app/Users": [
          "CircuitNotClosed",
          "CircuitOpenShare",
          "CircuitFlapping",
          "RejectionsHigh",
          "OverrideForgotten",
          "ChangeOpenEnded"
        ],
        "resilience Bulkhead app/Database": ["RejectionsHigh", "ChangeOpenEnded", "BulkheadNearlyFull"],
        // Its timeout is above the last bucket of the histogram.
        "resilience Policy app/Mail": ["RetryBudgetSpent"],
        "resilience Policy app/Orders": [
          "CircuitNotClosed",
          "CircuitOpenShare",
          "CircuitFlapping",
          "RejectionsHigh",
          "OverrideForgotten",
          "ChangeOpenEnded",
          "BulkheadNearlyFull",
          "LatencyNearTimeout",
          "BoardOutOfTouch"
        ]
      })
    })
  )

  it("gives each rule a severity, a summary, a description with the set thresholds, and a runbook", () => {
    const [group] = Alerts.rules([payments], { labels: { team: "pay" }, runbooks: "https://example.org/runbooks/" })
    assert.lengthOf(group?.rules ?? [], 9)
    const texts = new Map<string, string>()
    for (const { alert, annotations, labels } of group?.rules ?? []) {
      assert.deepInclude(labels, { policy: "app/Payments", team: "pay" })
      assert.include(["critical", "warning"], labels["severity"])
      assert.include(annotations.summary, "app/Payments")
      assert.match(annotations.runbook_url, /^https:\/\/example\.org\/runbooks\/[a-z-]+\.md$/)
      texts.set(alert, annotations.description)
    }
    for (const name of ["CircuitNotClosed", "CircuitOpenShare", "CircuitFlapping"]) {
      const text = texts.get(`Resilience${name}`) ?? ""
      assert.include(text, "failureRate (threshold 0.5, window 10s, minimumCalls 20)")
      assert.include(text, "its open time is 1s.")
    }
    assert.include(texts.get("ResilienceRetryBudgetSpent"), "20 tokens")
    assert.include(texts.get("ResilienceRejectionsHigh"), "(10 permits, 5 places in the queue), the deadline (3s)")
    assert.include(texts.get("ResilienceBulkheadNearlyFull"), "10 permits")
    assert.include(texts.get("ResilienceLatencyNearTimeout"), "timeout is set to 1s")
  })

  it("describes a combined trip policy and a growing open time as they are set", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const group = Alerts.rules(yield* live).find(({ name }) => name === "resilience CircuitBreaker app/Users")
        assert.include(
          group?.rules[0]?.annotations.description,
          "It opens by any of failureRate (threshold 0.8, window 10s, minimumCalls 20) and consecutive (failures 10, minDuration 2s); " +
            "its open time is 50ms, growing to 1s."
        )
      })
    ))

  it.effect("describes what a fleet shares, and takes the options of its rule", () =>
    Effect.gen(function* () {
      const orders = (yield* live).filter(({ name }) => name === "app/Orders")
      const ruleOf = (options?: Alerts.Options) =>
        Alerts.rules(orders, options)[0]?.rules.find(({ alert }) => alert === "ResilienceBoardOutOfTouch")
      const rule = ruleOf()
      assert.strictEqual(rule?.for, "5m")
      assert.strictEqual(rule?.labels["severity"], "warning")
      assert.include(
        rule?.annotations.description,
        "The fleet shares: openings and probes; 200 permits; 500 calls a second; commands."
      )
      assert.strictEqual(ruleOf({ outOfTouch: { for: "1 minute", severity: "critical" } })?.for, "1m")
      assert.isUndefined(ruleOf({ outOfTouch: false }))
      assert.throws(
        () => ruleOf({ outOfTouch: { share: 1 } as object }),
        /^Alerts\.outOfTouch: there is no option share/
      )
    })
  )

  it("takes thresholds and severities from the options, and leaves out what is false", () => {
    const [group] = Alerts.rules([payments], {
      notClosed: { for: "3 minutes", severity: "info" },
      openShare: { share: 0.5, window: "10 minutes" },
      flapping: false,
      budget: false,
      override: { for: "2 hours" },
      openEnded: { for: "2 hours" },
      rejections: false,
      bulkhead: { fullness: 0.5 },
      latency: { share: 0.5, for: 0 }
    })
    const rules = new Map(group?.rules.map((rule) => [rule.alert.slice("Resilience".length), rule]))
    assert.sameMembers(
      [...rules.keys()],
      [
        "CircuitNotClosed",
        "CircuitOpenShare",
        "OverrideForgotten",
        "ChangeOpenEnded",
        "BulkheadNearlyFull",
        "LatencyNearTimeout"
      ]
    )
    assert.strictEqual(rules.get("CircuitNotClosed")?.for, "3m")
    assert.strictEqual(rules.get("CircuitNotClosed")?.labels["severity"], "info")
    assert.match(rules.get("CircuitOpenShare")?.expr ?? "", /\[10m\].* > 300$/)
    assert.strictEqual(rules.get("OverrideForgotten")?.for, "2h")
    assert.strictEqual(rules.get("ChangeOpenEnded")?.for, "2h")
    assert.match(rules.get("BulkheadNearlyFull")?.expr ?? "", />= 0\.5$/)
    assert.match(rules.get("LatencyNearTimeout")?.expr ?? "", /> 0\.5$/)
    assert.isUndefined(rules.get("LatencyNearTimeout")?.for)
  })

  it("has one group for several instances of one name, with the settings of the last", () => {
    const again = { ...payments, settings: { ...payments.settings, timeout: 500 } }
    const groups = Alerts.rules([payments, again])
    assert.lengthOf(groups, 1)
    assert.match(groups[0]?.rules.at(-1)?.expr ?? "", /> 0\.4$/)
  })

  it("refuses wrong options and entries", () => {
    const rules = (options: object) => Alerts.rules([payments], options as Alerts.Options) // plain JavaScript
    assert.throws(() => rules({ flaping: false }), /^Alerts: there is no option flaping/)
    assert.throws(() => rules({ notClosed: true }), /^Alerts\.notClosed: options must be an object/)
    assert.throws(() => rules({ notClosed: { share: 0.5 } }), /^Alerts\.notClosed: there is no option share/)
    assert.throws(() => rules({ openShare: { share: 2 } }), /^Alerts\.openShare: share must be in \(0, 1\], got 2/)
    assert.throws(() => rules({ openShare: { window: 0 } }), /^Alerts\.openShare: window must be a finite duration/)
    assert.throws(() => rules({ flapping: { openings: 0 } }), /^Alerts\.flapping: openings must be an integer >= 1/)
    assert.throws(() => rules({ budget: { severity: "page" } }), /^Alerts\.budget: severity must be/)
    assert.throws(() => rules({ labels: { "no-label": "a" } }), /^Alerts: labels must be/)
    assert.throws(() => rules({ runbooks: "" }), /^Alerts: runbooks must be a non-empty string/)
    assert.throws(() => Alerts.rules([{ ...payments, name: "" }]), /^Alerts: entries\[0\]: name must be/)
    const wrong = { ...payments, kind: "Breaker" } as unknown as Alerts.Described // plain JavaScript
    assert.throws(() => Alerts.rules([wrong]), /^Alerts: entries\[0\]: kind must be/)
  })
})
