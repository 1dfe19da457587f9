/**
 * A doubly linked list whose nodes carry their own links: adding and removing cost the same with ten thousand nodes as
 * with one, and allocate nothing beyond the node.
 */
export interface LinkedList<N extends Node<N>> {
  first: N | undefined
  last: N | undefined
}

/** What an object needs to be in a list. It can be in one list at a time. */
export interface Node<N> {
  linked: boolean
  previous: N | undefined
  next: N | undefined
}

export const make = <N extends Node<N>>(): LinkedList<N> => ({ first: undefined, last: undefined })

/** Adds a node that is in no list to the end. */
export const append = <N extends Node<N>>(self: LinkedList<N>, node: N): void => {
  node.linked = true
  node.previous = self.last
  if (self.last === undefined) self.first = node
  else self.last.next = node
  self.last = node
}

/** Removes a node; `false` when it was not in the list any more. */
export const remove = <N extends Node<N>>(self: LinkedList<N>, node: N): boolean => {
  if (!node.linked) return false
  node.linked = false
  if (node.previous === undefined) self.first = node.next
  else node.previous.next = node.next
  if (node.next === undefined) self.last = node.previous
  else node.next.previous = node.previous
  // A reference to a removed node must not keep its former neighbours alive.
  node.previous = undefined
  node.next = undefined
  return true
}
