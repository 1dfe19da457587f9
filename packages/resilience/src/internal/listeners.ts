/**
 * Who listens to a hub. Hidden from users: a listener runs inside a call, so it must neither throw nor call back, and the
 * only ones are those that put an event into a queue.
 */
type Listener = (event: any) => void

const all = new WeakMap<object, Set<Listener>>()

export const open = <Hub extends object>(hub: Hub): Hub => {
  all.set(hub, new Set())
  return hub
}

export const of = (hub: object): Set<Listener> => {
  const found = all.get(hub)
  if (found === undefined) throw new TypeError("Event: this hub was not made by Event.makeHub")
  return found
}
