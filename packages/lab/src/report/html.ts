/** HTML from templates. Values are escaped, unless they are HTML already. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}

type Part = Html | number | string | undefined | ReadonlyArray<Html>

const show = (part: Part): string => {
  if (part === undefined) return ""
  if (part instanceof Html) return part.text
  if (typeof part === "object") return part.map(({ text }) => text).join("\n")
  return String(part).replace(/[&<>"']/g, (character) => escapes[character] ?? character)
}

export const html = (strings: TemplateStringsArray, ...parts: ReadonlyArray<Part>): Html =>
  new Html(String.raw({ raw: strings }, ...parts.map(show)))

/** Data in a script element, escaped so that it cannot end the element. */
export const json = (value: unknown): Html => new Html(JSON.stringify(value).replaceAll("<", "\\u003c"))

/** The code of a script element, escaped so that it cannot end the element. */
export const script = (code: string): Html => new Html(code.replace(/<(?=\/script|!--)/gi, "\\x3C"))

/** Replaces a hyphen before a digit by a minus sign, which is as wide as a digit. */
export const minus = (text: string): string => text.replaceAll(/-(?=\d)/g, "−")
