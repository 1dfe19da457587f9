export * as Chaos from "./Chaos.ts"
export * as Sweep from "./Sweep.ts"
