/** One policy, or one of its keys: why, what it does, its commands, its settings, and what was changed. */
import { useEffect, useRef, useState } from "preact/hooks"
import type { Key, Policy, State } from "../src/State.ts"
import { type Acting, ChangeRow, Commands, SetForm } from "./act.tsx"
import { Figures, overrideOf, timeoutOf } from "./card.tsx"
import { type Setting, settingsOf } from "./fields.ts"
import { ago, count, duration } from "./format.ts"
import { Keys, useKey } from "./keys.tsx"
import { Badge, Trends } from "./parts.tsx"
import { linkTo, type Route } from "./route.ts"
import * as Words from "./words.ts"

const Settings = ({ acting, policy }: { readonly acting: Acting; readonly policy: Policy }) => {
  const [chosen, setChosen] = useState<string>()
  const [done, setDone] = useState("")
  const canSet = policy.actions.includes("set")
  return (
    <section aria-label="Settings">
      <h3>Settings</h3>
      <p class="done" role="status">
        {done}
      </p>
      <dl class="settings">
        {settingsOf(policy).map((setting) => (
          <Row
            key={setting.field}
            setting={setting}
            name={canSet ? setting.name : undefined}
            acting={acting}
            policy={policy}
            isChosen={chosen === setting.field}
            choose={(isChosen) => {
              setDone("")
              setChosen(isChosen ? setting.field : undefined)
            }}
            done={(text) => {
              setDone(text)
              setChosen(undefined)
            }}
          />
        ))}
      </dl>
    </section>
  )
}

const Row = ({
  setting,
  name,
  acting,
  policy,
  isChosen,
  choose,
  done
}: {
  readonly setting: Setting
  /** Its name among the values of a change, if it can be changed. */
  readonly name: string | undefined
  readonly acting: Acting
  readonly policy: Policy
  readonly isChosen: boolean
  readonly choose: (isChosen: boolean) => void
  readonly done: (text: string) => void
}) => (
  <div class="setting">
    <dt>{setting.field}</dt>
    <dd>
      {Words.value(setting.field, setting.value)}
      {name === undefined ? undefined : (
        <button
          type="button"
          class="small"
          aria-label={`Change ${setting.field}`}
          aria-expanded={isChosen}
          disabled={!acting.isLive || !acting.state.mayAct}
          onClick={() => choose(!isChosen)}
        >
          Change…
        </button>
      )}
    </dd>
    {isChosen && name !== undefined ? (
      <SetForm
        acting={acting}
        which={policy}
        setting={setting}
        name={name}
        done={(change) =>
          done(
            change === undefined
              ? ""
              : `Done: ${change.difference.map(Words.difference).join(", ")}, change ${change.id}.`
          )
        }
      />
    ) : undefined}
  </div>
)

