/** Every table, in the order of the page. */
import type { Table } from "../model.ts"
import { bytesTable } from "./bytes.ts"
import { heapTable } from "./heap.ts"
import { timeTables } from "./time.ts"

export const tables: ReadonlyArray<Table> = [...timeTables, bytesTable, heapTable]
