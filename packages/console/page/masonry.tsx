/** Cards in columns without gaps, in the order of the document: each is where the most room is left, the first on the left. */
import type { ComponentChildren } from "preact"
import { useLayoutEffect, useRef } from "preact/hooks"

/** The height of a row of the grid in pixels, as in style.css. */
const row = 8

/** Each card takes as many rows as it is high. */
const place = (grid: HTMLElement): void => {
  for (const card of grid.children) {
    if (!(card instanceof HTMLElement)) continue
    const margin = Number.parseFloat(getComputedStyle(card).marginBottom)
    card.style.gridRowEnd = `span ${Math.ceil((card.offsetHeight + margin) / row)}`
  }
}

export const Masonry = ({ children }: { readonly children: ComponentChildren }) => {
  const grid = useRef<HTMLDivElement>(null)
  useLayoutEffect(() => {
    if (grid.current !== null) place(grid.current)
  })
  useLayoutEffect(() => {
    const element = grid.current
    if (element === null) return
    // Another width of the window, other line breaks.
    const observer = new ResizeObserver(() => place(element))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return (
    <div ref={grid} class="cards">
      {children}
    </div>
  )
}
