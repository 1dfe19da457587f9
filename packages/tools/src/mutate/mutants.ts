// Small changes of a program, each of which some test must notice; and a program that holds all of them at once.
import { parseSync, Visitor } from "rolldown/utils"

/** One change: a piece of the source, and what stands there instead. */
export interface Mutant {
  /** Where it is and what it does, without line numbers: `Gate exit: self.running -= 1 → (removed)`. */
  readonly name: string
  readonly line: number
  readonly start: number
  readonly end: number
  /** `undefined`: the statement is left out. */
  readonly instead: string | undefined
  /** Evaluated once, when its module is loaded. */
  readonly isStatic: boolean
}

interface Range {
  readonly start: number
  readonly end: number
}

const comparisons: Readonly<Record<string, ReadonlyArray<string>>> = {
  "<": ["<=", ">="],
  "<=": ["<", ">"],
  ">": [">=", "<="],
  ">=": [">", "<"],
  "===": ["!=="],
  "!==": ["==="]
}

const operators: Readonly<Record<string, ReadonlyArray<string>>> = {
  ...comparisons,
  "+": ["-"],
  "-": ["+"],
  "*": ["/"],
  "/": ["*"],
  "%": ["*"],
  "**": ["*"],
  ">>": ["<<"],
  "<<": [">>"],
  "&": ["|"],
  "|": ["&"]
}

