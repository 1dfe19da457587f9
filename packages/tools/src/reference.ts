// Writes the API reference of the published packages, from their sources, to .cache/reference. TypeDoc reads programs
// through the JavaScript API of the compiler, which TypeScript 7 does not have: beside it stands TypeScript 6, in the
// node_modules of this package.
import { rmSync } from "node:fs"
import { Application } from "typedoc"
import { libraries } from "./packages.ts"

const out = ".cache/reference"

rmSync(out, { force: true, recursive: true })
const app = await Application.bootstrap({
  name: "effect-resilience",
  entryPointStrategy: "packages",
  entryPoints: libraries.map(({ path }) => path),
  packageOptions: {
    entryPoints: ["src/**/*.ts"],
    exclude: libraries.flatMap(({ hidden }) =>
      hidden.flatMap((pattern) => [`**/src/${pattern}`, `**/src/${pattern}.ts`])
    ),
    displayBasePath: "src",
    readme: "none",
    // Types are the business of `npm run check types`.
    skipErrorChecking: true,
    // None of the packages needs to be built first.
    compilerOptions: { customConditions: ["@effect-resilience/source"] },
    // What a class inherits from one of Effect's is in Effect's reference.
    excludeExternals: true,
    excludePrivate: true,
    disableSources: true,
    categorizeByGroup: false
  },
  readme: "none",
  out,
  hideGenerator: true,
  githubPages: false,
  categorizeByGroup: false,
  navigation: { includeCategories: true, includeGroups: false },
  externalSymbolLinkMappings: { effect: { "*": "#" } },
  validation: { notExported: true, invalidLink: true, invalidPath: true, rewrittenLink: true }
})
const project = await app.convert()
// What a package refers to and does not export is reported; any other warning, such as of a broken link, fails.
const hidden = app.logger.validationWarningCount
if (project !== undefined) {
  app.validate(project)
  await app.generateOutputs(project)
}
const { errorCount, warningCount } = app.logger
console.log(`${out}/index.html: ${libraries.length} packages; ${hidden} types in public signatures are not exported`)
if (project === undefined || errorCount > 0 || warningCount > hidden) process.exitCode = 1
