// Plain JavaScript: it must run, and speak, on the old Node it guards against.
const major = Number(process.versions.node.split(".")[0])

if (major < 24) {
  console.error(
    `This project runs on Node 24, which comes with its packages, but this is Node ${process.versions.node}.\n` +
      "Run it through npm (`npm test`, `npm run check`, …), which puts that Node first on the PATH.\n" +
      "Should that not help, Node 24 was not installed: run `npm rebuild node`, or `npm ci` without --ignore-scripts."
  )
  process.exit(1)
}
