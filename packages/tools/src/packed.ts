// Tarballs of the packages as npm packs them, made once for the same sources: `npm run check pack` leaves them, and so do tests.
import { createHash } from "node:crypto"
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join, resolve } from "node:path"
import { type Package, published } from "./packages.ts"
import { type Result, run } from "./run.ts"

/** Where `npm run check pack` packs, and the digest of what it has packed. */
export const checked = ".cache/pack"
const mark = join(checked, "digest")

const root = ".cache/packed"

/** What a package is packed from. */
const parts = "{package.json,tsconfig.json,README.md,AGENTS.md,llms.txt,src,page,bundle.ts,manual.ts}"
const shared = ["package.json", "package-lock.json", "tsconfig.json", "LICENSE", "README.md", "CHANGELOG.md"]

/** The digest of everything that packing reads. */
export const digestOfSources = (): string => {
  const files = [
    ...shared,
    ...published.flatMap(({ path }) => [...globSync(`${path}/${parts}`), ...globSync(`${path}/{src,page}/**/*.*`)]),
    ...globSync("packages/tools/{guard.mjs,src/*.ts}")
  ]
    .map((file) => file.replaceAll("\\", "/"))
    // A copy that packing writes.
    .filter((file) => file !== "packages/resilience/README.md" && statSync(file).isFile())
    .sort()
  const hash = createHash("sha256").update(process.version)
  for (const file of files) hash.update(`\n${file}\n`).update(readFileSync(file))
  return hash.digest("hex").slice(0, 16)
}

/** To be called when everything is packed into {@link checked}, with the digest from before. */
export const remember = (digest: string): void => writeFileSync(mark, digest)

const tarballIn = (folder: string): string | undefined => globSync(join(folder, "*.tgz"))[0]

const packageNamed = (name: string): Package => {
  const one = published.find((one) => one.name === name)
  if (one === undefined) throw new Error(`no package is named ${name}`)
  return one
}

const ended = ({ ok, output }: Result): string => {
  if (!ok) throw new Error(output)
  return output
}

/** Unpacks a tarball into a folder, which has then what the tarball holds in its own `package`. */
export const unpack = async (tarball: string, folder: string): Promise<void> => {
  mkdirSync(folder, { recursive: true })
  ended(await run("tar", ["-xzf", resolve(tarball), "-C", folder, "--strip-components", "1"]))
}

// Packing builds, and a build empties `dist`: so it is done in a copy, beside whoever builds in the repository.
const pack = async ({ path, peers }: Package, into: string): Promise<void> => {
  const copy = mkdtempSync(join(tmpdir(), "pack-"))
  try {
    symlinkSync(resolve("node_modules"), join(copy, "node_modules"), "junction")
    for (const part of [...shared, "packages/tools", ...globSync(`${path}/${parts}`)]) {
      cpSync(part, join(copy, part), { recursive: true })
    }
    // It compiles against the bases of the copy, as they are published.
    for (const base of published.filter(({ name }) => peers.includes(name))) {
      await unpack(await packed(base.name), join(copy, base.path))
      const link = join(copy, path, "node_modules", base.name)
      mkdirSync(dirname(link), { recursive: true })
      symlinkSync(join(copy, base.path), link, "junction")
    }
    mkdirSync(into, { recursive: true })
    const args = ["pack", "--silent", "--pack-destination", resolve(into)]
    ended(await run("npm", args, { cwd: join(copy, path) }))
  } finally {
    rmSync(copy, { force: true, recursive: true })
  }
}

/** Whether the process that has written a lock lives. */
const lives = (lock: string): boolean => {
  try {
    process.kill(Number(readFileSync(lock, "utf8")), 0)
    return true
  } catch {
    return false
  }
}

/** Takes a lock that another thread or process may hold, and waits as long as `goesOn`. */
export const lockOf = async (lock: string, goesOn: () => boolean): Promise<boolean> => {
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" })
      return true
    } catch {
      if (!goesOn()) return false
      // Written in two steps, so an empty one is new.
      if (existsSync(lock) && Date.now() - statSync(lock).mtimeMs > 5000 && !lives(lock)) rmSync(lock, { force: true })
      await new Promise((wake) => setTimeout(wake, 50))
    }
  }
}

/** The tarball of a package, by its name. It is packed now if these sources have not been. */
export const packed = async (name: string): Promise<string> => {
  const one = packageNamed(name)
  const digest = digestOfSources()
  if (existsSync(mark) && readFileSync(mark, "utf8") === digest) {
    const tarball = tarballIn(join(checked, basename(one.path)))
    if (tarball !== undefined) return resolve(tarball)
  }
  const folder = join(root, digest, one.path)
  const lock = join(root, `${digest}-${basename(one.path)}.lock`)
  mkdirSync(root, { recursive: true })
  // Those of other sources are of no use any more.
  for (const other of globSync("*", { cwd: root })) {
    const path = join(root, other)
    if (!other.startsWith(digest) && Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > 600_000) {
      rmSync(path, { force: true, recursive: true })
    }
  }
  if (await lockOf(lock, () => tarballIn(folder) === undefined)) {
    try {
      if (tarballIn(folder) === undefined) {
        const made = mkdtempSync(join(resolve(root), "new-"))
        await pack(one, made)
        mkdirSync(dirname(folder), { recursive: true })
        renameSync(made, folder)
      }
    } finally {
      rmSync(lock, { force: true })
    }
  }
  const tarball = tarballIn(folder)
  if (tarball === undefined) throw new Error(`${name} has not been packed`)
  return resolve(tarball)
}
