/** Whether these are the sources, and not what was built from them. */
export const isSource = import.meta.url.endsWith(".ts")
