import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { parseFeature, type Run } from "./data/run";
import type { Go } from "./state";

/** The search box: a feature's number leads to its life, anything else to a list. */
export function Search({ run, asked, go }: { run: Run | null; asked: string; go: Go }) {
  const box = useRef<HTMLInputElement>(null);
  // what is being typed stays, however often the page is drawn meanwhile
  const [typed, setTyped] = useState<string | null>(null);
  useLayoutEffect(() => setTyped(null), [asked]);
  useSlash(box);
  return (
    <form
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        const text = box.current?.value.trim() ?? "";
        const exact = run ? parseFeature(run, text) : [];
        if (exact.length) go({ view: "life", ...exact[0] });
        else go({ view: "find", more: { q: text } });
        setTyped(null);
        box.current?.blur();
      }}
    >
      <input
        ref={box}
        type="search"
        placeholder="Token, or 3_100"
        aria-label="Search features by token, label or number"
        aria-keyshortcuts="/"
        autocomplete="off"
        spellcheck={false}
        data-testid="search"
        value={typed ?? asked}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

/** `/` goes to the search box, Escape leaves it. */
function useSlash(search: { current: HTMLInputElement | null }) {
  useLayoutEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const typing = target.matches("input, textarea, select, [contenteditable]");
      if (event.key === "/" && !typing && !event.metaKey && !event.ctrlKey && !event.altKey) {
        event.preventDefault();
        search.current?.focus();
        search.current?.select();
      } else if (event.key === "Escape" && target === search.current) {
        search.current?.blur();
      }
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, []);
}
