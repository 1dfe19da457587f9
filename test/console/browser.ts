/** Chromium (Debian's package `chromium`), and the page in it. */
import { execFileSync } from "node:child_process"
import * as Effect from "effect/Effect"
import { type Browser, chromium, type Page } from "playwright-core"
import { token } from "./world.ts"

const found = ["chromium", "chromium-browser", "google-chrome"].find((command) => {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})

export const isInstalled = found !== undefined

if (!isInstalled)
  console.warn("chromium is not installed: the tests of the page are skipped (apt-get install chromium)")

/** A browser for as long as the scope is open. Nothing of a test is in it but what the test opens. */
export const browser = Effect.acquireRelease(
  Effect.promise(() => {
    const path = execFileSync("which", [found ?? ""], { encoding: "utf8" }).trim()
    return chromium.launch({ executablePath: path, args: ["--no-sandbox", "--disable-dev-shm-usage"] })
  }),
  (browser: Browser) => Effect.promise(() => browser.close())
)

export interface Opened {
  readonly page: Page
  /** What the page complained about: errors, and what its content security policy kept it from. */
  readonly complaints: ReadonlyArray<string>
  /** Every address that was asked for. */
  readonly requested: ReadonlyArray<string>
}

interface Options {
  readonly token?: string
  readonly hash?: string
  readonly width?: number
  readonly height?: number
}

/** The page in a tab of its own, as who has given a token and a name before. */
export const open = (browser: Browser, url: string, options: Options = {}): Effect.Effect<Opened> =>
  Effect.promise(async () => {
    const { hash = "", height = 800, width = 1280 } = options
    const context = await browser.newContext({ viewport: { width, height } })
    const page = await context.newPage()
    page.setDefaultTimeout(20_000)
    const complaints: Array<string> = []
    const requested: Array<string> = []
    page.on("console", (message) => {
      // A request that failed while the server was away is no fault of the page.
      if (message.type() === "error" && !/ERR_|status of \d/.test(message.text())) complaints.push(message.text())
    })
    page.on("pageerror", (error) => complaints.push(error.message))
    page.on("dialog", (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
    page.on("request", (request) => requested.push(request.url()))
    await page.addInitScript(
      ([known, by]) => {
        if (known !== "") sessionStorage.setItem("effect-resilience/token", known ?? "")
        sessionStorage.setItem("effect-resilience/by", by ?? "")
      },
      [options.token ?? token, "ann"]
    )
    await page.goto(`${url}/resilience${hash}`)
    return { page, complaints, requested }
  })
