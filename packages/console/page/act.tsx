/** Forms that change something: each says what it will do, asks why and for how long, and shows what came of it. */
import type { Event } from "effect-resilience"
import { useEffect, useRef, useState } from "preact/hooks"
import type { Change, Difference, State } from "../src/State.ts"
import * as Api from "./api.ts"
import { duration, until } from "./format.ts"
import * as Words from "./words.ts"

interface Kind {
  readonly label: string
  /** What it does, as the end of "… : ". */
  readonly effect: string
  /** Whether it may end by itself. */
  readonly ends: boolean
  readonly danger?: boolean
}

const kinds: Readonly<Record<string, Kind>> = {
  isolate: { label: "Isolate", effect: "every call is rejected with CircuitOpen", ends: true, danger: true },
  open: {
    label: "Open",
    effect: "calls are rejected until the open time is over, then probes decide",
    ends: true,
    danger: true
  },
  close: { label: "Close", effect: "calls are admitted again", ends: false },
  reset: { label: "Reset", effect: "closed, and what was counted is forgotten", ends: false },
  disable: { label: "Disable", effect: "every call is admitted and nothing is protected", ends: true, danger: true },
  enable: { label: "Enable", effect: "the circuit protects again", ends: false }
}

/** In this order. */
const order = Object.keys(kinds)

const spans = ["5 minutes", "15 minutes", "30 minutes", "1 hour", "4 hours", "1 day"]

export interface Acting {
  readonly state: State
  /** Whether the server can be reached. */
  readonly isLive: boolean
}

const mayAct = ({ isLive, state }: Acting): boolean => isLive && state.mayAct

