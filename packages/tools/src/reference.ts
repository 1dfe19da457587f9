// Writes the API reference of the published packages, from their sources, to .cache/reference.
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { Application, type TypeDocOptions } from "typedoc"
import { published } from "./packages.ts"

const out = ".cache/reference"

const config = ".cache/reference.json"
const entryPoints = published.flatMap(({ modules, path }) => modules.map((module) => `${path}/src/${module}.ts`))
mkdirSync(".cache", { recursive: true })
writeFileSync(config, JSON.stringify({ extends: "../tsconfig.json", include: [], files: entryPoints.map((file) => `../${file}`) }))

const options: TypeDocOptions = {
  name: "effect-resilience",
  readme: "none",
  entryPoints,
  displayBasePath: "packages",
  tsconfig: config,
  skipErrorChecking: true,
  out,
  githubPages: false,
  hideGenerator: true,
  excludePrivate: true,
  excludeInternal: true,
  sort: ["alphabetical"],
  disableSources: true,
  validation: { notExported: true, invalidLink: true, invalidPath: true, rewrittenLink: true }
}
rmSync(out, { force: true, recursive: true })
const app = await Application.bootstrap(options)
const project = await app.convert()
if (project !== undefined) {
  app.validate(project)
  await app.generateOutputs(project)
}
console.log(app.logger.errorCount, app.logger.warningCount)
