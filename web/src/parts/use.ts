import { useEffect, useRef, useState } from "preact/hooks";

/** What an asynchronous value is at the moment. */
export type Loaded<T> =
  | { status: "loading"; last?: T }
  | { status: "ready"; value: T }
  | { status: "error"; error: Error };

/**
 * The value that `load` promises; loads anew when an entry of `on` changes.
 *
 * While it loads, `last` is the value before, so that a view need not go blank. What was
 * loaded for other entries is never given as the value of these, not even for one frame.
 */
export function useLoaded<T>(load: () => Promise<T>, on: readonly unknown[]): Loaded<T> {
  const [held, set] = useState<{ on: readonly unknown[]; loaded: Loaded<T> } | null>(null);
  const last = useRef<T | undefined>(undefined);
  useEffect(() => {
    let current = true;
    load().then(
      (value) => {
        last.current = value;
        if (current) set({ on, loaded: { status: "ready", value } });
      },
      (error: unknown) => {
        const known = error instanceof Error ? error : new Error(String(error));
        if (current) set({ on, loaded: { status: "error", error: known } });
      },
    );
    return () => {
      current = false;
    };
  }, on);
  const fresh = held !== null && on.every((entry, i) => Object.is(entry, held.on[i]));
  return fresh ? held.loaded : { status: "loading", last: last.current };
}

/** The value, or the one before while another loads. */
export function latest<T>(loaded: Loaded<T>): T | undefined {
  return loaded.status === "ready"
    ? loaded.value
    : loaded.status === "loading"
      ? loaded.last
      : undefined;
}

/** Width of an element in CSS pixels, as it changes; 0 before it is known. */
export function useWidth<E extends Element>() {
  const ref = useRef<E>(null);
  const [width, set] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => set(Math.floor(entry.contentRect.width)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width] as const;
}

/** Whether something has been painted: true from the frame after `there` first is. */
export function usePainted(there: boolean): boolean {
  const [painted, set] = useState(false);
  useEffect(() => {
    if (!there) return;
    const frame = requestAnimationFrame(() => set(true));
    return () => cancelAnimationFrame(frame);
  }, [there]);
  return painted;
}

/** Resolves when the browser has nothing more urgent to do. */
export function idle(): Promise<void> {
  return new Promise((done) => {
    if (typeof requestIdleCallback === "function")
      requestIdleCallback(() => done(), { timeout: 400 });
    else setTimeout(done, 50);
  });
}
