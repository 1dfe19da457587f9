/** Forms that change something: each says what it will do, asks why and for how long, and shows what came of it. */
import type { Change as Core, Event } from "effect-resilience"
import { useEffect, useRef, useState } from "preact/hooks"
import type { State } from "../src/State.ts"
import * as Api from "./api.ts"
import { type Setting, valuesOf } from "./fields.ts"
import { duration, until } from "./format.ts"
import * as Words from "./words.ts"

type Change = Core.Change
type Difference = Core.Difference

interface Asks {
  readonly label: string
  readonly field: string
  readonly options?: ReadonlyArray<string>
}

interface Kind {
  readonly label: string
  /** What it does, as the end of "… : ". */
  readonly effect: string
  /** Whether it may end by itself. */
  readonly ends: boolean
  readonly danger?: boolean
  /** What else it asks for. */
  readonly asks?: Asks
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
  enable: { label: "Enable", effect: "the circuit protects again", ends: false },
  resize: {
    label: "Resize",
    effect: "another number of calls may run at once",
    ends: true,
    asks: { label: "Permits", field: "maxConcurrent" }
  },
  mode: {
    label: "Mode",
    effect: "observe decides and lets every call through, off does nothing",
    ends: true,
    asks: { label: "Mode", field: "mode", options: ["observe", "off", "enforce"] }
  }
}

/** In this order. */
const order = Object.keys(kinds)

const spans = ["5 minutes", "15 minutes", "30 minutes", "1 hour", "4 hours", "1 day"]

export interface Acting {
  readonly state: State
  /** Whether the server can be reached. */
  readonly isLive: boolean
}

/** A policy by its name and its number among those of its name. */
export interface Which {
  readonly name: string
  readonly instance: number
}

const sentOf = ({ instance, name }: Which) => ({ policy: name, instance })

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

const Asked = ({
  asks: { label, options },
  value,
  setValue
}: {
  readonly asks: Asks
  readonly value: string
  readonly setValue: (value: string) => void
}) =>
  options === undefined ? (
    <label>
      {label}
      <input
        required
        type="number"
        min={1}
        step={1}
        value={value}
        onInput={(event) => setValue(event.currentTarget.value)}
      />
    </label>
  ) : (
    <label>
      {label}
      <select value={value} onChange={(event) => setValue(event.currentTarget.value)}>
        {options.map((one) => (
          <option key={one} value={one}>
            {one}
          </option>
        ))}
      </select>
    </label>
  )

const CommandForm = ({
  acting,
  action,
  which,
  target,
  done
}: {
  readonly acting: Acting
  readonly action: string
  readonly which: Which
  readonly target: string | undefined
  readonly done: (change: Change | undefined) => void
}) => {
  const kind = kinds[action] ?? { label: action, effect: "", ends: true }
  const { fields, lasts, why } = useWhy(acting.state, "", kind.ends)
  const { busy, error, send } = useSending()
  const form = useFocus()
  const [value, setValue] = useState(kind.asks?.options?.[0] ?? "")
  const { asks } = kind
  const asked =
    asks === undefined ? {} : { values: { [asks.field]: asks.options === undefined ? Number(value) : value } }
  const name = target === undefined ? "all keys" : target === "" ? 'key ""' : target
  return (
    <form
      ref={form}
      class="act"
      aria-label={`${kind.label} ${name}`}
      onSubmit={(event) => {
        event.preventDefault()
        const given = { ...sentOf(which), action, ...(target === undefined ? {} : { key: target }), ...asked, ...why }
        void send(() => Api.command(given), done)
      }}
    >
      <p>
        {kind.label} <b>{name}</b> of <b>{which.name}</b>: {kind.effect}.
      </p>
      {asks === undefined ? undefined : <Asked asks={asks} value={value} setValue={setValue} />}
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
  which,
  actions,
  target,
  state
}: {
  readonly acting: Acting
  readonly which: Which
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
          which={which}
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

export const SetForm = ({
  acting,
  which,
  setting,
  name,
  done
}: {
  readonly acting: Acting
  readonly which: Which
  readonly setting: Setting
  readonly name: string
  readonly done: (change: Change | undefined) => void
}) => {
  const [given, setGiven] = useState("")
  const [shown, setShown] = useState<ReadonlyArray<Difference>>()
  const [refused, setRefused] = useState("")
  const { fields, lasts, why } = useWhy(acting.state)
  const { busy, error, send } = useSending()
  const form = useFocus()
  const values = given.trim() === "" ? undefined : valuesOf(name, given)
  const text = JSON.stringify(values)
  // What it would change is asked for a moment after the last key.
  useEffect(() => {
    setShown(undefined)
    setRefused("")
    if (text === undefined) return
    let current = true
    const timer = setTimeout(async () => {
      try {
        const difference = await Api.preview({ ...sentOf(which), values: JSON.parse(text) })
        if (current) setShown(difference)
      } catch (caught) {
        if (current) setRefused(Api.explain(caught))
      }
    }, 250)
    return () => {
      current = false
      clearTimeout(timer)
    }
  }, [text, which.name, which.instance])
  return (
    <form
      ref={form}
      class="act"
      aria-label={`Change ${setting.field}`}
      onSubmit={(event) => {
        event.preventDefault()
        void send(() => Api.command({ ...sentOf(which), action: "set", values, ...why }), done)
      }}
    >
      <label>
        New value of {setting.field}
        <input
          required
          maxLength={40}
          autocomplete="off"
          value={given}
          placeholder={`now ${Words.value(setting.field, setting.value)}`}
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
          Change {setting.field}
          {lasts}
        </button>
        <button type="button" onClick={() => done(undefined)}>
          Cancel
        </button>
      </div>
    </form>
  )
}
