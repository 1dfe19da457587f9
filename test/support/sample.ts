/**
 * How much of a sample a test checks: a part of it in `npm test`, all of it in `npx tool soak --whole`. A part must still find
 * every planted bug, and hold one of each kind.
 */
export const isWhole = process.env["TEST_SAMPLE"] === "whole"

export const sample = <A>(part: A, whole: A): A => (isWhole ? whole : part)
