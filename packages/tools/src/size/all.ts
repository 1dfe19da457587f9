// Everything that the index exports.
export * from "effect-resilience"