/** The fields that all changes have. */
const useWhy = (state: State, initial = "", ends = true) => {
  const [reason, setReason] = useState(initial)
  const [span, setSpan] = useState("15 minutes")
  const [by, setBy] = useState(Api.session.by)
  const fields = (
    <>
      <label>
        Reason
        <input
          required
          maxLength={500}
          autocomplete="off"
          value={reason}
          placeholder="why, or the incident: INC-7"
          onInput={(event) => setReason(event.currentTarget.value)}
        />
      </label>
      {ends ? (
        <label>
          For
          <select value={span} onChange={(event) => setSpan(event.currentTarget.value)}>
            {spans.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
            <option value="">until it is undone</option>
          </select>
        </label>
      ) : undefined}
      {state.by === undefined ? (
        <label>
          Your name
          <input
            required
            maxLength={100}
            autocomplete="name"
            value={by}
            placeholder="for the record"
            onInput={(event) => {
              setBy(event.currentTarget.value)
              Api.session.by = event.currentTarget.value
            }}
          />
        </label>
      ) : undefined}
    </>
  )
  const why = {
    reason,
    ...(ends && span !== "" ? { for: span } : {}),
    ...(state.by === undefined ? { by } : {})
  }
  return { fields, why, lasts: !ends ? "" : span === "" ? " until it is undone" : ` for ${span}` }
}

/** Sends one thing at a time, and keeps what the server said. */
const useSending = () => {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState("")
  const send = async <A,>(what: () => Promise<A>, done: (result: A) => void): Promise<void> => {
    setBusy(true)
    setError("")
    try {
      done(await what())
    } catch (caught) {
      setError(Api.explain(caught))
    } finally {
      setBusy(false)
    }
  }
  return { busy, error, send }
}

const Problem = ({ text }: { readonly text: string }) => (
  <p class="problem" role="alert" hidden={text === ""}>
    {text}
  </p>
)

const useFocus = () => {
  const form = useRef<HTMLFormElement>(null)
  useEffect(() => form.current?.querySelector<HTMLElement>("input,select")?.focus(), [])
  return form
}

// ---------------------------------------------------------------------------------------------------------------------
// Commands
// ---------------------------------------------------------------------------------------------------------------------

const CommandForm = ({
  acting,
  action,
  policy,
  target,
  done
}: {
  readonly acting: Acting
  readonly action: string
  readonly policy: string
  readonly target: string | undefined
  readonly done: (change: Change | undefined) => void
}) => {
  const kind = kinds[action] ?? { label: action, effect: "", ends: true }
  const { fields, lasts, why } = useWhy(acting.state, "", kind.ends)
  const { busy, error, send } = useSending()
  const form = useFocus()
  const name = target === undefined ? "all keys" : target === "" ? 'key ""' : target
  return (
    <form
      ref={form}
      class="act"
      aria-label={`${kind.label} ${name}`}
      onSubmit={(event) => {
        event.preventDefault()
        const given = { policy, action, ...(target === undefined ? {} : { key: target }), ...why }
        void send(() => Api.command(given), done)
      }}
    >
      <p>
        {kind.label} <b>{name}</b> of <b>{policy}</b>: {kind.effect}.
      </p>
      {fields}
      <Problem text={error} />
      <div class="buttons">
        <button type="submit" class={kind.danger === true ? "danger" : "primary"} disabled={busy || !mayAct(acting)}>
          {kind.label} {name}
          {lasts}
        </button>
        <button type="button" onClick={() => done(undefined)}>
          Cancel
        </button>
      </div>
    </form>
  )
}

/** Whether a command would change a circuit in this state. */
const isUseful = (action: string, state: Event.CircuitState): boolean => {
  switch (action) {
    case "isolate":
      return state !== "isolated"
    case "disable":
      return state !== "disabled"
    case "enable":
      return state === "disabled"
    case "open":
      return state !== "open" && state !== "isolated"
    case "close":
      return state !== "closed" && state !== "disabled"
    default:
      return true
  }
}

/** The commands of a policy, for one key or for all. */
export const Commands = ({
  acting,
  policy,
  actions,
  target,
  state
}: {
  readonly acting: Acting
  readonly policy: string
  readonly actions: ReadonlyArray<string>
  readonly target: string | undefined
  readonly state?: Event.CircuitState | undefined
}) => {
  const [chosen, setChosen] = useState<string>()
  const [done, setDone] = useState<Change>()
  const known = order.filter((action) => actions.includes(action) && (state === undefined || isUseful(action, state)))
  if (known.length === 0) return null
  return (
    <div class="commands">
      <fieldset class="buttons" aria-label={target === undefined ? "Commands for all keys" : `Commands for ${target}`}>
        {known.map((action) => (
          <button
            key={action}
            type="button"
            aria-expanded={chosen === action}
            disabled={!mayAct(acting)}
            title={kinds[action]?.effect}
            onClick={() => {
              setDone(undefined)
              setChosen(chosen === action ? undefined : action)
            }}
          >
            {kinds[action]?.label}…
          </button>
        ))}
      </fieldset>
      {chosen === undefined ? undefined : (
        <CommandForm
          key={chosen}
          acting={acting}
          action={chosen}
          policy={policy}
          target={target}
          done={(change) => {
            setDone(change)
            setChosen(undefined)
          }}
        />
      )}
      <p class="done" role="status">
        {done === undefined ? "" : `Done: ${Words.what(done)}, change ${done.id}. It can be undone below.`}
      </p>
    </div>
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// Undo
// ---------------------------------------------------------------------------------------------------------------------

const UndoForm = ({
  acting,
  change,
  done
}: {
  readonly acting: Acting
  readonly change: Change
  readonly done: () => void
}) => {
  const { fields, why } = useWhy(acting.state, `undo: ${change.reason}`.slice(0, 500), false)
  const { busy, error, send } = useSending()
  const form = useFocus()
  return (
    <form
      ref={form}
      class="act"
      aria-label={`Undo change ${change.id}`}
      onSubmit={(event) => {
        event.preventDefault()
        void send(() => Api.undo({ id: change.id, ...why }), done)
      }}
    >
      <p>
        Undo <b>{Words.what(change)}</b> of <b>{change.policy}</b>: back to exactly what was.
      </p>
      {fields}
      <Problem text={error} />
      <div class="buttons">
        <button type="submit" class="primary" disabled={busy || !mayAct(acting)}>
          Undo change {change.id}
        </button>
        <button type="button" onClick={done}>
          Cancel
        </button>
      </div>
    </form>
  )
}

/** One change, with undo as long as it holds. */
export const ChangeRow = ({
  acting,
  change,
  now,
  holds,
  withPolicy
}: {
  readonly acting: Acting
  readonly change: Change
  readonly now: number
  readonly holds: boolean
  readonly withPolicy: boolean
}) => {
  const [undoing, setUndoing] = useState(false)
  const end = change.until === undefined ? (holds ? "no end" : "") : holds ? `ends ${until(now, change.until)}` : ""
  return (
    <li class={`change ${holds && change.until === undefined ? "endless" : ""}`}>
      <div>
        <b>{Words.what(change)}</b>
        {withPolicy ? <> of {change.policy}</> : undefined} by <b>{change.by}</b>
        {change.ends === undefined ? undefined : ` (change ${change.ends})`}
        <span class="faint">
          {" "}
          · {duration(Math.max(0, now - change.at))} ago
          {end === "" ? "" : ` · ${end}`}
        </span>
        {change.reason === "" ? undefined : <q>{change.reason}</q>}
        {change.difference.map((one) => (
          <span key={one.field} class="difference">
            {Words.difference(one)}
          </span>
        ))}
      </div>
      {holds && !undoing ? (
        <button
          type="button"
          aria-label={`Undo change ${change.id}: ${Words.what(change)}`}
          disabled={!mayAct(acting)}
          onClick={() => setUndoing(true)}
        >
          Undo…
        </button>
      ) : undefined}
      {undoing ? <UndoForm acting={acting} change={change} done={() => setUndoing(false)} /> : undefined}
    </li>
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

/** A setting that can be changed: where it stands in the values of `set`, and where it is read. */
export interface Field {
  readonly path: string
  readonly now: unknown
  /** What a new value is, as the values of `set`. */
  readonly values: (given: string) => unknown
}

const nested = (path: string, one: unknown): unknown =>
  path
    .split(".")
    .reverse()
    .reduce<unknown>((value, name) => ({ [name]: value }), one)

/** What was typed: a number of milliseconds or `5 seconds` for a duration, else a number or a word. */
const parse = (given: string): string | number =>
  /^-?\d+(?:\.\d+)?$/.test(given.trim()) ? Number(given) : given.trim()

export const SetForm = ({
  acting,
  policy,
  field,
  done
}: {
  readonly acting: Acting
  readonly policy: string
  readonly field: Field
  readonly done: (change: Change | undefined) => void
}) => {
  const [given, setGiven] = useState("")
  const [shown, setShown] = useState<ReadonlyArray<Difference>>()
  const [refused, setRefused] = useState("")
  const { fields, lasts, why } = useWhy(acting.state)
  const { busy, error, send } = useSending()
  const form = useFocus()
  const values = given.trim() === "" ? undefined : nested(field.path, field.values(given))
  const text = JSON.stringify(values)
  // What it would change is asked for a moment after the last key.
  useEffect(() => {
    setShown(undefined)
    setRefused("")
    if (text === undefined) return
    let current = true
    const timer = setTimeout(async () => {
      try {
        const difference = await Api.preview(policy, JSON.parse(text))
        if (current) setShown(difference)
      } catch (caught) {
        if (current) setRefused(Api.explain(caught))
      }
    }, 250)
    return () => {
      current = false
      clearTimeout(timer)
    }
  }, [text, policy])
  return (
    <form
      ref={form}
      class="act"
      aria-label={`Change ${field.path}`}
      onSubmit={(event) => {
        event.preventDefault()
        void send(() => Api.command({ policy, action: "set", values, ...why }), done)
      }}
    >
      <label>
        New value of {field.path}
        <input
          required
          maxLength={40}
          autocomplete="off"
          value={given}
          placeholder={`now ${Words.value(field.path, field.now)}`}
          onInput={(event) => setGiven(event.currentTarget.value)}
        />
      </label>
      <div class="preview" role="status" aria-label="What this would change">
        {shown === undefined ? (
          <span class="faint">{refused === "" ? "Type a value to see what it would change." : ""}</span>
        ) : shown.length === 0 ? (
          "This changes nothing."
        ) : (
          shown.map((one) => (
            <div key={one.field}>
              <span>{one.field}</span> <del>{Words.value(one.field, one.before)}</del>{" "}
              <ins>{Words.value(one.field, one.after)}</ins>
            </div>
          ))
        )}
      </div>
      <Problem text={refused} />
      {fields}
      <Problem text={error} />
      <div class="buttons">
        <button
          type="submit"
          class="primary"
          disabled={busy || !mayAct(acting) || shown === undefined || shown.length === 0}
        >
          Change {field.path}
          {lasts}
        </button>
        <button type="button" onClick={() => done(undefined)}>
          Cancel
        </button>
      </div>
    </form>
  )
}

export { parse }
