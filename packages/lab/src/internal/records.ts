/** Recorded calls from the text of a file: CSV with a header row, or a JSON object per line. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { type CsvError, decodeString } from "effect/encoding/Csv"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

interface Recorded {
  readonly time: number
  readonly latency: number
  readonly outcome: "error" | "ok" | "timeout"
}

/** What is wrong, and where. Lines count from 1. */
export interface Problem {
  readonly line: number
  readonly column: string
  readonly expected: string
  readonly found: unknown
}

interface Row {
  readonly line: number
  readonly names: ReadonlyArray<string>
  /** The line of the names. */
  readonly header: number
  readonly cells: ReadonlyArray<unknown>
}

interface Field<A> {
  /** Names of the column, in upper or lower case. */
  readonly names: ReadonlyArray<string>
  readonly expected: string
  readonly read: (cell: string | number | boolean) => A | undefined
}

const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i

const numberOf = (cell: string | number | boolean): number =>
  typeof cell === "number" ? cell : typeof cell === "string" && decimal.test(cell) ? Number(cell) : Number.NaN

const iso = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(Z|[+-]\d\d:\d\d)?$/i

/** A time without a zone is UTC, so that a file means the same on every machine. */
const momentOf = (cell: string | number | boolean): number => {
  const [, day, time, zone = "Z"] = iso.exec(String(cell)) ?? []
  if (day === undefined) return numberOf(cell)
  const moment = DateTime.make(`${day}T${time}${zone.toUpperCase()}`)
  return Option.match(moment, { onNone: () => Number.NaN, onSome: DateTime.toEpochMillis })
}

const within = (value: number, minimum: number, maximum: number): number | undefined =>
  value >= minimum && value <= maximum ? value : undefined

const words: ReadonlyMap<string, Recorded["outcome"]> = new Map([
  ...["ok", "success", "succeeded", "true"].map((word) => [word, "ok"] as const),
  ...["error", "failure", "failed", "false"].map((word) => [word, "error"] as const),
  ...["timeout", "timedout"].map((word) => [word, "timeout"] as const)
])

/** The statuses below 500 that are worth a retry. For the others the dependency would respond in the same way again. */
const again: ReadonlySet<number> = new Set([408, 429])

const outcomeOf = (cell: string | number | boolean): Recorded["outcome"] | undefined => {
  const status = numberOf(cell)
  if (Number.isInteger(status) && status >= 100 && status < 600) {
    return status >= 500 || again.has(status) ? "error" : "ok"
  }
  return words.get(
    String(cell)
      .toLowerCase()
      .replaceAll(/[\s_-]/g, "")
  )
}

const latest = 8_640_000_000_000_000
const day = 86_400_000

const fields = {
  time: {
    names: ["time", "timestamp", "ts"],
    expected: "milliseconds since 1970, or a date and time such as 2026-01-31T12:00:00.000Z",
    read: (cell) => within(momentOf(cell), -latest, latest)
  } satisfies Field<number>,
  latency: {
    names: ["latency", "latency_ms", "duration", "duration_ms", "elapsed"],
    expected: `a number of milliseconds between 0 and ${day}`,
    read: (cell) => within(numberOf(cell), 0, day)
  } satisfies Field<number>,
  outcome: {
    names: ["outcome", "status", "result", "success"],
    expected: `one of ${[...words.keys()].join(", ")}, or an HTTP status between 100 and 599`,
    read: outcomeOf
  } satisfies Field<Recorded["outcome"]>
}

const separators = [",", ";", "\t"]

/** The separator that the header row has most of. */
const separatorOf = (text: string): string => {
  const [header = ""] = text.split(/[\r\n]/, 1)
  const count = (separator: string): number => header.split(separator).length
  return separators.reduce((best, next) => (count(next) > count(best) ? next : best))
}

const breaks = /\r\n|\r|\n/g

const fromCsv = (text: string): Effect.Effect<ReadonlyArray<Row>, Problem> =>
  Stream.make(text).pipe(
    Stream.pipeThroughChannel(decodeString({ delimiter: separatorOf(text), maxRecordSize: Infinity })),
    Stream.runCollect,
    Effect.mapError((error: CsvError) => ({
      line: error.line,
      column: String(error.column ?? 1),
      expected: "CSV by RFC 4180",
      found: error.message
    })),
    Effect.flatMap(([header = [], ...records]): Effect.Effect<ReadonlyArray<Row>, Problem> => {
      const names = header.map((name) => name.trim())
      const rows: Array<Row> = []
      let next = 1 + lines(header)
      for (const cells of records) {
        const line = next
        next += lines(cells)
        if (cells.length === 1 && cells[0] === "") continue
        if (cells.length !== names.length) {
          const column = String(Math.min(cells.length, names.length) + 1)
          return Effect.fail({ line, column, expected: `${names.length} cells`, found: cells.length })
        }
        rows.push({ line, names, header: 1, cells: cells.map((cell) => cell.trim()) })
      }
      const nothing = { line: 1, column: "1", expected: "a header row and at least one call", found: text }
      return rows.length === 0 ? Effect.fail(nothing) : Effect.succeed(rows)
    })
  )

