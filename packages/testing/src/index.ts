export * as Explore from "./Explore.ts"
export * as Laws from "./Laws.ts"
export * as Model from "./Model.ts"
