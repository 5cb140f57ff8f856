import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

interface Shown {
  x: number;
  y: number;
  body: ComponentChildren;
}

/**
 * A tooltip for marks: `tip.on(body)` gives the handlers that a mark needs to show it, by pointer
 * and by focus, and `tip.view` goes at the end of the element that is its positioned parent.
 */
export function useTooltip() {
  const [shown, set] = useState<Shown | null>(null);
  const place = (target: Element, body: ComponentChildren) => {
    const box = target.getBoundingClientRect();
    set({ x: box.left + box.width / 2, y: box.top, body });
  };
  const hide = () => set(null);
  const on = (body: () => ComponentChildren) => ({
    onPointerEnter: (event: { currentTarget: EventTarget }) =>
      place(event.currentTarget as Element, body()),
    onPointerLeave: hide,
    onFocus: (event: { currentTarget: EventTarget }) =>
      place(event.currentTarget as Element, body()),
    onBlur: hide,
  });
  const half = 150;
  const left = shown && Math.max(half + 8, Math.min(innerWidth - half - 8, shown.x));
  const below = shown && shown.y < 180;
  const view = shown && (
    <div
      class={below ? "tooltip below" : "tooltip"}
      role="status"
      style={{ left: `${left}px`, top: `${shown.y + (below ? 34 : -10)}px` }}
    >
      {shown.body}
    </div>
  );
  return { on, hide, view };
}
