import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Explorer } from "./data/explorer";
import { named } from "./data/numbers";
import type { Run } from "./data/run";
import type { Go } from "./state";
import { type Suggestion, suggestionsOf } from "./suggestions";
import "./search.css";

/** The search box: a feature's number leads to its life, anything else to a list. */
export function Search(props: {
  opened: { run: Run; explorer: Explorer } | null;
  asked: string;
  go: Go;
}) {
  const { opened, asked, go } = props;
  const box = useRef<HTMLInputElement>(null);
  const id = useId();
  // what is being typed stays, however often the page is drawn meanwhile
  const [typed, setTyped] = useState<string | null>(null);
  const [active, setActive] = useState(-1);
  const offered = useSuggestions(opened, typed);
  useLayoutEffect(() => setTyped(null), [asked]);
  useLayoutEffect(() => setActive(-1), [offered]);
  useSlash(box);
  const close = () => setTyped(null);
  const leave = () => {
    close();
    box.current?.blur();
  };
  const choose = ({ change }: Suggestion) => {
    leave();
    go(change);
  };
  const seek = () => {
    const value = box.current?.value ?? "";
    const text = value.trim() || value;
    const number = opened ? named(opened.run, text) : null;
    leave();
    if (number?.features.length && !number.plain) go({ view: "life", ...number.features[0] });
    else go({ view: "find", more: { q: text } });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && offered.length) {
      event.preventDefault();
      // before the first is the text itself
      const places = offered.length + 1;
      setActive(((active + 1 + step + places) % places) - 1);
    } else if (event.key === "Escape" && offered.length) {
      event.stopPropagation();
      close();
    }
  };
  return (
    <form
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (offered[active]) choose(offered[active]);
        else seek();
      }}
    >
      <input
        ref={box}
        type="text"
        role="combobox"
        enterkeyhint="search"
        placeholder="Token, or 3_100"
        aria-label="Search features by token, label or number"
        aria-keyshortcuts="/"
        aria-autocomplete="list"
        aria-expanded={offered.length > 0}
        aria-controls={id}
        aria-activedescendant={offered[active] ? `${id}-${active}` : undefined}
        autocomplete="off"
        spellcheck={false}
        data-testid="search"
        value={typed ?? asked}
        onInput={(event) => setTyped(event.currentTarget.value)}
        onKeyDown={onKeyDown}
        onBlur={close}
      />
      <kbd aria-hidden="true">/</kbd>
      <Offered id={id} offered={offered} active={active} choose={choose} />
    </form>
  );
}

function Offered(props: {
  id: string;
  offered: readonly Suggestion[];
  active: number;
  choose: (one: Suggestion) => void;
}) {
  const { id, offered, active, choose } = props;
  const list = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [active]);
  const kinds = [...new Set(offered.map(({ kind }) => kind))];
  return (
    <div
      class="offered"
      id={id}
      ref={list}
      role="listbox"
      aria-label="Suggestions"
      hidden={!offered.length}
      // the box keeps the focus
      onPointerDown={(event) => event.preventDefault()}
    >
      {kinds.map((kind) => (
        <div key={kind} role="group" aria-label={kind}>
          <p class="offered-kind" aria-hidden="true">
            {kind}
          </p>
          {offered.map(
            (one, i) =>
              one.kind === kind && (
                <button
                  type="button"
                  tabIndex={-1}
                  key={`${one.text} ${one.detail}`}
                  id={`${id}-${i}`}
                  class="offered-one"
                  role="option"
                  aria-selected={i === active}
                  data-testid="suggestion"
                  onClick={() => choose(one)}
                >
                  <bdi>{one.text}</bdi> <bdi class="offered-detail">{one.detail}</bdi>
                </button>
              ),
          )}
        </div>
      ))}
    </div>
  );
}

const PAUSE = 60; // milliseconds without a letter, after which something is offered
const NOTHING: readonly Suggestion[] = [];

/** What is offered for a text that is being typed; what cannot be read is not offered. */
function useSuggestions(
  opened: { run: Run; explorer: Explorer } | null,
  typed: string | null,
): readonly Suggestion[] {
  const [held, set] = useState({ of: "", offered: NOTHING });
  const text = typed?.trim() ?? "";
  useEffect(() => {
    if (!opened || !text) return;
    let current = true;
    const timer = setTimeout(() => {
      suggestionsOf(opened.run, opened.explorer, text)
        .catch(() => NOTHING)
        .then((offered) => current && set({ of: text, offered }));
    }, PAUSE);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [opened, text]);
  return text && held.of === text ? held.offered : NOTHING;
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
