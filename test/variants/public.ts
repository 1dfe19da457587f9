/** Runs the tests of a project on the frames that Effect's public API makes. */
import { use } from "../../packages/resilience/src/runtime/frame.ts"
import { sweepForTheSecondTime } from "../support/sweep.ts"

use("public")
sweepForTheSecondTime()
