export { isInstalled } from "../../support/redis.ts"
export { rows } from "./rows.ts"
export { Kids, playRow } from "./stage.ts"
