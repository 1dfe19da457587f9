/** State that all copies of this package in a program have in common, by a name that says its version. */
export const shared = <A>(name: string, make: () => A): A => {
  const key = Symbol.for(`effect-resilience/${name}`)
  // The type of what stands under a name never changes; another type gets another name.
  // biome-ignore lint/style/noRestrictedGlobals: the one thing that two copies of a module have in common
  const all = globalThis as { [key: symbol]: A | undefined }
  // Not enumerable: nothing that walks over the globals meets it.
  if (all[key] === undefined) Object.defineProperty(all, key, { value: make() })
  return all[key] as A
}
