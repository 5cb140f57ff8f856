import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { TERMS } from "../data/glossary";
import "./explained.css";

/** A word with a small mark that opens what it means: by click, touch or keyboard. */
export function Explained({ term, children }: { term: string; children?: ComponentChildren }) {
  const [open, set] = useState(false);
  const id = useId();
  const box = useRef<HTMLSpanElement>(null);
  const note = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    if (!open || !note.current) return;
    // within the screen, however near its edge the word stands
    const { left, right } = note.current.getBoundingClientRect();
    const shift = Math.max(8 - left, Math.min(0, innerWidth - 8 - right));
    note.current.style.marginLeft = `${shift}px`;
    const away = (event: PointerEvent) => {
      if (!box.current?.contains(event.target as Node)) set(false);
    };
    addEventListener("pointerdown", away);
    return () => removeEventListener("pointerdown", away);
  }, [open]);
  return (
    <span class="explained" ref={box}>
      {children ?? term}
      <button
        type="button"
        class="explain"
        aria-expanded={open}
        aria-controls={id}
        aria-label={`What ${term} means`}
        onClick={() => set(!open)}
        onKeyDown={(event) => event.key === "Escape" && set(false)}
        onBlur={() => set(false)}
      >
        ?
      </button>
      {open && (
        <span class="explanation" id={id} role="note" ref={note}>
          {TERMS[term]}
        </span>
      )}
    </span>
  );
}
