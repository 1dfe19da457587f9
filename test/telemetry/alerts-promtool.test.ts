import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Alerts from "effect-resilience/telemetry/Alerts"
import { type Expectation, isInstalled, oneForAll, promtool, testFile, type World } from "./promtool.ts"
import { hostile, live, payments } from "./subjects.ts"
import { type Changes, world } from "./worlds.ts"

describe.skipIf(!isInstalled)("the rules, in promtool", () => {
  it("are accepted, for every kind, for no policy, and for a name with every special character", async () => {
    const entries = [...(await Effect.runPromise(live)), hostile]
    const files = { "all.yml": Alerts.prometheus(entries), "none.yml": Alerts.prometheus([]) }
    const { ok, output } = await promtool(["check", "rules", "--lint-fatal", "all.yml", "none.yml"], files)
    assert.isTrue(ok, output)
    assert.match(output, /SUCCESS: 38 rules found/)
  })

  const tested = oneForAll()

  /** A test of rules: to be made while tests are collected. */
  const play = (
    scraped: World,
    expected: ReadonlyArray<Expectation>,
    { entries = [payments], extra = "groups: []" }: { entries?: ReadonlyArray<Alerts.Described>; extra?: string } = {}
  ) => {
    const said = tested({
      "rules.yml": Alerts.prometheus(entries),
      "extra.yml": extra,
      "test.yml": testFile(scraped, expected, ["rules.yml", "extra.yml"])
    })
    return async () => assert.strictEqual(await said(), "SUCCESS")
  }
  const promises = (title: string, length: number, changes: Changes, expected: ReadonlyArray<Expectation>) =>
    it(title, play(world(length, changes), expected))

  const hour = 3600
  const during = (from: number, to: number) => (second: number) => second >= from && second < to

  promises("are silent when a policy is healthy", 2 * hour, {}, [
    { at: 60, firing: [] },
    { at: hour, firing: [] },
    { at: 2 * hour, firing: [] }
  ])

  // Two minutes in which every call fails, with a probe each second that is sometimes seen by a scrape.
  const down = during(61, 181)
  const outage: Changes = {
    state: (second) => (down(second) ? (second % 2 === 1 ? "half-open" : "open") : "closed"),
    openings: (second) => (down(second) ? 1 : 0),
    openTime: (second) => (down(second) ? 0.95 : 0),
    unhealthy: (second) => (down(second) ? second - 61 : 0),
    rejections: (second) => (down(second) ? 9 : 0)
  }

  const naive = {
    groups: [
      {
        name: "naive",
        rules: [{ alert: "Naive", expr: 'sum by (policy) (resilience_circuits{state="open"}) > 0', for: "1m" }]
      }
    ]
  }
  it(
    "fire after one minute of an outage in which a probe fails every second, where an alert on open circuits never does",
    play(
      world(600, outage),
      [
        { at: 120, firing: [] },
        { at: 135, firing: ["ResilienceCircuitNotClosed", "ResilienceCircuitOpenShare"] },
        { at: 180, firing: ["ResilienceCircuitNotClosed", "ResilienceCircuitOpenShare"] },
        // Closed again: the share of open time is that of the last five minutes.
        { at: 195, firing: ["ResilienceCircuitOpenShare"] },
        { at: 540, firing: [] }
      ],
      { extra: JSON.stringify(naive) }
    )
  )

  it(
    "see a circuit that opens and closes again between two scrapes, by its counter",
    // Open for 2 seconds, twice a minute, and closed at each scrape.
    play(
      world(1200, {
        openings: (second) => (second % 30 === 5 ? 1 : 0),
        openTime: (second) => (second % 30 === 5 || second % 30 === 6 ? 1 : 0)
      }),
      [
        { at: 120, firing: [] },
        { at: 300, firing: ["ResilienceCircuitFlapping"] },
        { at: 1200, firing: ["ResilienceCircuitFlapping"] }
      ]
    )
  )

  promises(
    "see a large share of time open, though each opening is short and closed at each scrape",
    900,
    { openings: (second) => (second % 15 === 1 ? 1 : 0), openTime: (second) => (second % 15 < 10 ? 0.5 : 0) },
    [{ at: 900, firing: ["ResilienceCircuitFlapping", "ResilienceCircuitOpenShare"] }]
  )

  promises(
    "are silent about a circuit that stays half-open because no call comes, five minutes after its last open time",
    900,
    {
      state: (second) => (second < 10 ? "closed" : second < 70 ? "open" : "half-open"),
      openTime: (second) => (during(10, 70)(second) ? 1 : 0),
      openings: (second) => (second === 10 ? 1 : 0),
      unhealthy: (second) => Math.max(0, second - 10)
    },
    [
      { at: 120, firing: ["ResilienceCircuitNotClosed"] },
      { at: 420, firing: [] },
      { at: 900, firing: [] }
    ]
  )

  promises(
    "fire for a circuit that a hung probe keeps half-open while calls are rejected",
    1800,
    { state: (second) => (second < 10 ? "closed" : "half-open"), rejections: (second) => (second < 10 ? 0 : 0.1) },
    [{ at: 1800, firing: ["ResilienceCircuitNotClosed"] }]
  )

  promises("fire for a spent budget after ten minutes", 1800, { refusedRetries: (second) => (second < 60 ? 0 : 1) }, [
    { at: 600, firing: [] },
    { at: 720, firing: ["ResilienceRetryBudgetSpent"] }
  ])

  promises(
    "fire for 5 % of rejected calls after ten minutes",
    1800,
    { rejections: (second) => (second < 60 ? 0 : 1) },
    [
      { at: 600, firing: [] },
      { at: 900, firing: ["ResilienceRejectionsHigh"] }
    ]
  )
  promises("are silent at 3 % of rejected calls", 1800, { rejections: () => 0.3 }, [{ at: 1800, firing: [] }])

  promises(
    "fire for a change without an end after one hour, and not for one that ends by itself",
    2 * hour,
    { openEnded: (second) => (second < 30 ? 0 : 1) },
    [
      { at: hour, firing: [] },
      { at: hour + 60, firing: ["ResilienceChangeOpenEnded"] }
    ]
  )

  for (const state of ["isolated", "disabled"] as const) {
    promises(`fire for a circuit that was forgotten ${state} after one hour`, 2 * hour, { state: () => state }, [
      { at: hour - 15, firing: [] },
      { at: hour, firing: ["ResilienceOverrideForgotten"] },
      { at: 2 * hour, firing: ["ResilienceOverrideForgotten"] }
    ])
  }

  promises("fire for a nearly full bulkhead after five minutes", 900, { running: (second) => (second < 60 ? 2 : 9) }, [
    { at: 345, firing: [] },
    { at: 360, firing: ["ResilienceBulkheadNearlyFull"] }
  ])
  promises("are silent at 80 % of the permits", 900, { running: () => 8 }, [{ at: 900, firing: [] }])

  promises("fire for attempts near the timeout after five minutes", 1200, { latency: () => 0.95 }, [
    { at: 240, firing: [] },
    { at: 600, firing: ["ResilienceLatencyNearTimeout"] }
  ])
  promises("are silent at half of the timeout", 1200, { latency: () => 0.45 }, [{ at: 1200, firing: [] }])

  it(
    "fire for a process that has been out of touch with the board for five minutes, and for no shorter time",
    play(
      world(1800, { inTouch: (second) => (during(60, 300)(second) || during(600, 1200)(second) ? 0 : 1) }),
      [
        { at: 300, firing: [] },
        { at: 885, firing: [] },
        { at: 900, firing: ["ResilienceBoardOutOfTouch"] },
        { at: 1215, firing: [] }
      ],
      { entries: [{ ...payments, settings: { ...payments.settings, shared: { budget: true } } }] }
    )
  )

  it("say in their annotations what is set and what is measured", async () => {
    const [rule] = Alerts.rules([payments])[0]?.rules ?? []
    const { ok, output } = await promtool(["test", "rules", "test.yml"], {
      "rules.yml": Alerts.prometheus([payments]),
      "test.yml": JSON.stringify({
        ...JSON.parse(testFile(world(600, outage), [], ["rules.yml"])),
        tests: JSON.parse(testFile(world(600, outage), [], [])).tests.map((test: object) => ({
          ...test,
          alert_rule_test: [
            {
              eval_time: "150s",
              alertname: rule?.alert,
              exp_alerts: [
                {
                  exp_labels: { policy: "app/Payments", severity: "critical" },
                  exp_annotations: {
                    summary: "Circuits of app/Payments have not been closed for 1m",
                    description:
                      "Not closed: 1 of the circuits of app/Payments, for at least 1m. Calls are rejected, and probes fail. " +
                      "It opens by failureRate (threshold 0.5, window 10s, minimumCalls 20); its open time is 1s.",
                    runbook_url: "docs/runbooks/circuit-not-closed.md"
                  }
                }
              ]
            }
          ]
        }))
      })
    })
    assert.isTrue(ok, output)
  })

  it(
    "watch the policy of their own name only, whatever is in it",
    play(world(600, outage), [{ at: 150, firing: [] }], { entries: [{ ...payments, name: "app/Other" }, hostile] })
  )
})
