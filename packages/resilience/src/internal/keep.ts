/**
 * V8 forgets a hidden class, and with it all code that was compiled for it, when a collection finds no object of it. Of a
 * class whose objects live as long as one call, one object is kept: otherwise that code would be compiled anew after every
 * full collection, and calls take half as long again meanwhile.
 */
const kept: Array<object> = []

export const keep = (object: object): void => {
  kept.push(object)
}
