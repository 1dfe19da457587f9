#!/usr/bin/env node
/** The command `resilience`. Imports nothing before it knows that this Node can load the rest. */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

if (major < 22 || (major === 22 && minor < 19)) {
  console.error(`resilience needs Node 22.19 or newer, but this is Node ${process.versions.node}`)
  process.exit(125)
}

const { main } = await import("./command.ts")
main()
