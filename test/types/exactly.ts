/** Are these two types the same type, and not only assignable to each other? */
export type Equal<X, Y> = (<T>() => T extends X ? 1 : 2) extends <T>() => T extends Y ? 1 : 2 ? true : false

interface Differs<Actual, Expected> {
  readonly expected: Expected
  readonly actual: Actual
}

/** Compiles only if the two types are the same: `exactly<typeof program, Effect.Effect<A, E, R>>(true)`. */
export declare const exactly: <Actual, Expected>(
  same: Equal<Actual, Expected> extends true ? true : Differs<Actual, Expected>
) => void
