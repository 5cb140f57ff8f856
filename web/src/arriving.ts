import { useEffect, useRef } from "preact/hooks";

const PATIENCE = 8000; // milliseconds until a view must have drawn what it is about

/**
 * Focus goes where the eye goes: to the list or the heading of what is newly shown.
 *
 * It does so where focus would be lost otherwise, since what had it is gone or was a search; what
 * still has it keeps it. A list is within an element with `data-arrive`; else it is the heading.
 */
export function useArriving(place: string): void {
  const begun = useRef(false);
  useEffect(() => {
    if (!begun.current) {
      begun.current = true;
      return;
    }
    const main = document.getElementById("main");
    if (!main) return;
    const until = performance.now() + PATIENCE;
    let frame = 0;
    const arrive = () => {
      if (document.activeElement !== document.body || performance.now() > until) return;
      const target = targetIn(main);
      if (target) {
        if (!target.hasAttribute("tabindex")) target.tabIndex = -1;
        target.focus({ preventScroll: true });
      } else frame = requestAnimationFrame(arrive);
    };
    frame = requestAnimationFrame(arrive);
    return () => cancelAnimationFrame(frame);
  }, [place]);
}

/** Where to arrive; null while it is being read. */
function targetIn(main: HTMLElement): HTMLElement | null {
  const list = main.querySelector("[data-arrive]");
  if (list) return list.querySelector<HTMLElement>("[tabindex], .notice-title");
  return main.querySelector("h1");
}
