import { parseSync, Visitor } from "rolldown/utils"

export interface Source {
  readonly file: string
  readonly text: string
}

export interface Block {
  readonly file: string
  /** Of its first line of code. */
  readonly line: number
  readonly marks: ReadonlySet<string>
  readonly code: string
}

/** A block that cannot even be read. */
export class Broken extends Error {
  readonly line: number
  constructor(line: number, message: string) {
    super(message)
    this.line = line
  }
}

const knownMarks: ReadonlySet<string> = new Set(["continue", "no-run", "no-check", "expect-error"])

const fence = /^(?<indent>\s*)(?<ticks>`{3,})(?<info>[^`]*)$/

const lineOf = (text: string, offset: number): number => text.slice(0, offset).split("\n").length

const blocksOfLines = (file: string, lines: ReadonlyArray<string>, firstLine: number): ReadonlyArray<Block> => {
  const blocks: Array<Block> = []
  for (let i = 0; i < lines.length; i++) {
    const { indent = "", info = "", ticks } = lines[i]?.match(fence)?.groups ?? {}
    if (ticks === undefined) continue
    const start = i + 1
    do i++
    while (i < lines.length && lines[i]?.trim() !== ticks)
    if (i === lines.length) throw new Broken(firstLine + start - 1, "the code block does not end")
    const [language, ...marks] = info.trim().split(/\s+/)
    if (language !== "ts" && language !== "typescript") continue
    const unknown = marks.find((mark) => !knownMarks.has(mark))
    if (unknown !== undefined) throw new Broken(firstLine + start - 1, `\`${unknown}\` is no mark of a code block`)
    const code = lines.slice(start, i).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line))
    blocks.push({ file, line: firstLine + start, marks: new Set(marks), code: code.join("\n") })
  }
  return blocks
}

/** The code blocks of a Markdown file, or of the doc comments of a TypeScript file. */
export const blocksOf = ({ file, text }: Source): ReadonlyArray<Block> => {
  if (file.endsWith(".md")) return blocksOfLines(file, text.split("\n"), 1)
  return parseSync(file, text)
    .comments.filter((comment) => comment.type === "Block" && comment.value.startsWith("*"))
    .flatMap((comment) => {
      const lines = comment.value.split("\n").map((line) => line.replace(/^\s*\* ?/, ""))
      return blocksOfLines(file, lines, lineOf(text, comment.start))
    })
}

interface Statement {
  readonly start: number
  /** The statement followed by the assertion that its value is this. */
  readonly expecting: (value: string) => string
}

/** Turns every `// => value` into a call of `expectEqual`, and keeps each line where it was. */
export const withAssertions = (block: Block): string => {
  const { code } = block
  const { comments, errors, program } = parseSync("block.ts", code)
  const lineAt = (offset: number) => block.line + lineOf(code, offset) - 1
  const [error] = errors
  if (error !== undefined) throw new Broken(lineAt(error.labels[0]?.start ?? 0), error.message)

  const statements = new Map<number, Statement>()
  new Visitor({
    ExpressionStatement: ({ end, expression, start }) => {
      const isLog = expression.type === "CallExpression" && code.startsWith("console.log(", start)
      const subject = (isLog ? expression.arguments[0] : undefined) ?? expression
      const text = code.slice(subject.start, subject.end)
      statements.set(end, { start, expecting: (value) => `expectEqual((${text}), (${value}));` })
    },
    VariableDeclaration: ({ declarations, end, start }) => {
      const id = declarations.at(-1)?.id
      if (id?.type !== "Identifier") return
      const text = code.slice(start, end)
      statements.set(end, { start, expecting: (value) => `${text}; expectEqual(${id.name}, (${value}));` })
    }
  }).visit(program)

  let written = ""
  let rest = 0
  for (const comment of comments) {
    const value = comment.type === "Line" ? comment.value.match(/^ =>(.*)/)?.[1]?.trim() : undefined
    if (value === undefined) continue
    const end = code.slice(0, comment.start).trimEnd().length
    const statement = statements.get(end)
    if (statement === undefined || code.slice(end, comment.start).includes("\n")) {
      throw new Broken(
        lineAt(comment.start),
        "`// =>` stands behind no expression and no declaration: it checks nothing"
      )
    }
    if (parseSync("value.ts", `(${value})`).errors.length > 0) {
      throw new Broken(lineAt(comment.start), `\`${value}\` is no expression`)
    }
    written += code.slice(rest, statement.start) + statement.expecting(value)
    rest = end
  }
  return written + code.slice(rest)
}
