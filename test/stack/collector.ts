/** A collector of OpenTelemetry that decodes the metrics which it receives as protobuf. */
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"

// The wire format: https://protobuf.dev/programming-guides/encoding/

type Field = number | Uint8Array

/** The values of each field of a message. A varint is read as a number, 8 bytes and nested messages as bytes. */
const fieldsOf = (bytes: Uint8Array): ReadonlyMap<number, ReadonlyArray<Field>> => {
  const fields = new Map<number, Array<Field>>()
  let at = 0
  const varint = (): number => {
    let [value, scale] = [0, 1]
    while (true) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error("the message ends within a number")
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
  }
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new Error("the message ends within a field")
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const tag = varint()
    const [field, type] = [Math.floor(tag / 8), tag % 8]
    const value = type === 0 ? varint() : type === 1 ? take(8) : type === 2 ? take(varint()) : undefined
    if (value === undefined) throw new Error(`field ${field} has wire type ${type}`)
    fields.set(field, [...(fields.get(field) ?? []), value])
  }
  return fields
}

/** A message whose fields are read by their numbers. */
class Message {
  private readonly fields: ReadonlyMap<number, ReadonlyArray<Field>>

  constructor(bytes: Uint8Array) {
    this.fields = fieldsOf(bytes)
  }

  private bytes(field: number): ReadonlyArray<Uint8Array> {
    return (this.fields.get(field) ?? []).filter((value) => typeof value !== "number")
  }

  private views(field: number): ReadonlyArray<DataView> {
    return this.bytes(field).map(({ buffer, byteLength, byteOffset }) => new DataView(buffer, byteOffset, byteLength))
  }

  messages(field: number): ReadonlyArray<Message> {
    return this.bytes(field).map((bytes) => new Message(bytes))
  }

  message(field: number): Message | undefined {
    return this.messages(field)[0]
  }

  text(field: number): string {
    return new TextDecoder().decode(this.bytes(field)[0])
  }

  integer(field: number): number {
    return this.fields.get(field)?.find((value) => typeof value === "number") ?? 0
  }

  doubles(field: number): ReadonlyArray<number> {
    return this.views(field).map((view) => view.getFloat64(0, true))
  }

  fixed64s(field: number): ReadonlyArray<number> {
    return this.views(field).map((view) => Number(view.getBigInt64(0, true)))
  }
}

// The messages: https://github.com/open-telemetry/opentelemetry-proto, metrics/v1/metrics.proto

interface Point {
  readonly attributes: Readonly<Record<string, string>>
  /** The value of a number, the count of a histogram. */
  readonly value: number
  readonly bucketCounts: ReadonlyArray<number>
  readonly explicitBounds: ReadonlyArray<number>
}

export interface Received {
  readonly name: string
  readonly unit: string
  readonly type: "gauge" | "sum" | "histogram"
  readonly isMonotonic: boolean
  readonly isCumulative: boolean
  readonly points: ReadonlyArray<Point>
}

const attributesOf = (attributes: ReadonlyArray<Message>): Readonly<Record<string, string>> =>
  Object.fromEntries(attributes.map((attribute) => [attribute.text(1), attribute.message(2)?.text(1) ?? ""]))

const numberPoint = (point: Message): Point => ({
  attributes: attributesOf(point.messages(7)),
  value: point.doubles(4)[0] ?? point.fixed64s(6)[0] ?? Number.NaN,
  bucketCounts: [],
  explicitBounds: []
})

const histogramPoint = (point: Message): Point => ({
  attributes: attributesOf(point.messages(9)),
  value: point.fixed64s(4)[0] ?? Number.NaN,
  bucketCounts: point.fixed64s(6),
  explicitBounds: point.doubles(7)
})

const types = { gauge: 5, sum: 7, histogram: 9 } as const

const metricOf = (metric: Message): Received => {
  for (const type of ["gauge", "sum", "histogram"] as const) {
    const data = metric.message(types[type])
    if (data === undefined) continue
    return {
      name: metric.text(1),
      unit: metric.text(3),
      type,
      isMonotonic: data.integer(3) === 1,
      isCumulative: data.integer(2) === 2,
      points: data.messages(1).map(type === "histogram" ? histogramPoint : numberPoint)
    }
  }
  throw new Error(`${metric.text(1)} has no data that is read here`)
}

const metricsOf = (body: Uint8Array): ReadonlyArray<Received> =>
  new Message(body)
    .messages(1)
    .flatMap((resource) => resource.messages(2))
    .flatMap((scope) => scope.messages(2))
    .map(metricOf)

const bodyOf = async (request: IncomingMessage): Promise<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** A collector on a free port of the loopback interface, and the last export that it received. */
export const start = Effect.gen(function* () {
  let last: ReadonlyArray<Received> | undefined
  let problem: unknown
  const server = createServer((request, response) => {
    bodyOf(request)
      .then((body) => {
        if (request.url === "/v1/metrics" && request.headers["content-type"] === "application/x-protobuf") {
          last = metricsOf(body)
        }
      })
      .catch((error: unknown) => {
        problem = error
      })
      .finally(() => response.end())
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  // It listens on TCP.
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    last: Effect.suspend(() => (problem === undefined ? Effect.succeed(last) : Effect.die(problem)))
  }
})
