/** HTML from templates: whatever is put in is escaped, unless it is HTML already. */
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

/** Data for a script, within an element: nothing in it can end the element. */
export const json = (value: unknown): Html => new Html(JSON.stringify(value).replaceAll("<", "\\u003c"))

/** A script, within its element. */
export const script = (code: string): Html => new Html(code.replace(/<(?=\/script|!--)/gi, "\\x3C"))

/** A minus sign that is as wide as a digit; a lone dash stays one. */
export const minus = (text: string): string => text.replaceAll(/-(?=\d)/g, "−")
