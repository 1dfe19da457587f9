/** The thread of `WhatIf`: one simulation, from the data of its start. */
import { parentPort, workerData } from "node:worker_threads"
import * as Result from "effect/Result"
import type { Options, Report } from "../WhatIf.ts"
import { simulate } from "./whatIf.ts"

/** What the parent reads: a report, or why there is none. */
type Reply = { readonly report: Report } | { readonly reason: string }

const given = workerData as Options // by `WhatIf.run`

const replyOf = (): Reply => {
  const result = Result.try({
    try: () => Result.getOrThrowWith(simulate(given), (reason) => new Error(reason)),
    catch: (error) => (error instanceof Error ? error.message : String(error))
  })
  return Result.isSuccess(result) ? { report: result.success } : { reason: result.failure }
}

parentPort?.postMessage(replyOf())
