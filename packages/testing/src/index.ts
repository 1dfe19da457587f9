export * as Sweep from "./Sweep.ts"
