// Makes the page: one HTML file with its style and its script, in a module of the package. `npm run check bundle` checks it.
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { rolldown } from "rolldown"

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** The module that holds the page, from the root of the repository. */
export const target = "packages/console/src/internal/page.ts"

/** The page, gzipped, has at most this many bytes. */
export const most = 40_000

const hashOf = (text: string): string => createHash("sha256").update(text).digest("base64")

/** Preact is in the page: its license must be, too. */
const notice = `/*! Preact, MIT License, Copyright (c) 2015-present Jason Miller */`

const script = async (): Promise<string> => {
  const build = await rolldown({ input: here("main.tsx"), platform: "browser", logLevel: "silent" })
  const { output } = await build.generate({ format: "iife", minify: true, comments: false })
  await build.close()
  const code = `${notice}\n${output[0].code.trim()}`
  if (/<\/script|<!--/i.test(code)) throw new Error("the script would end the element that holds it")
  return code
}

const style = (): string =>
  readFileSync(here("style.css"), "utf8")
    .replaceAll(/\/\*[\s\S]*?\*\//g, "")
    .replaceAll(/\s+/g, " ")
    .replaceAll(/\s*([{};,>])\s*/g, "$1")
    .replaceAll(/:\s+/g, ":")
    .trim()

const pageOf = (css: string, code: string): string =>
  [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width,initial-scale=1">',
    '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">',
    '<title>resilience</title><link rel="icon" href="data:,">',
    `<style>${css}</style></head><body><div id="app"><noscript>The console needs JavaScript.</noscript></div>`,
    `<script type="module">${code}</script></body></html>`
  ].join("")

/** The module, and the size of the page. */
export const bundle = async (): Promise<{ readonly text: string; readonly gzipped: number }> => {
  const code = await script()
  const css = style()
  const html = pageOf(css, code)
  const text = [
    "// Written by `npm run page -w @effect-resilience/console`: do not edit.",
    "",
    "/** The page. */",
    `export const html: string = ${JSON.stringify(html)}`,
    "",
    "/** What its content security policy allows: SHA-256, in base64. */",
    `export const hashes = { script: ${JSON.stringify(hashOf(code))}, style: ${JSON.stringify(hashOf(css))} } as const`,
    ""
  ].join("\n")
  return { text, gzipped: gzipSync(html, { level: 9 }).length }
}

if (import.meta.main) {
  const { gzipped, text } = await bundle()
  const file = here("../src/internal/page.ts")
  const isCheck = process.argv.includes("--check")
  if (gzipped > most) {
    console.error(`the page has ${gzipped} bytes gzipped, which is more than ${most}`)
    process.exitCode = 1
  } else if (isCheck && readFileSync(file, "utf8") !== text) {
    console.error(`${target} is not what packages/console/page makes. Run: npm run page -w @effect-resilience/console`)
    process.exitCode = 1
  } else {
    if (!isCheck) writeFileSync(file, text)
    console.log(`the page has ${gzipped} bytes gzipped, of at most ${most}`)
  }
}
