/** The page of the console. */
import { render } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import type { Policy, State } from "../src/State.ts"
import { ChangeRow } from "./act.tsx"
import * as Api from "./api.ts"
import { Card, Row } from "./card.tsx"
import { Drawer } from "./drawer.tsx"
import { list, plural, time } from "./format.ts"
import { type Route, routeOf } from "./route.ts"

const Login = ({ detail, done }: { readonly detail: string; readonly done: () => void }) => {
  const dialog = useRef<HTMLDialogElement>(null)
  const [token, setToken] = useState("")
  const [by, setBy] = useState(Api.session.by)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} class="login" aria-label="Token" onCancel={(event) => event.preventDefault()}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          Api.session.token = token.trim()
          Api.session.by = by.trim()
          done()
        }}
      >
        <h2>Token</h2>
        <p class="problem" role="alert" hidden={detail === ""}>
          {detail}
        </p>
        <label>
          Token of this console
          <input
            type="password"
            required
            autocomplete="off"
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <label>
          Your name
          <input
            maxLength={100}
            autocomplete="name"
            placeholder="for the record of changes"
            value={by}
            onInput={(event) => setBy(event.currentTarget.value)}
          />
        </label>
        <p class="faint">Both are kept until this tab is closed, and nowhere else.</p>
        <div class="buttons">
          <button type="submit" class="primary">
            Connect
          </button>
        </div>
      </form>
    </dialog>
  )
}

const useRoute = (): Route | undefined => {
  const [route, setRoute] = useState(() => routeOf(location.hash))
  useEffect(() => {
    const changed = (): void => setRoute(routeOf(location.hash))
    addEventListener("hashchange", changed)
    return () => removeEventListener("hashchange", changed)
  }, [])
  return route
}

/** Seconds since the last message, while there is none. */
const useClock = (runs: boolean): number => {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    if (!runs) return
    setNow(Date.now())
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [runs])
  return now
}

const LinkState = ({ link, state }: { readonly link: Api.Link; readonly state: State | undefined }) => {
  const now = useClock(link._tag === "lost")
  switch (link._tag) {
    case "live":
      return <span class="link live">live{state === undefined ? "" : ` · ${time(state.at)}`}</span>
    case "lost":
      return (
        <span class="link lost" title={link.detail}>
          connection lost {Math.max(0, Math.round((now - link.since) / 1000))} s ago, trying again
        </span>
      )
    case "refused":
      return <span class="link lost">refused</span>
    case "connecting":
      return <span class="link">connecting…</span>
  }
}

const summary = (policies: ReadonlyArray<Policy>): string => {
  const bad = policies.filter(({ status }) => status !== "healthy").length
  const well = policies.length - bad
  if (policies.length === 0) return "no policies live here"
  return bad === 0
    ? `all ${plural(well, "policy", "policies")} healthy`
    : `${plural(bad, "policy", "policies")} in trouble · ${well} healthy`
}

/** What a screen reader is told, when it changes. */
const spoken = (link: Api.Link, policies: ReadonlyArray<Policy>): string => {
  if (link._tag === "lost") return "Connection lost."
  const bad = policies.filter(({ status }) => status !== "healthy").map(({ name }) => name)
  return bad.length === 0 ? "All policies are healthy." : `In trouble: ${list(bad.slice(0, 5))}.`
}

const App = () => {
  const [state, setState] = useState<State>()
  const [link, setLink] = useState<Api.Link>({ _tag: "connecting" })
  const [login, setLogin] = useState(0)
  const [search, setSearch] = useState("")
  const route = useRoute()
  // a new token begins again
  useEffect(() => Api.follow(setState, setLink), [login])
  const isLive = link._tag === "live"
  const title = state === undefined || state.title === "" ? location.host : state.title
  const policies = state?.policies ?? []
  const bad = policies.filter(({ status }) => status !== "healthy")
  useEffect(() => {
    document.title = `${bad.length > 0 ? `(${bad.length}) ` : ""}${title} · resilience`
  }, [bad.length, title])
  const found = policies.filter(({ name }) => name.toLowerCase().includes(search.toLowerCase()))
  const troubled = found.filter(({ status }) => status !== "healthy")
  const well = found.filter(({ status }) => status === "healthy")
  const names = new Set<string>()
  const twins = new Set(policies.filter(({ name }) => names.size === names.add(name).size).map(({ name }) => name))
  return (
    <>
      <header class="top">
        <h1>{title}</h1>
        <span class={`summary ${bad.length > 0 ? "bad" : ""}`}>{state === undefined ? "" : summary(policies)}</span>
        <span class="grow" />
        {state === undefined || state.mayAct ? undefined : <span class="faint">read-only: {state.why}</span>}
        <LinkState link={link} state={state} />
      </header>
      <p class="spoken" role="status" aria-live="polite">
        {state === undefined ? "" : spoken(link, policies)}
      </p>
      {link._tag === "refused" ? (
        link.code.startsWith("Token") ? (
          <Login
            key={login}
            detail={link.code === "TokenMissing" ? "" : link.detail}
            done={() => setLogin(login + 1)}
          />
        ) : (
          <p class="problem" role="alert">
            {link.detail}
          </p>
        )
      ) : undefined}
      {state === undefined ? undefined : (
        <main class={isLive ? "" : "stale"}>
          {policies.length < 6 ? undefined : (
            <input
              class="search"
              type="search"
              aria-label="Policies whose name contains"
              placeholder="find a policy…"
              value={search}
              onInput={(event) => setSearch(event.currentTarget.value)}
            />
          )}
          {troubled.length === 0 ? undefined : (
            <section aria-label="In trouble">
              <h2>In trouble</h2>
              <div class="cards">
                {troubled.map((policy) => (
                  <Card
                    key={`${policy.instance} ${policy.name}`}
                    policy={policy}
                    inForce={state.inForce}
                    now={state.at}
                    twins={twins.has(policy.name)}
                  />
                ))}
              </div>
            </section>
          )}
          {state.inForce.length === 0 ? undefined : (
            <section aria-label="In force">
              <h2>In force</h2>
              <ul class="changes">
                {state.inForce.map((change) => (
                  <ChangeRow
                    key={change.id}
                    acting={{ state, isLive }}
                    change={change}
                    now={state.at}
                    holds
                    withPolicy
                  />
                ))}
              </ul>
            </section>
          )}
          {well.length === 0 ? undefined : (
            <section aria-label="Healthy">
              <h2>Healthy</h2>
              <div class="rows">
                {well.map((policy) => (
                  <Row key={`${policy.instance} ${policy.name}`} policy={policy} twins={twins.has(policy.name)} />
                ))}
              </div>
            </section>
          )}
          {found.length === 0 ? (
            <p class="faint">
              {policies.length === 0 ? "No policy has been created yet." : "No policy has this in its name."}
            </p>
          ) : undefined}
          {state.changes.length === 0 ? undefined : (
            <details>
              <summary>Last {plural(state.changes.length, "change")}</summary>
              <ul class="changes">
                {state.changes.map((change) => (
                  <ChangeRow
                    key={change.id}
                    acting={{ state, isLive }}
                    change={change}
                    now={state.at}
                    holds={state.inForce.some(({ id }) => id === change.id)}
                    withPolicy
                  />
                ))}
              </ul>
            </details>
          )}
        </main>
      )}
      {state === undefined || route === undefined || link._tag === "refused" ? undefined : (
        <Drawer acting={{ state, isLive }} route={route} />
      )}
    </>
  )
}

const root = document.getElementById("app")
if (root !== null) {
  root.replaceChildren()
  render(<App />, root)
}
