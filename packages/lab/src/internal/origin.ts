/** Whether this code runs from the sources, and not from the build. */
export const isSource = import.meta.url.endsWith(".ts")
