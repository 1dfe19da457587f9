/**
 * V8 drops a hidden class, and with it all code that was compiled for it, when a collection finds no object of that class.
 * One object is retained of each class whose objects live only as long as a call: otherwise that code would be compiled
 * again after every full collection, and calls take half as long again meanwhile.
 */
const retained: Array<object> = []

export const retainHiddenClass = (object: object): void => {
  retained.push(object)
}
