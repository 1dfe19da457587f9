/** The API of the console, from its own page. */
import type { Change } from "effect-resilience"
import type { Detail, State } from "../src/State.ts"

const kept = "effect-resilience"

/** What the session knows: it ends with the tab. */
export const session = {
  get token(): string {
    return sessionStorage.getItem(`${kept}/token`) ?? ""
  },
  set token(token: string) {
    sessionStorage.setItem(`${kept}/token`, token)
  },
  get by(): string {
    return sessionStorage.getItem(`${kept}/by`) ?? ""
  },
  set by(by: string) {
    sessionStorage.setItem(`${kept}/by`, by)
  }
}

/** The page is at the path of the console, with or without a slash at its end. */
const base = `${location.pathname.replace(/\/$/, "")}/api/`

class Refused extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, detail: string) {
    super(detail)
    this.status = status
    this.code = code
  }
}

const request = async (path: string, init: RequestInit = {}): Promise<Response> => {
  const { token } = session
  const response = await fetch(base + path, {
    ...init,
    cache: "no-store",
    redirect: "error",
    headers: { ...(token === "" ? {} : { authorization: `Bearer ${token}` }), ...init.headers }
  })
  if (response.ok) return response
  const { code = "", detail = response.statusText } = await response.json().catch(() => ({}))
  throw new Refused(response.status, String(code), String(detail))
}

const post = async <A>(path: string, body: unknown): Promise<A> => {
  const headers = { "content-type": "application/json" }
  const response = await request(path, { method: "POST", headers, body: JSON.stringify(body) })
  return response.json()
}

export interface Command {
  readonly policy: string
  readonly instance: number
  readonly action: string
  readonly key?: string
  readonly values?: unknown
  readonly reason: string
  readonly for?: string
  readonly by?: string
}

export const command = (given: Command): Promise<Change.Change> => post("command", given)

export const undo = (given: {
  readonly id: number
  readonly reason: string
  readonly by?: string
}): Promise<Change.Change> => post("undo", given)

export const preview = (given: {
  readonly policy: string
  readonly instance: number
  readonly values: unknown
}): Promise<ReadonlyArray<Change.Difference>> => post("preview", given)

export interface Window {
  readonly name: string
  readonly instance: number
  readonly prefix?: string
  readonly key?: string
  readonly from?: number
  readonly limit: number
}

export const detail = async (window: Window, signal: AbortSignal): Promise<Detail> => {
  const query = new URLSearchParams(Object.entries(window).map(([name, value]) => [name, String(value)]))
  return (await request(`policy?${query}`, { signal })).json()
}

/** Where the page stands with the server. */
export type Link =
  | { readonly _tag: "connecting" }
  | { readonly _tag: "live" }
  | { readonly _tag: "lost"; readonly since: number; readonly detail: string }
  | { readonly _tag: "refused"; readonly code: string; readonly detail: string }

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Messages of the stream, until it ends. A stream that is silent for too long has ended, too. */
const read = async (onState: (state: State) => void, signal: AbortSignal): Promise<void> => {
  const silent = new AbortController()
  let timer = setTimeout(() => silent.abort(), 5000)
  try {
    const response = await request("stream", { signal: AbortSignal.any([signal, silent.signal]) })
    const decoder = new TextDecoder()
    let text = ""
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true })
      const messages = text.split("\n\n")
      text = messages.pop() ?? ""
      for (const one of messages) {
        if (!one.startsWith("data: ")) continue
        const state: State = JSON.parse(one.slice(6))
        clearTimeout(timer)
        timer = setTimeout(() => silent.abort(), 3 * state.intervalMillis + 5000)
        onState(state)
      }
    }
  } finally {
    clearTimeout(timer)
  }
}

/** Follows the program, and comes back when the connection was lost. Returns what ends it. */
export const follow = (onState: (state: State) => void, onLink: (link: Link) => void): (() => void) => {
  const end = new AbortController()
  let lost: number | undefined
  let late: ReturnType<typeof setTimeout> | undefined
  const lose = (detail: string): void => {
    lost ??= Date.now()
    onLink({ _tag: "lost", since: lost, detail })
  }
  const receive = (state: State): void => {
    clearTimeout(late)
    lost = undefined
    onLink({ _tag: "live" })
    onState(state)
  }
  /** Whether to try again. */
  const once = async (): Promise<boolean> => {
    try {
      await read(receive, end.signal)
      // A server ends a stream after a while, and is there when it is asked again; one that stops is not.
      late = setTimeout(() => lose("the server ended the stream"), 1000)
      return !end.signal.aborted
    } catch (error) {
      clearTimeout(late)
      if (end.signal.aborted) return false
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        onLink({ _tag: "refused", code: error.code, detail: error.message })
        return false
      }
      lose(message(error))
      return true
    }
  }
  const loop = async (): Promise<void> => {
    while (await once()) await new Promise((resolve) => setTimeout(resolve, lost === undefined ? 100 : 2000))
    clearTimeout(late)
  }
  onLink({ _tag: "connecting" })
  void loop()
  return () => end.abort()
}

export const explain = (error: unknown): string =>
  error instanceof Refused ? error.message : `the server could not be reached: ${message(error)}`
