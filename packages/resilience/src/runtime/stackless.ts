/**
 * Errors without a stack trace: capturing one is nearly the whole cost of a rejection. An instance is created without the
 * constructor of its class, always with the same fields in the same order.
 */
import { retainHiddenClass } from "./hiddenClass.ts"

/**
 * A constructor of errors with the prototype of a class. `assign` sets the fields on `this`; `samples` are the fields of one
 * instance for each shape that `assign` produces.
 */
export const stackless = <Fields, E extends object>(
  prototype: E,
  assign: (this: Record<string, unknown>, fields: Fields) => void,
  ...samples: ReadonlyArray<Fields>
): ((fields: Fields) => E) => {
  assign.prototype = prototype
  // A function with a prototype is a constructor, which TypeScript does not see.
  const Bare = assign as unknown as new (fields: Fields) => E
  for (const sample of samples) retainHiddenClass(new Bare(sample))
  return (fields) => new Bare(fields)
}
