export * as Chaos from "./Chaos.ts"
export * as Conservation from "./Conservation.ts"
export * as Sweep from "./Sweep.ts"
