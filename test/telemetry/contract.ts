import * as Metrics from "effect-resilience/telemetry/Metrics"

/** The labels of every series that alerts and dashboards may read, by its name in Prometheus. */
export const metrics: Readonly<Record<string, ReadonlyArray<string>>> = Object.fromEntries(
  Metrics.definitions.flatMap(({ labels, prometheus, type }) =>
    type === "histogram"
      ? [
          [`${prometheus}_bucket`, [...labels, "le"]],
          [`${prometheus}_sum`, labels],
          [`${prometheus}_count`, labels]
        ]
      : [[prometheus, labels]]
  )
)
