import { useLayoutEffect, useRef } from "preact/hooks";
import type { Run } from "../../data/run";
import { count, percent } from "../../draw/format";
import { changed, type Go, type State, writeHash } from "../../state";
import type { ViewProps } from "../view";
import "./matrix.css";

const NARROW = 1100; // pixels of a screen on which the matrix is opened when it is wanted
const READABLE = 15; // pixels of a label
const GAP = 2; // pixels between squares

/** All pairs of the run, to choose one from. */
export function AllPairs(props: ViewProps & { a: string; b: string }) {
  const { run } = props;
  return (
    <details class="all-pairs" open={innerWidth > NARROW}>
      <summary>
        {run.pairs.length > 1 ? `All ${count(run.pairs.length)} pairs` : "The only pair"}
      </summary>
      <div class="matrix-box">
        <Matrix {...props} />
      </div>
      <p class="aside">
        From the SAE of the row to that of the column. Darker: more of its features have a match.
      </p>
    </details>
  );
}

/** A down and B across, shaded by the share of A's features that match. */
function Matrix(props: { run: Run; a: string; b: string; state: State; go: Go }) {
  const { run, a, b, state, go } = props;
  const grid = useRef<HTMLTableElement>(null);
  useLayoutEffect(() => {
    const [table, box] = [grid.current, grid.current?.parentElement];
    const cell = table?.querySelector<HTMLElement>("[aria-current]")?.parentElement;
    if (!table || !box || !cell) return;
    // the chosen pair in sight, without moving the page
    box.scrollTop = cell.offsetTop - box.clientHeight / 2;
    box.scrollLeft = cell.offsetLeft - box.clientWidth / 2;
  }, [a, b]);
  const from = run.names.filter((name) => run.from(name).length);
  const to = run.names.filter((name) => run.to(name).length);
  const size = Math.max(11, Math.min(22, Math.floor(190 / Math.max(from.length, to.length))));
  // every nth label, so that they do not lie on each other
  const every = Math.ceil(READABLE / (size + GAP));
  const move = (event: KeyboardEvent) => {
    const steps: Record<string, [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const step = steps[event.key];
    const cell = (event.target as HTMLElement).closest("a");
    if (!step || !cell || !grid.current) return;
    event.preventDefault();
    let [row, column] = [Number(cell.dataset.row), Number(cell.dataset.column)];
    // pairs that the run does not have are passed over
    do {
      row += step[0];
      column += step[1];
      const next = grid.current.querySelector<HTMLElement>(
        `a[data-row="${row}"][data-column="${column}"]`,
      );
      if (next) return next.focus();
    } while (row >= 0 && row < from.length && column >= 0 && column < to.length);
  };
  return (
    <table
      class="matrix"
      ref={grid}
      aria-label="Pairs of SAEs, shaded by the share of features that match. Arrow keys move."
      onKeyDown={move}
      style={{ "--cell": `${size}px` }}
      data-testid="pair-list"
    >
      <thead>
        <tr>
          <td />
          {to.map((name, column) => (
            <th key={name} scope="col" class={name === b ? "chosen" : undefined} title={name}>
              <span>{isNamed(column, to.indexOf(b), every) ? run.short(name) : ""}</span>
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {from.map((name, row) => (
          <tr key={name}>
            <th scope="row" class={name === a ? "chosen" : undefined} title={name}>
              {isNamed(row, from.indexOf(a), every) ? run.short(name) : ""}
            </th>
            {to.map((other, column) => {
              const pair = run.pair(name, other);
              if (!pair) return <td key={other} />;
              const used = pair.summary.features_a - pair.summary.excluded_a;
              const share = used ? pair.summary.matched / used : 0;
              const chosen = name === a && other === b;
              const what =
                `${name} to ${other}: ${percent(share)} matched, ` +
                `${count(pair.summary.matched)} of ${count(used)}`;
              return (
                <td key={other}>
                  <a
                    href={writeHash(
                      changed(state, { view: "pair", a: name, b: other, more: CLEAR }),
                    )}
                    data-row={row}
                    data-column={column}
                    class={chosen ? "cell chosen" : "cell"}
                    aria-current={chosen ? "true" : undefined}
                    aria-label={what}
                    title={what}
                    tabIndex={chosen ? 0 : -1}
                    style={{ "--share": `${Math.round(100 * Math.sqrt(share))}%` }}
                    onClick={(event) => {
                      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
                      event.preventDefault();
                      go({ view: "pair", a: name, b: other, more: CLEAR });
                    }}
                  />
                </td>
              );
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What one pair's view says in the URL and another's does not keep. */
const CLEAR = { pick: null, brush: null };

/** Whether a heading is shown: every nth, and the chosen one in place of those it would touch. */
function isNamed(place: number, chosen: number, every: number): boolean {
  if (place === chosen) return true;
  return place % every === 0 && (chosen < 0 || Math.abs(place - chosen) >= every);
}
