/** Laws of `Advice`: for any settings and any figures. */
import { assert, describe, it } from "@effect/vitest"
import { Advice } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/testing/FastCheck"
import { resolve, decode } from "../../packages/lab/src/internal/settings.ts"
import * as Result from "effect/Result"
import { type Counts, entryOf, recordedOf } from "./support/advice.ts"
