/**
 * The variables behind configured options: which one an option is read from, and which of them no option reads. A
 * `ConfigProvider` does not say it, so the paths that it looks up are observed through its own `mapInput`.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"

type Path = ConfigProvider.Path

/** Where the options of a policy are read, and the paths of its options below. */
export interface Source {
  readonly provider: ConfigProvider.ConfigProvider
  readonly path: Path
  readonly options: ReadonlyArray<Path>
}

/** What schemas are made of, as far as it is read here. */
export interface Ast {
  readonly _tag: string
  readonly propertySignatures?: ReadonlyArray<{ readonly name: PropertyKey; readonly type: Ast }>
  readonly types?: ReadonlyArray<Ast>
}

/** What a schema is made of. */
export const astOf = (schema: Schema.Constraint): Ast => schema.ast

/** The paths of all options of a schema: of a union, those of every member. */
export const optionsOf = (schema: Schema.Constraint): ReadonlyArray<Path> => {
  const walk = (ast: Ast, path: Path): ReadonlyArray<Path> => {
    if (ast.propertySignatures !== undefined) {
      return ast.propertySignatures.flatMap(({ name, type }) => walk(type, [...path, String(name)]))
    }
    const members = ast.types?.filter((type) => type.propertySignatures !== undefined) ?? []
    return members.length > 0 ? members.flatMap((type) => walk(type, path)) : [path]
  }
  const found = walk(astOf(schema), []).map((path) => [path.join("."), path] as const)
  return Array.from(new Map(found).values())
}

/** A path of the source itself, without the transformations of the provider. */
const load = (provider: ConfigProvider.ConfigProvider, path: Path): Effect.Effect<ConfigProvider.Node | undefined> =>
  provider
    .mapInput(() => path)
    .load([])
    .pipe(Effect.catch(() => Effect.undefined))

/** The path that a provider looks up for a path, after its transformations. */
const lookedUp = (provider: ConfigProvider.ConfigProvider, path: Path): Effect.Effect<Path> => {
  let seen = path
  const observed = provider.mapInput((path) => {
    seen = path
    return path
  })
  return Effect.map(Effect.ignore(Effect.suspend(() => observed.load(path))), () => seen)
}

/** `constantCase`, as Effect applies it to a path. */
const inConstantCase = (path: Path): Effect.Effect<Path> =>
  lookedUp(ConfigProvider.constantCase(ConfigProvider.make(() => Effect.undefined)), path)

/** Environment variables are found by their name, values of an object only by their path. */
const name = (provider: ConfigProvider.ConfigProvider, path: Path): Effect.Effect<string> =>
  Effect.map(load(provider, [path.join("_")]), (node) => path.join(node === undefined ? "." : "_"))

/** The name of the variable that an option is read from. */
export const variableOf = ({ path, provider }: Source, option: Path): Effect.Effect<string> =>
  Effect.flatMap(lookedUp(provider, [...path, ...option]), (found) => name(provider, found))

/** What an option is read from holds, if it is one value. */
export const valueOf = ({ path, provider }: Source, option: Path): Effect.Effect<string | undefined> =>
  Effect.map(Effect.option(provider.load([...path, ...option])), (found) => Option.getOrUndefined(found)?.value)

/** The paths below a path that have a value. */
const below = (provider: ConfigProvider.ConfigProvider, path: Path): Effect.Effect<ReadonlyArray<Path>> =>
  Effect.flatMap(load(provider, path), (node) => {
    if (node === undefined) return Effect.succeed([])
    if (node._tag !== "Record") return Effect.succeed([path])
    const children = Effect.forEach(node.keys, (key) => below(provider, [...path, key]))
    return Effect.map(children, (found) => (node.value === undefined ? found.flat() : [path, ...found.flat()]))
  })

/** Sentences about variables that look like options of a policy and that nothing reads. */
export const unread = (source: Source): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const { options, path, provider } = source
    // Below the root are the variables of the whole program.
    if (path.length === 0) return []
    const paths = options.map((option) => [...path, ...option])
    const read = yield* Effect.forEach(paths, (path) => lookedUp(provider, path))
    const known = new Set(read.map((path) => path.join("_")))
    const found = yield* Effect.flatMap(lookedUp(provider, path), (path) => below(provider, path))
    const unknown = found.filter((path) => !known.has(path.join("_")))
    const names = yield* Effect.forEach(unknown, (path) => name(provider, path))
    const sentences = names.map((name) => `no option reads ${name}`)
    for (const path of paths) {
      const variable = (yield* inConstantCase(path)).join("_")
      if (known.has(variable) || (yield* load(provider, [variable])) === undefined) continue
      sentences.push(
        `no option reads ${variable}, because the ConfigProvider looks up ${(yield* lookedUp(provider, path)).join("_")}: apply ConfigProvider.constantCase to it`
      )
    }
    return sentences
  })
