// Bundles the script of the report: for each report when the sources run, otherwise once, when the package is built.
import { readFileSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"
import type { Assets } from "../src/report/assets.ts"

const read = (name: string, file: string, from: string = import.meta.url): string =>
  readFileSync(join(dirname(createRequire(from).resolve(`${name}/package.json`)), file), "utf8").trim()

/** ZRender draws for ECharts and is a dependency of ECharts. */
const readZRender = (file: string): string => read("zrender", file, import.meta.resolve("echarts/package.json"))

/** The notices that every copy of the script must carry. */
const notices = (): string => {
  const texts = [
    read("echarts", "NOTICE"),
    "Apache ECharts is licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0",
    "ZRender:",
    readZRender("LICENSE")
  ]
  return `/*!\n${texts.map((text) => text.replaceAll("*/", "* /")).join("\n\n")}\n*/`
}

export const bundle = async (): Promise<Assets> => {
  const build = await rolldown({
    input: fileURLToPath(new URL("main.ts", import.meta.url)),
    platform: "browser",
    logLevel: "silent"
  })
  const { output } = await build.generate({ format: "iife", minify: true })
  await build.close()
  return {
    style: readFileSync(new URL("style.css", import.meta.url), "utf8"),
    script: `${notices()}\n${output[0].code}`,
    echarts: JSON.parse(read("echarts", "package.json")).version
  }
}

if (import.meta.main) {
  const folder = new URL("../dist/report/", import.meta.url)
  writeFileSync(new URL("page.json", folder), JSON.stringify(await bundle()))
  const licenses = [
    "page.json contains Apache ECharts and ZRender. Their licenses and notices:",
    read("echarts", "LICENSE"),
    read("echarts", "licenses/LICENSE-d3"),
    read("echarts", "NOTICE"),
    readZRender("LICENSE")
  ]
  writeFileSync(new URL("licenses.txt", folder), `${licenses.join("\n\n")}\n`)
}
