// The command in this process.
import { run } from "./command.ts"

const code = await run(process.argv.slice(2), { console, progress: process.stderr })
// What the user's file has left running does not hold up a command that has failed.
if (code !== 0) process.exit(code)
