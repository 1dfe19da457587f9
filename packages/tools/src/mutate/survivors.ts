// Mutants that no test can find, because they do what the original does: each with the reason.
export const survivors: Readonly<Record<string, string>> = {}
