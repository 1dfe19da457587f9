/** What the report takes from the folder `page`: its style, and its script with the part of ECharts that the script uses. */
import { readFileSync } from "node:fs"
import { isSource } from "../internal/origin.ts"

export interface Assets {
  readonly style: string
  readonly script: string
  /** The version of ECharts in the script. */
  readonly echarts: string
}

/** Written by the build, so that the published command needs neither ECharts nor a bundler. */
const built = new URL("page.json", import.meta.url)

const bundler = new URL("../../page/bundle.ts", import.meta.url)

export const assets = async (): Promise<Assets> => {
  if (!isSource) return JSON.parse(readFileSync(built, "utf8")) as Assets // as the build has written it
  const { bundle }: { readonly bundle: () => Promise<Assets> } = await import(bundler.href)
  return bundle()
}
