// The crontab of `examples/jobs` under Debian's own cron, with a spool and mail of its own, for a few real minutes.
import { spawn, spawnSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { bundle } from "../../cli/bundle.ts"
import { pause, processesOf } from "./jobs.ts"

const help = `Runs the crontab of examples/jobs under Debian's cron for four minutes, with a spool and mail of its own: what runs, what
overlaps, what rests, what is kept and replayed, and what sends mail.

  npx tool cron

It needs the package cron and root, for a mount namespace of its own; without them it says so and ends with 0.
Exit code 1 when something is wrong.`

const cron = "/usr/sbin/cron"

/** Why it cannot run here. */
const obstacle = (): string | undefined => {
  if (!existsSync(cron)) return "cron is not installed (apt-get install cron)"
  if (process.getuid?.() !== 0) return "cron needs root"
  if (spawnSync("unshare", ["-m", "true"]).status !== 0) return "no mount namespace may be made here"
  return undefined
}

/** In a namespace of its own: the spool, the folders of tables, where mail goes and the file with cron's process are those of this run. */
const namespace = `set -e
mkdir -p /var/spool/cron /etc/cron.d
mount --bind "$1/spool" /var/spool/cron
mount --bind "$1/empty" /etc/cron.d
[ ! -e /etc/crontab ] || mount --bind /dev/null /etc/crontab
cp ${cron} "$1/sbin/cron"
mount --bind "$1/sbin" /usr/sbin
mount --bind "$1/run" /run
exec /usr/sbin/cron -f
`

/** A job that takes longer than the time to the next run, and a lock of its own that says whether two run at once. */
const slow = `exec 9>"$0.witness"
flock -n 9 || echo "two of slow at once" >> "$0.violations"
echo begun >> "$0.runs"
sleep 75
`

const minutes = 4

interface Status {
  readonly name: string
  readonly failures?: number
  readonly circuit?: { readonly state: string }
}

/** The folder of this run, and the command in it. */
interface Place {
  readonly folder: string
  readonly at: (name: string) => string
  /** A variable of every job, by which its processes are found. */
  readonly mark: string
  /** The output of the command. */
  readonly ask: (...args: ReadonlyArray<string>) => string
}

const makePlace = async (folder: string): Promise<Place> => {
  const at = (name: string): string => join(folder, name)
  for (const name of ["bin", "sbin", "spool/crontabs", "empty", "run", "mail", "state", "logs", "srv/offer"]) {
    mkdirSync(at(name), { recursive: true })
  }
  const command = await bundle(at("dist"))
  const program = (name: string, text: string): void => {
    writeFileSync(at(name), `#!/bin/sh\n${text}`)
    chmodSync(at(name), 0o755)
  }
  program("bin/resilience", `exec ${process.execPath} ${command} "$@"\n`)
  program("sbin/sendmail", `cat > ${folder}/mail/$$\n`)
  program("slow.sh", slow)
  const env = { ...process.env, RESILIENCE_STATE_DIR: at("state") }
  const ask = (...args: ReadonlyArray<string>): string =>
    spawnSync(process.execPath, [command, ...args], { env, encoding: "utf8" }).stdout
  return { folder, at, mark: `CRON_RUN=${folder}`, ask }
}

/** Writes the crontab of the examples, with the folders of this run: each line runs each minute, but the report once, at `first`. */
const writeTable = ({ at, mark }: Place, first: Date): void => {
  const table = readFileSync(resolve("examples/jobs/crontab"), "utf8")
    .replace("/usr/local/bin:", `${at("bin")}:`)
    .replace("/opt/jobs", resolve("examples/jobs"))
    .replaceAll(/\/srv(?=\/)/g, at("srv"))
    .replaceAll("/var/log/jobs", at("logs"))
    .replace(/^\*\/5 \* \* \* \*/m, "* * * * *")
    .replace(/^\*\/2 \* \* \* \*/m, "* * * * *")
    .replace(/^7 3 \* \* \*/m, `${first.getMinutes()} ${first.getHours()} * * *`)
    .replace(/^30 \* \* \* \*/m, "* * * * *")
  const own = [`MAILTO=ops`, mark, `RESILIENCE_STATE_DIR=${at("state")}`].join("\n")
  const line = `* * * * * resilience run --name slow --quiet -- ${at("slow.sh")}`
  writeFileSync(at("spool/crontabs/root"), `${own}\n${table}\n${line}\n`, { mode: 0o600 })
}

const spooled = ({ ask }: Place): ReadonlyArray<unknown> => JSON.parse(ask("spool", "list", "--json"))

/** What can be seen only while cron runs, or when it has just ended. */
interface Seen {
  /** The exit code of cron, if it ended too early. */
  readonly ended: number | null
  readonly wasSpooled: boolean
  readonly orphans: ReadonlyArray<number>
}

/** Runs cron for its minutes, and ends it and what it has left. */
const runCron = async (place: Place): Promise<Seen> => {
  const { at, folder, mark } = place
  // cron needs a moment before its first minute.
  const toMinute = 60_000 - (Date.now() % 60_000)
  if (toMinute < 10_000) await pause(toMinute)
  const now = Date.now()
  writeTable(place, new Date(now + 60_000))
  const daemon = spawn("unshare", ["-m", "--propagation", "private", "sh", "-c", namespace, "sh", folder], {
    stdio: ["ignore", "inherit", "inherit"]
  })
  const exit = new Promise<void>((resolve) => daemon.once("exit", () => resolve()))
  // The second 0 of the next minute is the first tick.
  const end = (Math.floor(now / 60_000) + minutes) * 60_000 + 50_000
  let wasSpooled = false
  while (Date.now() < end && daemon.exitCode === null) {
    await pause(2000)
    if (wasSpooled || spooled(place).length === 0) continue
    wasSpooled = true
    // The upstream is back: the replay of the next minute does the work.
    mkdirSync(at("srv/report"))
  }
  const ended = daemon.exitCode
  daemon.kill("SIGTERM")
  await exit
  for (let seconds = 0; seconds < 100 && processesOf(mark).length > 0; seconds++) await pause(1000)
  const orphans = processesOf(mark)
  for (const pid of orphans) process.kill(pid, "SIGKILL")
  return { ended, wasSpooled, orphans }
}

/** What is wrong. */
const examine = (place: Place, { ended, orphans, wasSpooled }: Seen): ReadonlyArray<string> => {
  const { ask, at } = place
  const wrong: Array<string> = []
  const expect = (isSo: boolean, what: string): void => {
    if (!isSo) wrong.push(what)
  }
  const outcomesOf = (name: string): ReadonlyArray<string> =>
    (JSON.parse(ask("history", name, "--json")) as ReadonlyArray<{ readonly outcome: string }>).map(
      ({ outcome }) => outcome
    )
  const runs = (name: string, wanted: string): number => outcomesOf(name).filter((outcome) => outcome === wanted).length
  const statuses: ReadonlyArray<Status> = JSON.parse(ask("status", "--json"))
  const mails = readdirSync(at("mail")).map((name) => readFileSync(at(`mail/${name}`), "utf8"))
  const mailsOf = (name: string): number => mails.filter((text) => text.includes(`--name ${name} `)).length
  for (const name of ["sync", "prices", "report", "slow"])
    console.log(`${name}: ${outcomesOf(name).join(", ")}; ${mailsOf(name)} mails`)

  expect(ended === null, `cron ended with ${ended}`)
  expect(orphans.length === 0, `processes that are left: ${orphans.join(", ")}`)
  const good = runs("sync", "ok")
  expect(good >= minutes - 1, `sync ran ${good} times in ${minutes} minutes`)
  expect(mailsOf("sync") === 0, "a good run of sync sent mail")
  expect(statuses.find(({ name }) => name === "prices")?.circuit?.state === "open", "the circuit of prices is not open")
  expect(runs("prices", "failed") === 3, "prices failed other than 3 times")
  expect(mailsOf("prices") >= 3, `prices failed 3 times and sent ${mailsOf("prices")} mails`)
  expect(wasSpooled, "the report that failed for good is not in the spool")
  expect(spooled(place).length === 0, `the spool still has ${JSON.stringify(spooled(place))}`)
  expect(existsSync(at("slow.sh.runs")), "slow never ran")
  expect(!existsSync(at("slow.sh.violations")), "two of slow at once")
  expect(mailsOf("slow") >= 1, "a run that was skipped, because the one before was under way, sent no mail")
  if (wrong.length > 0) for (const mail of mails) console.log(mail)
  return wrong
}

const main = async (): Promise<ReadonlyArray<string>> => {
  const folder = mkdtempSync(join(tmpdir(), "resilience-cron-"))
  try {
    const place = await makePlace(folder)
    return examine(place, await runCron(place))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const { values } = parseArgs({ options: { help: { type: "boolean", default: false } } })
if (values.help) console.log(help)
else {
  const reason = obstacle()
  if (reason !== undefined) console.log(`skipped: ${reason}`)
  else {
    const wrong = await main()
    for (const line of wrong) console.error(line)
    console.log(wrong.length === 0 ? "all holds" : "FAILED: npx tool cron")
    process.exitCode = wrong.length === 0 ? 0 : 1
  }
}
