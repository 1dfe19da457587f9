/** Colours for a terminal, or none. */
export interface Paint {
  readonly strong: (text: string) => string
  readonly faint: (text: string) => string
}

export const plain: Paint = { strong: (text) => text, faint: (text) => text }

export const colours: Paint = {
  strong: (text) => `\u001b[1;32m${text}\u001b[0m`,
  faint: (text) => `\u001b[2m${text}\u001b[0m`
}
