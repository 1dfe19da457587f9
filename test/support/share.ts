/**
 * Tests that take long, of which `npm test` runs a part: the others are `npm run check rest`, a step of `.ci/run`. All of them
 * run in `npx tool soak --whole`.
 */
import { isWhole } from "./sample.ts"

/** Whole files that are in no part: what is packed, what takes long to simulate, what starts many processes. Paths below test/. */
export const restOnly: ReadonlyArray<string> = [
  "bench/allocation",
  "bench/heap",
  "cli/manual",
  "cli/operate",
  "cli/storm",
  "lab/cli",
  "lab/everything",
  "lab/real",
  "lab/report",
  "lab/threads",
  "lab/tiers",
  "lab/what-if",
  "package/package",
  "stack/prometheus"
].map((name) => `test/${name}.test.ts`)

const isRest = process.env["TEST_SAMPLE"] === "rest"

/** Whether a test runs that is in the part. */
export const inPart = !isRest

/** Whether a test runs that is in no part. */
export const inRest = isRest || isWhole

/** Those of a list that run now; the part has one of each kind. */
export const share = <A>(all: ReadonlyArray<A>, isPart: (one: A, index: number) => boolean): ReadonlyArray<A> =>
  all.filter((one, index) => (isPart(one, index) ? inPart : inRest))
