import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { type Block, Broken, withAssertions } from "./blocks.ts"

/** What is compiled and run as one: a block and those that continue it. */
export interface Module {
  readonly path: string
  readonly code: string
  readonly blocks: readonly [Block, ...Array<Block>]
  readonly runs: boolean
  /** If it must not compile: the block that holds the error, always its last. */
  readonly wrong: Block | undefined
}

/** The modules of one file's blocks. */
export const modulesOf = (blocks: ReadonlyArray<Block>, folder: string): ReadonlyArray<Module> => {
  const modules: Array<Module> = []
  const wrongModules: Array<Module> = []
  for (const block of blocks) {
    if (block.marks.has("no-check")) continue
    const previous = block.marks.has("continue") ? modules.pop() : undefined
    if (previous === undefined && block.marks.has("continue")) {
      throw new Broken(block.line - 1, "there is no block before it to continue")
    }
    const isWrong = block.marks.has("expect-error")
    const code = withAssertions(block)
    const module: Module = {
      path: join(folder, `${block.file.replace(/[^\w.]/g, "-")}.${block.line}.ts`),
      code: previous === undefined ? code : `${previous.code}\n${code}`,
      blocks: previous === undefined ? [block] : [...previous.blocks, block],
      runs: !(isWrong || block.marks.has("no-run") || previous?.runs === false),
      wrong: isWrong ? block : undefined
    }
    if (!isWrong) modules.push(module)
    else {
      wrongModules.push(module)
      if (previous !== undefined) modules.push(previous)
    }
  }
  return [...modules, ...wrongModules]
}

/** Empties a folder and writes modules into it, with a project to compile them. */
export const writeModules = (modules: ReadonlyArray<Module>, folder: string): void => {
  rmSync(folder, { force: true, recursive: true })
  mkdirSync(folder, { recursive: true })
  const from = (path: string) => relative(folder, path).replaceAll("\\", "/")
  const config = {
    extends: from("tsconfig.json"),
    include: ["*.ts"],
    compilerOptions: { noUnusedLocals: false, noUnusedParameters: false }
  }
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config))
  const prelude = `import { expectEqual } from "${from(join(import.meta.dirname, "expect.ts"))}"`
  for (const { code, path } of modules) writeFileSync(path, `${prelude}\n${code}`)
}

/** Where in the docs a line of a module comes from. */
export const locate = (module: Module, line: number): { readonly block: Block; readonly line: number } => {
  let start = 2
  for (const block of module.blocks) {
    const length = block.code.split("\n").length
    if (line < start + length) return { block, line: block.line + Math.max(line - start, 0) }
    start += length
  }
  const [block] = module.blocks
  return { block, line: block.line }
}