const assignments: Readonly<Record<string, string>> = { "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "??=": "=" }

const methods: Readonly<Record<string, string>> = {
  min: "max",
  max: "min",
  floor: "ceil",
  ceil: "floor",
  round: "floor",
  some: "every",
  every: "some"
}

/** Calls that answer what they were called on, or as good as that. */
const dropped = ["sort", "filter", "fill"]

const numbers = (n: number): ReadonlyArray<number> => (n === 0 ? [1] : [n - 1, n + 1])

const oneLine = (text: string): string => text.replace(/\s+/g, " ")

/** All mutants of a module, in the order of the source. */
export const mutantsOf = (file: string, text: string): ReadonlyArray<Mutant> => {
  const module = file.replace(/^.*\//, "").replace(/\.\w+$/, "")
  const found: Array<Mutant> = []
  const names = new Map<string, number>()
  /** Enclosing definitions at the top level, and functions. */
  const within: Array<string> = []
  let depth = 0
  /** What must stay as it is: literals that are types or names. */
  const fixed = new Set<number>()
  const chains: Array<Range> = []
  /** Numbers that are added or subtracted: with a zero for one, the statement could as well be left out. */
  const steps = new Set<number>()

  const source = ({ end, start }: Range): string => text.slice(start, end)
  const add = (range: Range, instead: string | undefined): void => {
    const name = `${[module, ...within].join(" ")}: ${oneLine(source(range))} → ${instead === undefined ? "(removed)" : oneLine(instead)}`
    const seen = (names.get(name) ?? 0) + 1
    names.set(name, seen)
    found.push({
      name: seen === 1 ? name : `${name} (${seen})`,
      line: text.slice(0, range.start).split("\n").length,
      start: range.start,
      end: range.end,
      instead,
      isStatic: depth === 0
    })
  }
  /** The text of a range, with a piece of it replaced. */
  const replaced = (range: Range, piece: Range, by: string): string =>
    text.slice(range.start, piece.start) + by + text.slice(piece.end, range.end)
  const operator = (node: Range, left: Range, right: Range, instead: string): void =>
    add(node, `${source(left)} ${instead} ${source(right)}`)
  const condition = (test: Range): void => {
    add(test, "true")
    add(test, "false")
  }
  const enter = (): void => {
    depth += 1
  }
  const leave = (): void => {
    depth -= 1
  }

  new Visitor({
    TSLiteralType: ({ literal }) => {
      fixed.add(literal.start)
    },
    TSPropertySignature: ({ key }) => {
      fixed.add(key.start)
    },
    Property: ({ computed, key }) => {
      if (!computed) fixed.add(key.start)
    },
    VariableDeclarator: ({ id }) => {
      if (depth === 0 && id.type === "Identifier") within.push(id.name)
    },
    "VariableDeclarator:exit": () => {
      if (depth === 0) within.pop()
    },
    FunctionDeclaration: ({ id }) => {
      if (depth === 0) within.push(id?.name ?? "function")
      enter()
    },
    "FunctionDeclaration:exit": () => {
      leave()
      if (depth === 0) within.pop()
    },
    ClassDeclaration: ({ id }) => {
      if (depth === 0) within.push(id?.name ?? "class")
    },
    "ClassDeclaration:exit": () => {
      if (depth === 0) within.pop()
    },
    FunctionExpression: enter,
    "FunctionExpression:exit": leave,
    ArrowFunctionExpression: ({ body }) => {
      enter()
      // A body that does one thing is a statement.
      if (body.type === "CallExpression" && body.callee.type === "Identifier") add(body, "undefined")
    },
    "ArrowFunctionExpression:exit": leave,

    ExpressionStatement: (node) => add(node, undefined),
    SwitchCase: ({ consequent, test }) => {
      // No value is equal to this one.
      if (test !== null) add(test, "NaN")
      for (const statement of consequent) if (statement.type === "ReturnStatement") add(statement, undefined)
    },
    IfStatement: ({ test }) => condition(test),
    ConditionalExpression: ({ test }) => condition(test),
    ForStatement: ({ test }) => {
      if (test !== null) add(test, "false")
    },
    WhileStatement: ({ test }) => add(test, "false"),

    BinaryExpression: (node) => {
      for (const instead of operators[node.operator] ?? []) operator(node, node.left, node.right, instead)
    },
    LogicalExpression: (node) => {
      add(node, source(node.left))
      add(node, source(node.right))
      if (node.operator !== "??") operator(node, node.left, node.right, node.operator === "&&" ? "||" : "&&")
    },
    UnaryExpression: (node) => {
      if (node.operator === "!" || node.operator === "-") add(node, source(node.argument))
    },
    UpdateExpression: (node) => {
      const instead = node.operator === "++" ? "--" : "++"
      add(node, node.prefix ? instead + source(node.argument) : source(node.argument) + instead)
    },
    AssignmentExpression: (node) => {
      const instead = assignments[node.operator]
      if (instead !== undefined) operator(node, node.left, node.right, instead)
      if (instead === "+=" || instead === "-=") steps.add(node.right.start)
    },
    CallExpression: (node) => {
      if (node.callee.type !== "MemberExpression" || node.callee.property.type !== "Identifier") return
      const { object, property } = node.callee
      const instead = methods[property.name]
      if (instead !== undefined) add(node, replaced(node, property, instead))
      // Within a chain a piece of it cannot stand alone.
      if (dropped.includes(property.name) && chains.length === 0) add(node, source(object))
    },
    ChainExpression: (node) => {
      chains.push(node)
    },
    "ChainExpression:exit": () => {
      chains.pop()
    },
    MemberExpression: (node) => {
      const chain = chains.at(-1)
      if (!node.optional || chain === undefined) return
      const dot = text.indexOf("?.", node.object.end)
      add(chain, replaced(chain, { start: dot, end: dot + 2 }, node.computed ? "" : "."))
    },
    Literal: (node) => {
      if (fixed.has(node.start)) return
      if (typeof node.value === "boolean") add(node, String(!node.value))
      if (typeof node.value !== "number") return
      for (const n of numbers(node.value)) if (n !== 0 || !steps.has(node.start)) add(node, String(n))
    }
  }).visit(parseSync(file, text).program)
  return found.sort((a, b) => a.start - b.start || b.end - a.end)
}

/** The name under which the active mutant is asked for. */
export const asks = "__mutant"

/**
 * The same module with all its mutants in it: `__mutant(n)` answers whether the n-th is active. With none active it does
 * what it did. `first` is the number of its first mutant.
 */
export const instrument = (text: string, mutants: ReadonlyArray<Mutant>, first = 0): string => {
  interface Spot extends Range {
    readonly isStatement: boolean
    readonly mutants: Array<readonly [number, Mutant]>
  }
  const spots = new Map<string, Spot>()
  mutants.forEach((mutant, i) => {
    const { end, instead, start } = mutant
    const isStatement = instead === undefined
    const key = `${start}-${end}-${isStatement}`
    const spot = spots.get(key) ?? { start, end, isStatement, mutants: [] }
    spot.mutants.push([first + i, mutant])
    spots.set(key, spot)
  })
  // From the outside in.
  const queue = [...spots.values()].sort(
    (a, b) => a.start - b.start || b.end - a.end || Number(b.isStatement) - Number(a.isStatement)
  )
  const render = (start: number, end: number): string => {
    let out = ""
    let at = start
    for (let spot = queue[0]; spot !== undefined && spot.start < end; spot = queue[0]) {
      queue.shift()
      out += text.slice(at, spot.start)
      const inner = render(spot.start, spot.end)
      const active = (n: number) => `${asks}(${n})`
      out += spot.isStatement
        ? `{ if (!(${spot.mutants.map(([n]) => active(n)).join(" || ")})) { ${inner} } }`
        : `(${spot.mutants.map(([n, { instead }]) => `${active(n)} ? (${instead}) : `).join("")}(${inner}))`
      at = spot.end
    }
    return out + text.slice(at, end)
  }
  return render(0, text.length)
}
