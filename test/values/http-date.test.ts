import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as HttpDate from "../../packages/resilience/src/runtime/httpDate.ts"

const seconds = (from: string, to: string) =>
  Schema.Int.check(Schema.isBetween({ minimum: Date.parse(from) / 1000, maximum: Date.parse(to) / 1000 }))

const names = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

describe("dates of HTTP (RFC 9110, section 5.6.7)", () => {
  it.prop(
    "the format of today agrees with the platform",
    [seconds("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")],
    ([at]) => {
      assert.strictEqual(HttpDate.parse(new Date(at * 1000).toUTCString()), at * 1000)
    }
  )

  it.prop(
    "so do the two old ones; a year of two digits lies between 1970 and 2069",
    [seconds("1970-01-01T00:00:00Z", "2069-12-31T23:59:59Z")],
    ([at]) => {
      const date = new Date(at * 1000)
      const [, day = "", month = "", year = "", time = ""] = date.toUTCString().split(" ")
      const rfc850 = `${names[date.getUTCDay()]}, ${day}-${month}-${year.slice(2)} ${time} GMT`
      const asctime = `${names[date.getUTCDay()]?.slice(0, 3)} ${month} ${day.replace(/^0/, " ")} ${time} ${year}`
      assert.strictEqual(HttpDate.parse(rfc850), at * 1000, rfc850)
      assert.strictEqual(HttpDate.parse(asctime), at * 1000, asctime)
    }
  )

  it.each([
    "",
    "120",
    "5 apples",
    "2026-10-21",
    "Wed, 21 Oct 2026 07:28:00",
    "Wed, 21 Oct 2026 07:28:00 CET",
    "Wed, 21 Okt 2026 07:28:00 GMT",
    "Wed, 00 Oct 2026 07:28:00 GMT",
    "Wed, 32 Oct 2026 07:28:00 GMT",
    "Wed, 21 Oct 2026 24:28:00 GMT",
    "Wed, 21 Oct 2026 07:60:00 GMT",
    "Wed, 21 Oct 2026 07:28:61 GMT"
  ])("is none: %s", (text) => {
    assert.isUndefined(HttpDate.parse(text))
  })
})
