declare const brand: unique symbol

/** A `Base` that only its own parser may make: two brands of the same base do not mix. */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name }