/** Lines that a record takes: a quoted cell may have several. */
const lines = (cells: ReadonlyArray<string>): number =>
  cells.reduce((sum, cell) => sum + (cell.match(breaks)?.length ?? 0), 1)

const JsonObject = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const jsonObject = Schema.decodeUnknownResult(JsonObject)

const fromJsonLines = (text: string): Result.Result<ReadonlyArray<Row>, Problem> =>
  Result.gen(function* () {
    const rows: Array<Row> = []
    for (const [index, part] of text.split(breaks).entries()) {
      if (part.trim() === "") continue
      const line = index + 1
      const record = yield* Result.mapError(jsonObject(part), () => ({
        line,
        column: "1",
        expected: "a JSON object",
        found: part
      }))
      rows.push({
        line,
        names: Object.keys(record),
        header: line,
        cells: Object.values(record).map((cell) => (typeof cell === "string" ? cell.trim() : cell))
      })
    }
    return rows
  })

/** Where in a row a field is. */
const placeOf = ({ header, names }: Row, field: Field<unknown>): Result.Result<number, Problem> => {
  const [place, ...more] = names.flatMap((name, index) => (field.names.includes(name.toLowerCase()) ? [index] : []))
  return place !== undefined && more.length === 0
    ? Result.succeed(place)
    : Result.fail({
        line: header,
        column: field.names[0] ?? "",
        expected: `one column named ${field.names.join(" or ")}`,
        found: names
      })
}

const read = <A>({ cells, line, names }: Row, place: number, field: Field<A>): Result.Result<A, Problem> => {
  const found = cells[place]
  const value =
    Predicate.isString(found) || Predicate.isNumber(found) || Predicate.isBoolean(found) ? field.read(found) : undefined
  return value === undefined
    ? Result.fail({ line, column: names[place] ?? "", expected: field.expected, found })
    : Result.succeed(value)
}

/** The range of seconds from 2001 to 2286. As milliseconds it is January to April 1970, when no call was recorded. */
const seconds = { least: 1e9, most: 1e10 } as const

const callsOf = (rows: ReadonlyArray<Row>): Result.Result<ReadonlyArray<Recorded>, Problem> =>
  Result.gen(function* () {
    const calls: Array<Recorded> = []
    let names: ReadonlyArray<string> | undefined
    let [time, latency, outcome] = [0, 0, 0]
    for (const row of rows) {
      // Rows of a CSV share their names.
      if (row.names !== names) {
        names = row.names
        time = yield* placeOf(row, fields.time)
        latency = yield* placeOf(row, fields.latency)
        outcome = yield* placeOf(row, fields.outcome)
      }
      calls.push({
        time: yield* read(row, time, fields.time),
        latency: yield* read(row, latency, fields.latency),
        outcome: yield* read(row, outcome, fields.outcome)
      })
    }
    const [first] = rows
    const areSeconds = calls.every(({ time }) => time >= seconds.least && time < seconds.most)
    if (first !== undefined && areSeconds) {
      const place = yield* placeOf(first, fields.time)
      return yield* Result.fail({
        line: first.line,
        column: first.names[place] ?? "",
        expected: "milliseconds since 1970 (all times here look like seconds since 1970)",
        found: first.cells[place]
      })
    }
    return calls.sort((a, b) => a.time - b.time)
  })

const isJson = /^\s*\{/

const isArray = /^\s*\[\s*[{[\]]/

const anArray = (text: string): Problem => ({
  line: 1,
  column: "1",
  expected: "one JSON object per line, not an array",
  found: text.trimStart().slice(0, 40)
})

/** In the order of time. */
export const parse = (text: string): Effect.Effect<ReadonlyArray<Recorded>, Problem> => {
  const plain = text.replace(/^\uFEFF/, "")
  if (isArray.test(plain)) return Effect.fail(anArray(plain))
  const rows = isJson.test(plain) ? Effect.fromResult(fromJsonLines(plain)) : fromCsv(plain)
  return Effect.flatMap(rows, (rows) => Effect.fromResult(callsOf(rows)))
}