const Counts = ({ of: { totals } }: { readonly of: Policy | Key }) => {
  const { giveUps, rejections, ...rest } = totals
  const all = [
    ...Object.entries(rest),
    ...Object.entries(rejections).map(([name, n]) => [`rejected: ${name}`, n] as const),
    ...Object.entries(giveUps).map(([name, n]) => [`gave up: ${name}`, n] as const)
  ].filter(([, n]) => n > 0)
  return (
    <section aria-label="Counts">
      <h3>Counts since it was created</h3>
      {all.length === 0 ? <p class="faint">Nothing yet.</p> : undefined}
      <dl class="settings counts">
        {all.map(([name, n]) => (
          <div class="setting" key={name}>
            <dt>{name}</dt>
            <dd>{count(n)}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

const LastError = ({ of: { lastError } }: { readonly of: Policy | Key }) =>
  lastError === undefined ? null : (
    <p class="error">
      <b>Last error</b> {lastError.tag}
      {lastError.message === "" ? "" : `: ${lastError.message}`} <span class="faint">{ago(lastError.agoMillis)}</span>
    </p>
  )

const Would = ({ of: { would } }: { readonly of: Policy | Key }) =>
  would === undefined ? null : (
    <section aria-label="What it would have done">
      <h3>If it enforced</h3>
      <dl class="settings counts">
        {Object.entries(would).map(([name, n]) => (
          <div class="setting" key={name}>
            <dt>{name}</dt>
            <dd>{count(n)}</dd>
          </div>
        ))}
      </dl>
    </section>
  )

const Fleet = ({ of: { fleet } }: { readonly of: Policy }) => {
  if (fleet === undefined) return null
  const trouble = Words.fleetTrouble(fleet)
  const more = fleet.open - fleet.circuits.length
  const rows = [
    ["board", fleet.board],
    ["in touch", fleet.inTouch ? "yes" : "no"],
    ["last heard", fleet.heardMillis === undefined ? "never" : ago(fleet.heardMillis)],
    ["members", count(fleet.members)],
    ["away", count(fleet.away)],
    ["settings differ", fleet.settingsDiffer ? "yes" : "no"],
    ["circuits open", count(fleet.open)]
  ] as const
  return (
    <section aria-label="Fleet">
      <h3>Fleet</h3>
      {trouble === "" ? undefined : <p class="problem">{trouble}</p>}
      <dl class="settings">
        {rows.map(([name, text]) => (
          <div class="setting" key={name}>
            <dt>{name}</dt>
            <dd>{text}</dd>
          </div>
        ))}
        {fleet.circuits.map((circuit) => (
          <div class="setting" key={`circuit ${circuit.key}`}>
            <dt>{circuit.key === "" ? '""' : circuit.key}</dt>
            <dd>{Words.fleetCircuit(circuit)}</dd>
          </div>
        ))}
        {fleet.shares.map((share) => (
          <div class="setting" key={`${share.part} ${share.key}`}>
            <dt>{share.key === "" ? '""' : share.key}</dt>
            <dd>{Words.fleetShare(share)}</dd>
          </div>
        ))}
      </dl>
      {more > 0 ? <p class="faint">and {count(more)} more</p> : undefined}
    </section>
  )
}

/** The key that is looked at: the one of the link, or the only one. */
const useChosen = (policy: Policy | undefined, route: Route, at: number, isLive: boolean): Key | undefined => {
  const only = policy?.keys === 1 && policy.circuits !== undefined ? "default" : undefined
  return useKey(policy, route.key ?? only, at, isLive)
}

const Body = ({
  acting,
  policy,
  one,
  route
}: {
  readonly acting: Acting
  readonly policy: Policy
  readonly one: Key | undefined
  readonly route: Route
}) => {
  const { isLive, state } = acting
  const timeout = timeoutOf(policy)
  const isHere = (change: State["changes"][number]): boolean =>
    change.policy === policy.name && change.instance === policy.instance
  const holding = state.inForce.filter(isHere)
  const past = state.changes.filter(isHere).filter(({ id }) => !holding.some((change) => change.id === id))
  const callers = Words.callers(policy)
  return (
    <>
      {route.key !== undefined && one === undefined ? (
        <p class="problem">No key in memory is named “{route.key}”.</p>
      ) : undefined}
      {one === undefined ? undefined : (
        <section class={`now ${one.status}`} aria-label={`Key ${one.key}`}>
          <h3>
            <Badge status={one.status} /> {one.key === "" ? '""' : one.key}
          </h3>
          <p>{Words.reason(one, overrideOf(state.inForce, policy, one.key), state.at)}</p>
          <LastError of={one} />
          <Figures of={one} timeout={timeout} />
          <Commands
            acting={acting}
            which={policy}
            actions={policy.actions}
            target={one.key}
            state={one.circuit?.state}
          />
        </section>
      )}
      {holding.length === 0 ? undefined : (
        <section aria-label="In force">
          <h3>In force</h3>
          <ul class="changes">
            {holding.map((change) => (
              <ChangeRow key={change.id} acting={acting} change={change} now={state.at} holds withPolicy={false} />
            ))}
          </ul>
        </section>
      )}
      {route.key !== undefined && policy.keys > 1 ? undefined : (
        <section aria-label="All keys">
          <h3>{policy.keys > 1 ? "All keys together" : "The policy"}</h3>
          {callers === "" ? undefined : (
            <p class="callers">
              <b>Callers get</b> {callers}.
            </p>
          )}
          <Trends trend={policy.trend} timeout={timeout} />
          {one === undefined || policy.keys > 1 ? <Figures of={policy} timeout={timeout} /> : undefined}
          {one === undefined || policy.keys > 1 ? (
            <Commands acting={acting} which={policy} actions={policy.actions} target={undefined} />
          ) : undefined}
        </section>
      )}
      {policy.keys > 1 ? <Keys policy={policy} at={state.at} isLive={isLive} chosen={route.key} /> : undefined}
      <Fleet of={policy} />
      <Would of={one ?? policy} />
      <Settings acting={acting} policy={policy} />
      <section aria-label="History">
        <h3>History</h3>
        {past.length === 0 ? (
          <p class="faint">No change is recorded{holding.length === 0 ? "" : " but those in force"}.</p>
        ) : undefined}
        <ul class="changes">
          {past.map((change) => (
            <ChangeRow
              key={change.id}
              acting={acting}
              change={change}
              now={state.at}
              holds={false}
              withPolicy={false}
            />
          ))}
        </ul>
      </section>
      <Counts of={one ?? policy} />
    </>
  )
}

export const Drawer = ({ acting, route }: { readonly acting: Acting; readonly route: Route }) => {
  const { isLive, state } = acting
  const dialog = useRef<HTMLDialogElement>(null)
  const named = state.policies.filter(({ name }) => name === route.name)
  const policy = named.find(({ instance }) => instance === route.instance) ?? named.at(-1)
  const one = useChosen(policy, route, state.at, isLive)
  useEffect(() => {
    const element = dialog.current
    if (element?.open === false) element.showModal()
    return () => element?.close()
  }, [])
  // another link shows its beginning
  useEffect(() => dialog.current?.querySelector(".body")?.scrollTo(0, 0), [route.name, route.instance, route.key])
  const close = (): void => {
    location.hash = ""
  }
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog
    <dialog
      ref={dialog}
      class="drawer"
      aria-label={route.name}
      onCancel={(event) => {
        event.preventDefault()
        close()
      }}
      onClick={(event) => {
        if (event.target === dialog.current) close()
      }}
    >
      <div class="inside" tabIndex={-1} autofocus>
        <header>
          <div>
            <h2>
              {route.key !== undefined && policy !== undefined && policy.keys > 1 ? (
                <a href={linkTo({ name: policy.name, instance: policy.instance })}>{route.name}</a>
              ) : (
                route.name
              )}
            </h2>
            {policy === undefined ? undefined : (
              <span class="faint">
                {policy.kind}
                {policy.mode === undefined || policy.mode === "enforce" ? "" : `, mode ${policy.mode}`}
                {named.length > 1 ? `, instance ${policy.instance}` : ""}
                {policy.recent.windowMillis > 0 ? ` · numbers of the last ${duration(policy.recent.windowMillis)}` : ""}
              </span>
            )}
          </div>
          <button type="button" onClick={close} aria-label="Close">
            ✕
          </button>
        </header>
        <div class="body">
          {isLive ? undefined : <p class="problem">The connection is lost: these numbers are old.</p>}
          {policy === undefined ? (
            <p class="problem">No live policy is named “{route.name}”.</p>
          ) : (
            <Body acting={acting} policy={policy} one={one} route={route} />
          )}
        </div>
      </div>
    </dialog>
  )
}
