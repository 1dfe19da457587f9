/** Links into the page: `#/policy/key?instance=2`. They show something, and never change anything. */

export interface Route {
  readonly name: string
  readonly instance?: number
  readonly key?: string
}

export const linkTo = ({ instance = 1, key, name }: Route): string => {
  const path = [name, ...(key === undefined ? [] : [key])].map(encodeURIComponent).join("/")
  return `#/${path}${instance === 1 ? "" : `?instance=${instance}`}`
}

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export const routeOf = (hash: string): Route | undefined => {
  if (!hash.startsWith("#/")) return undefined
  const [path = "", query = ""] = hash.slice(2).split("?")
  const [name = "", key] = path.split("/")
  if (name === "") return undefined
  const instance = Number(new URLSearchParams(query).get("instance") ?? 1)
  return {
    name: decode(name),
    ...(key === undefined ? {} : { key: decode(key) }),
    ...(Number.isInteger(instance) && instance > 1 ? { instance } : {})
  }
}
