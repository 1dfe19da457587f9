/**
 * What may happen to a fleet and its board, and what must hold then: the failure matrix of docs/share.md. Each row plays with real processes.
 * It is judged by facts that no delay of a busy machine changes; the times are measured, and only bounded far beyond what is usual.
 */
import { boardRows } from "./boardRows.ts"
import type { Row } from "./facts.ts"
import { memberRows } from "./memberRows.ts"
import { permitRows } from "./permitRows.ts"
import { rateRows } from "./rateRows.ts"

export const rows: ReadonlyArray<Row> = [...memberRows, ...boardRows, ...permitRows, ...rateRows]
