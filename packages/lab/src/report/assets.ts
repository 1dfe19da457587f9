/**
 * The style and the script of the report, from the folder `page`. The script includes the parts of ECharts that it
 * uses.
 */
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
  if (!isSource) return JSON.parse(readFileSync(built, "utf8")) as Assets // written by the build
  const { bundle }: { readonly bundle: () => Promise<Assets> } = await import(bundler.href)
  return bundle()
}
