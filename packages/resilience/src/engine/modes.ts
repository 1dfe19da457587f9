/** Whether the calls of a policy are enforced, observed or left alone: as configured, and as changed while it runs. */
import * as Rollout from "../Rollout.ts"
import * as Check from "../runtime/options.ts"
import { attempt } from "../runtime/read.ts"
import type { Override, Plug } from "./changes.ts"

export type Mode = "enforce" | "observe" | "off"

const modes: ReadonlyArray<unknown> = ["enforce", "observe", "off"]

/** Checks a mode. Throws a `RangeError`. */
export const checkMode = (where: string, mode: unknown): Mode =>
  modes.includes(mode) ? (mode as Mode) : Check.invalid(where, "mode", `"enforce", "observe" or "off"`, mode)

interface RolloutSettings {
  readonly percent: number
  readonly by: "instance" | "key" | ((key: string) => string)
}

/** What a policy says about its modes among its settings. */
export interface ModeSettings {
  readonly mode: Mode
  readonly rollout: RolloutSettings | undefined
}

export class Modes {
  private readonly policy: string
  private settings: ModeSettings
  /** The name of the process in a rollout. */
  private instance: string
  /** The mode for every key, in place of the configured one. */
  private all: Mode | undefined
  private readonly keys = new Map<string, Mode>()
  /** Called after each change. */
  onChange: (() => void) | undefined

  constructor(policy: string, settings: ModeSettings, instance: string) {
    this.policy = policy
    this.settings = settings
    this.instance = instance
    this.all = undefined
    this.onChange = undefined
  }

  /** Is every call enforced, and none counted by its arm? */
  get isPlain(): boolean {
    return (this.all ?? this.settings.mode) === "enforce" && this.settings.rollout === undefined && this.keys.size === 0
  }

  /** Has the policy a rollout? Its calls are counted by arm then. */
  get hasArms(): boolean {
    return this.settings.rollout !== undefined
  }

  /** Sets the mode of a key, or of every key; `undefined` ends that. */
  set(key: string | undefined, mode: Mode | undefined): void {
    if (key === undefined) this.all = mode
    else if (mode === undefined) this.keys.delete(key)
    else this.keys.set(key, mode)
    this.onChange?.()
  }

  /** The command `mode`: of those in force the last one for a key counts, else the last one for all keys. */
  readonly plug: Plug = {
    check: (where, values) => {
      Check.noUnknown(where, values, ["mode"])
      return { mode: checkMode(where, values["mode"]) }
    },
    apply: (inForce) => this.override(inForce),
    // One for every key does not end one for a key.
    covers: (later, earlier) => later.key === earlier.key,
    read: (key) => ({ mode: key === undefined ? (this.all ?? this.settings.mode) : this.of(key) })
  }

  private override(inForce: ReadonlyArray<Override>): void {
    this.all = undefined
    this.keys.clear()
    for (const { key, values } of inForce) {
      // Checked by the plug.
      const mode = values["mode"] as Mode
      if (key === undefined) this.all = mode
      else this.keys.set(key, mode)
    }
    this.onChange?.()
  }

  /** Replaces what is configured. */
  configure(settings: ModeSettings): void {
    this.settings = settings
    this.onChange?.()
  }

  /** The mode of the calls of a key that begin now. */
  of(key: string): Mode {
    const { all, keys, settings } = this
    return (keys.size === 0 ? undefined : keys.get(key)) ?? all ?? this.configured(settings, key)
  }

  private configured({ mode, rollout }: ModeSettings, key: string): Mode {
    if (rollout === undefined) return mode
    const { by, percent } = rollout
    // The function is the user's and may throw, which must not reach the caller.
    const unit = by === "instance" ? this.instance : by === "key" ? key : attempt(() => String(by(key)), key)
    return Rollout.position(this.policy, unit) < percent ? "enforce" : "observe"
  }
}
