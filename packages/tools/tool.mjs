#!/usr/bin/env node
// `npx tool <name> [arguments]`: everything that this repository runs from its sources, without a build. Plain JavaScript,
// because it starts on any Node, and ends on one that cannot run TypeScript.
import "./guard.mjs"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

/**
 * @typedef {object} Command
 * @property {string} about
 * @property {string} [file] from `packages`; default: a module of `packages/tools/src` with the name of the command
 * @property {ReadonlyArray<string>} [flags] of Node
 * @property {true} [paths] whether it takes paths: they are relative to the folder of the caller
 */

/** @type {Readonly<Record<string, Command>>} */
const commands = {
  check: { about: "all checks but the tests; with names of steps, only these" },
  docs: { about: "compiles and runs the code blocks of the documentation; with parts of paths, only there" },
  api: { about: "compares the public API with each api.md; --update writes them" },
  layers: { about: "which module may import which" },
  reference: { about: "writes the API reference of the packages to .cache/reference" },
  words: { about: "looks for words that were struck from the vocabulary; with parts of paths, only there" },
  lock: { about: "checks package-lock.json; --update adds the packages of other platforms" },
  examples: { about: "runs the examples; with parts of names, only these" },
  bench: { about: "measures against peers", file: "bench/src/main.ts", flags: ["--expose-gc"] },
  imports: { about: "how long an import of the built library takes", file: "bench/src/import.ts" },
  demo: {
    about: "an outage on loopback, three clients; --fleet 8: processes that share a circuit",
    file: "demo/src/main.ts"
  },
  lab: { about: "runs policies in virtual time, writes a report", file: "lab/src/cli/main.ts", paths: true },
  golden: { about: "compares the lab's quick set with the accepted figures; --update accepts the new ones" },
  dashboards: {
    about: "writes alerting rules and a dashboard for the policies of the examples; --check compares them"
  },
  outcomes: { about: "writes docs/outcomes.md from files that `npm run lab -- --full --json` wrote", paths: true },
  "lab:real": { about: "runs the lab beside real sockets", file: "tools/src/lab/real.ts", paths: true },
  "lab:shared": { about: "a fleet that shares, in the lab, beside one that does not", file: "tools/src/lab/shared.ts" },
  hedging: { about: "prints the table of the page on hedges", file: "tools/src/lab/hedging.ts" },
  tune: { about: "looks for the best settings of the libraries of others", file: "tools/src/lab/tune.ts" },
  jobs: { about: "runs a crontab in fast motion and kills wrappers and jobs at random: 50 jobs, 20 minutes of 6 s" },
  cron: { about: "runs the crontab of the examples under Debian's cron for four minutes" },
  soak: { about: "runs models, laws and chaos with new seeds, for minutes" },
  matrix: { about: "what may happen to a fleet and its board, with real processes; --list, --times, --only" },
  mutate: { about: "mutation testing of the machines" }
}

const list = Object.entries(commands)
  .map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)
  .join("\n")

const [name, ...rest] = process.argv.slice(2)
// npx hands on the `--` that npm takes away.
const args = rest[0] === "--" ? rest.slice(1) : rest

if (name === undefined || name === "--help") {
  console.log(`npx tool <name> [arguments]\n\n${list}`)
  process.exit(0)
}
if (!Object.hasOwn(commands, name)) {
  console.error(`there is no tool ${name}; there are\n\n${list}`)
  process.exit(1)
}

const { file = `tools/src/${name}.ts`, flags = [], paths = false } = commands[name]
const script = fileURLToPath(new URL(`../${file}`, import.meta.url))
const root = fileURLToPath(new URL("../../", import.meta.url))
const child = spawn(process.execPath, ["--conditions=@effect-resilience/source", ...flags, script, ...args], {
  // npm runs scripts in the root, and keeps the folder that it was called in here.
  cwd: paths ? (process.env.INIT_CWD ?? process.cwd()) : root,
  stdio: "inherit"
})
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    // Ctrl-C in a terminal has reached the child already, and a second one may mean "at once".
    if (signal !== "SIGINT" || process.stdin.isTTY !== true) child.kill(signal)
  })
}
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code ?? 1)
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
