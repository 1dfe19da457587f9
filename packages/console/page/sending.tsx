/** What sends something to the server, and shows what it refused. */
import { useState } from "preact/hooks"
import * as Api from "./api.ts"

/** Sends one thing at a time, and keeps what the server said. */
export const useSending = () => {
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

export const Problem = ({ text }: { readonly text: string }) => (
  <p class="problem" role="alert" hidden={text === ""}>
    {text}
  </p>
)
