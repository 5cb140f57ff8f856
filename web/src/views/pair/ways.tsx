import type { Frame } from "../../data/parquet";
import { count, percent } from "../../draw/format";
import "./ways.css";

/** Where the way over the layers between and the direct match lead, as shares of A's features. */
export function Ways(props: { composition: Frame | null; a: string; b: string; steps: number }) {
  const rows = rowsOf(props.composition, props.a, props.b);
  if (!rows.length) {
    return (
      <p class="aside">
        {props.composition
          ? "Not every neighbouring pair on the way is matched, so that nothing can be composed."
          : "The run has no table of compositions: saematch flow RUN makes it."}
      </p>
    );
  }
  return (
    <div class="ways">
      {rows.map((row) => {
        const share = (value: number) => (row.features ? value / row.features : 0);
        const parts = [
          { key: "equal", text: "both ways, same feature", value: row.equal },
          { key: "other", text: "both ways, another", value: row.both - row.equal },
          { key: "direct", text: "only direct", value: row.direct - row.both },
          { key: "composed", text: "only step by step", value: row.composed - row.both },
        ];
        return (
          <figure key={row.links}>
            <figcaption>
              {row.both ? (
                <>
                  Of {count(row.both)} features with a{" "}
                  {row.links === "matched" ? "match" : "target"} both ways,{" "}
                  <b>{percent(row.agreement)}</b>
                  <span class="muted">
                    {" "}
                    ({percent(row.low)} to {percent(row.high)})
                  </span>{" "}
                  end at the same feature
                </>
              ) : (
                <>No feature has a {row.links === "matched" ? "match" : "target"} both ways</>
              )}
            </figcaption>
            <div class="ways-bar" aria-hidden="true">
              {parts.map((part) => (
                <span
                  key={part.key}
                  class={`way-${part.key}`}
                  style={{ width: `${100 * share(part.value)}%` }}
                />
              ))}
            </div>
            <ul class="ways-key">
              {parts.map((part) => (
                <li key={part.key} class={`way-${part.key}`}>
                  {part.text} <b>{percent(share(part.value))}</b>
                </li>
              ))}
            </ul>
          </figure>
        );
      })}
    </div>
  );
}

function rowsOf(frame: Frame | null, a: string, b: string) {
  if (!frame) return [];
  const [from, to, links] = [frame.texts("a"), frame.texts("b"), frame.texts("links")];
  const names = ["features", "composed", "direct", "both", "equal", "agreement", "low", "high"];
  return Array.from({ length: frame.length }, (_, i) => i)
    .filter((i) => from[i] === a && to[i] === b)
    .map((i) => {
      const values = names.map((name) => [name, frame.numbers(name)[i]]);
      return { ...Object.fromEntries(values), links: links[i] ?? "" } as Way;
    })
    .sort((x, y) => (x.links < y.links ? 1 : -1));
}

interface Way {
  links: string;
  features: number;
  composed: number;
  direct: number;
  both: number;
  equal: number;
  agreement: number;
  low: number;
  high: number;
}
