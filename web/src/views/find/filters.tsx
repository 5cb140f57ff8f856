import { useEffect, useState } from "preact/hooks";
import type { Explorer } from "../../data/explorer";
import type { Run } from "../../data/run";
import type { Go, State } from "../../state";

const WIDE = "(min-width: 901px)"; // as in find.css

/** The conditions of a search, kept in the URL. */
export function Filters(props: { run: Run; explorer: Explorer; state: State; go: Go }) {
  const { run, explorer, state, go } = props;
  const { more } = state;
  const wide = useWide();
  const set = (name: string) => (value: string) =>
    go({ more: { [name]: value } }, { replace: true });
  const number = (name: string, label: string, placeholder: string, step = "any") => (
    <Labelled label={label}>
      <input
        type="number"
        step={step}
        min="0"
        value={more[name] ?? ""}
        placeholder={placeholder}
        data-testid={`filter-${name}`}
        onInput={(event) => set(name)(event.currentTarget.value)}
      />
    </Labelled>
  );
  const choose = (name: string, label: string, any: string, values: readonly string[]) => (
    <Labelled label={label}>
      <select
        value={more[name] ?? ""}
        data-testid={`filter-${name}`}
        onChange={(event) => set(name)(event.currentTarget.value)}
      >
        <option value="">{any}</option>
        {values.map((value) => (
          <option key={value} value={value}>
            {value}
          </option>
        ))}
      </select>
    </Labelled>
  );
  const active = ["site", "life", "from", "to", "score", "p", "origin", "community"].filter(
    (name) => more[name],
  );
  const origins = run.flow("origins") ? explorer.index.origins : [];
  return (
    <aside class="filters" aria-label="Filters">
      <details open={wide || undefined}>
        <summary data-testid="filters-fold">
          Filters{active.length > 0 && ` (${active.length})`}
        </summary>
        <div class="filters-all">
          {choose("site", "SAE", "all", run.names)}
          {explorer.index.mode && number("life", "Lives for at least", "1 layer", "1")}
          <Labelled label="Fires on a share of tokens">
            <span class="between">
              {["from", "to"].map((name) => (
                <input
                  key={name}
                  type="number"
                  step="any"
                  min="0"
                  max="1"
                  aria-label={`Fires on a share of tokens, ${name}`}
                  value={more[name] ?? ""}
                  placeholder={name === "from" ? "0" : "1"}
                  data-testid={`filter-${name}`}
                  onInput={(event) => set(name)(event.currentTarget.value)}
                />
              ))}
            </span>
          </Labelled>
          {!run.compared && number("score", "Score to the next at least", "any")}
          {!run.compared && number("p", "p-value at most", "1")}
          {origins.length > 0 && choose("origin", "Origin", "any", origins)}
          {run.flow("communities") && number("community", "Community", "any", "1")}
          {active.length > 0 && (
            <button
              type="button"
              class="button"
              onClick={() => go({ more: Object.fromEntries(active.map((name) => [name, null])) })}
            >
              Clear filters
            </button>
          )}
        </div>
      </details>
    </aside>
  );
}

/** Whether filters stand beside the list; else they are folded above it. */
function useWide(): boolean {
  const [wide, set] = useState(() => matchMedia(WIDE).matches);
  useEffect(() => {
    const media = matchMedia(WIDE);
    const follow = () => set(media.matches);
    media.addEventListener("change", follow);
    return () => media.removeEventListener("change", follow);
  }, []);
  return wide;
}

function Labelled({ label, children }: { label: string; children: preact.ComponentChildren }) {
  return (
    <label class="field">
      <span>{label}</span>
      {children}
    </label>
  );
}
