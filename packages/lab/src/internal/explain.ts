/** Messages for wrong scenarios: the known fields and kinds, and the value found. */
import * as Formatter from "effect/Formatter"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"

/** The edit distance: letters to change, add or remove. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [index, letter] of Array.from(a).entries()) {
    const next = [index + 1]
    for (let at = 1; at <= b.length; at++) {
      const changed = (row[at - 1] ?? 0) + (letter === b[at - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[at] ?? 0) + 1, (next[at - 1] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

const namesOf = (ast: SchemaAST.AST): ReadonlyArray<string> =>
  SchemaAST.isObjects(ast) ? ast.propertySignatures.map(({ name }) => String(name)) : []

const noField = (key: string, ast: SchemaAST.AST): string => {
  const names = namesOf(ast)
  const [nearest] = names
    .map((name) => ({ name, far: distance(key.toLowerCase(), name.toLowerCase()) }))
    .filter(({ far, name }) => far <= Math.max(1, Math.floor(name.length / 3)))
    .sort((a, b) => a.far - b.far)
  return nearest === undefined
    ? `Unknown field ${key}; expected one of ${names.join(", ")}`
    : `Unknown field ${key}; did you mean ${nearest.name}?`
}

/** The literals that distinguish the members of a union: the members themselves, or the field `kind` of each. */
const literalsOf = (ast: SchemaAST.AST): ReadonlyArray<string> => {
  if (SchemaAST.isUnion(ast)) return ast.types.flatMap(literalsOf)
  if (SchemaAST.isLiteral(ast)) return [String(ast.literal)]
  return SchemaAST.isObjects(ast)
    ? ast.propertySignatures.flatMap(({ name, type }) => (name === "kind" ? literalsOf(type) : []))
    : []
}

const says = (message: string): SchemaIssue.Issue => new SchemaIssue.InvalidValue({ message })

const noMember = (issue: SchemaIssue.AnyOf): SchemaIssue.Issue => {
  const { ast, input } = issue
  const literals = literalsOf(ast)
  if (literals.length === 0) return issue
  const range = `one of ${literals.join(", ")}`
  if (ast.types.every(SchemaAST.isLiteral)) return says(`Expected ${range}, got ${Formatter.format(input)}`)
  if (!Predicate.isObject(input))
    return says(`Expected an object whose kind is ${range}, got ${Formatter.format(input)}`)
  const got = "kind" in input ? Formatter.format(input.kind) : "nothing"
  return new SchemaIssue.Pointer(["kind"], says(`Expected ${range}, got ${got}`))
}

/** The expected range, also for the message of a wrong type. It is an annotation of the type or of its last check. */
const rangeOf = ({ annotations, checks }: SchemaAST.AST): unknown =>
  annotations?.expected ?? checks?.at(-1)?.annotations?.expected

const explain = (issue: SchemaIssue.Issue): SchemaIssue.Issue => {
  switch (issue._tag) {
    case "Pointer":
      return new SchemaIssue.Pointer(
        issue.path,
        issue.issue._tag === "UnexpectedKey"
          ? says(noField(String(issue.path.at(-1)), issue.issue.ast))
          : explain(issue.issue)
      )
    case "Encoding":
      return new SchemaIssue.Encoding(issue.ast, explain(issue.issue))
    case "Composite": {
      const [first, ...rest] = issue.issues
      return new SchemaIssue.Composite(issue.ast, [explain(first), ...rest.map(explain)])
    }
    case "AnyOf":
      return issue.issues.length === 0 ? noMember(issue) : new SchemaIssue.AnyOf(issue.ast, issue.issues.map(explain))
    case "InvalidType": {
      const expected = rangeOf(issue.ast)
      return typeof expected === "string" ? says(`Expected ${expected}, got ${Formatter.format(issue.input)}`) : issue
    }
    default:
      return issue
  }
}

/** For an issue that was found with `reportInput`. */
export const explained = ({ issue }: Schema.SchemaError): Schema.SchemaError => new Schema.SchemaError(explain(issue))
