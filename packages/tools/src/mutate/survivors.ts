// Mutants that no test can find, because they do what the original does: each with the reason.
export const survivors: Readonly<Record<string, string>> = {
  "Circuit Ignored: 2 → 3": "Only that it differs from the other two results is ever asked.",
  "Circuit Rejected: 1 → 2": "Any negative number says it: identities of probes are positive, and Admitted is zero.",
  "Circuit Recovered: 2 → 3": "Only that it differs from the other two verdicts is ever asked.",
  "Histogram bucketOf: scaled > steps → scaled >= steps":
    "Sixteen sixteenths are the lowest bucket on either way; the short one is for zero, negative numbers and NaN.",
  "Histogram quantile: at < size → at <= size":
    "The rank is reached within the buckets or there are no calls; the place behind the last holds nothing that counts.",
  "Tokens advance: steps > 0 → steps >= 0": "With no step to go the tick becomes what it is.",
  "Window advance: tick > self.tick → tick >= self.tick":
    "With no step to go no bucket is emptied, and the tick becomes what it is."
}
