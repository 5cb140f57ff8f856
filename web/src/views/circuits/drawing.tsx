import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { About, Edge, Mark } from "../../data/circuits";
import type { Run } from "../../data/run";
import { percent } from "../../draw/format";
import { cut, lines, measured, rem } from "../../draw/measured";
import { useTooltip } from "../../draw/tooltip";
import { axisName } from "../../parts/axis";
import { bow, strength, thickness } from "./geometry";
import { layersOf, nameOf, tokenText } from "./labels";
import { type Layout, layoutOf } from "./layout";
import { linesOf, Name, Shape } from "./marks";
import { EdgeFacts, MarkFacts } from "./tips";

const EDGE = 40; // pixels from the end of what is seen, within which a chosen mark is not seen well
const OWN = 12; // edges into and out of a chosen mark that stand out

export interface DrawingProps {
  run: Run;
  about: About;
  marks: readonly Mark[];
  /** All edges between these marks, the weightiest first. */
  edges: readonly Edge[];
  /** The least weight of an edge that is drawn. */
  cut: number;
  chosen: Mark | null;
  path: readonly Mark[];
  width: number;
  onChoose: (mark: Mark | null) => void;
}

/** A circuit: the prompt from left to right, layers from below to above, the next token on top. */
export function Drawing(props: DrawingProps) {
  const { run, about, marks, edges, chosen, onChoose } = props;
  const size = 0.8 * rem();
  const [pointed, setPointed] = useState<string | null>(null);
  const tip = useTooltip();
  const elements = useRef(new Map<string, SVGGElement>());
  const scroll = useRef<HTMLDivElement>(null);
  const names = useMemo(
    () => about.sites.map((site, i) => axisName(run, site, i === 0)),
    [about, run],
  );
  const side = Math.min(110, Math.max(...names.map((name) => measured(name, size)), 34) + 14);
  const layout = useMemo(
    () =>
      layoutOf(marks, edges, {
        label: (mark) => labelWidth(mark, size),
        token: (position) => Math.min(170, measured(tokenText(about.tokens[position]), size, 600)),
        tokens: about.tokens.length,
        sites: about.sites.length,
        width: props.width - side,
        height: 0.58 * innerHeight,
      }),
    [marks, edges, about, size, props.width, side],
  );
  useLayoutEffect(() => {
    const box = scroll.current;
    if (!box) return;
    // the end of the prompt, or as much of it as leaves the likeliest token in sight
    const ends = marks.flatMap((mark) =>
      mark.kind === "logit" ? [layout.cells.get(mark.key)] : [],
    );
    box.scrollLeft = Math.min(box.scrollWidth, ...ends.map((cell) => (cell?.x ?? 0) - 24));
  }, [about.slug]);
  useLayoutEffect(() => {
    const [box, cell] = [scroll.current, chosen && layout.cells.get(chosen.key)];
    if (!box || !cell) return;
    const [left, right] = [box.scrollLeft, box.scrollLeft + box.clientWidth];
    if (cell.x < left + EDGE || cell.x > right - EDGE)
      box.scrollLeft = cell.x - box.clientWidth / 2;
  }, [chosen?.key]);
  const drawn = useMemo(() => {
    const { path } = props;
    const steps = new Set(path.slice(1).map((mark, i) => `${path[i].key} ${mark.key}`));
    return edges.filter((edge) => edge.weight >= props.cut || steps.has(edge.key));
  }, [edges, props.cut, props.path]);
  const most = Math.max(1e-9, ...marks.flatMap((mark) => (isPlace(mark) ? largest(mark) : [])));
  // errors are quieter, however much begins in them
  const heaviest = edges.find((edge) => edge.source.kind !== "error")?.weight ?? 1;
  const own = useMemo(() => strongestOf(edges, chosen), [edges, chosen]);
  const near = useMemo(() => nearOf(own, chosen), [own, chosen]);
  const shown = chosen ? [...new Set([...drawn, ...own])] : drawn;
  const entry = chosen?.key ?? marks.find((mark) => mark.kind === "logit")?.key ?? marks[0]?.key;
  const stateOf = (mark: Mark) => {
    const classes: string[] = [mark.kind];
    if (mark === chosen) classes.push("chosen");
    if (mark.key === pointed) classes.push("pointed");
    if (near && !near.has(mark)) classes.push("far");
    if (!chosen && props.path.includes(mark)) classes.push("on-path");
    return classes.join(" ");
  };
  const move = (event: KeyboardEvent, mark: Mark) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      onChoose(mark === chosen ? null : mark);
      return;
    }
    const to = target(event.key, mark, edges, marks, layout);
    if (!to) return;
    event.preventDefault();
    elements.current.get(to.key)?.focus();
  };
  return (
    <div class="circuit-picture">
      <div class="circuit-axis" style={{ width: `${side}px`, height: `${layout.height}px` }}>
        {layout.rows.map((y, row) => (
          <span key={row} style={{ top: `${y}px` }} title={about.sites[row - 1]}>
            {row === 0
              ? ""
              : row > about.sites.length
                ? "next"
                : cut(names[row - 1], side - 10, size)}
          </span>
        ))}
      </div>
      <div class="circuit-scroll" ref={scroll}>
        <svg
          class={chosen ? "circuit-svg focused" : "circuit-svg"}
          width={layout.width}
          height={layout.height}
          role="group"
          aria-label={`${marks.length} nodes over ${about.tokens.length} tokens, ${drawn.length} edges. Arrow keys walk, Enter chooses, Escape lets go.`}
          data-testid="circuit"
          onClick={(event) => event.target === event.currentTarget && onChoose(null)}
          onKeyDown={(event) => event.key === "Escape" && onChoose(null)}
        >
          <Grid layout={layout} />
          <g class="circuit-rows" aria-hidden="true">
            {layout.rows.slice(1).map((y, row) => (
              <text key={y} x={2} y={y - 5}>
                {names[row] ?? "next"}
              </text>
            ))}
          </g>
          {about.tokens.map((token, position) => {
            const column = layout.columns[position];
            const noted = marks.some(
              ({ kind, ...of }) => kind === "token" && of.position === position,
            );
            return noted ? null : (
              <text
                key={position}
                class="token-bare"
                x={column.left + column.width / 2}
                y={layout.rows[0] + 4.5}
                text-anchor="middle"
              >
                {cut(tokenText(token), column.width - 8, size)}
              </text>
            );
          })}
          <g class="circuit-edges">
            {[...shown].reverse().map((edge) => {
              const its = own.has(edge);
              const under = pointed !== null && touches(edge, pointed) && !chosen;
              const d = bow(edge, layout);
              const tipped = tip.on(() => <EdgeFacts run={run} edge={edge} />);
              return (
                <g
                  key={edge.key}
                  class={`circuit-edge ${edge.effect < 0 ? "minus" : "plus"} of-${edge.source.kind}`}
                  data-testid="circuit-edge"
                  onPointerEnter={tipped.onPointerEnter}
                  onPointerLeave={tipped.onPointerLeave}
                >
                  <path
                    d={d}
                    stroke-width={thickness(edge, heaviest)}
                    stroke-opacity={
                      chosen && !its ? 0.05 : under ? 1 : chosen ? 0.95 : strength(edge, heaviest)
                    }
                  />
                  <path class="hit" d={d} />
                </g>
              );
            })}
          </g>
          {marks.map((mark) => {
            const cell = layout.cells.get(mark.key);
            if (!cell) return null;
            const tipped = tip.on(() => <MarkFacts run={run} about={about} mark={mark} />);
            return (
              <g
                key={mark.key}
                ref={(element) => {
                  if (element) elements.current.set(mark.key, element);
                  else elements.current.delete(mark.key);
                }}
                class={`circuit-node ${stateOf(mark)}`}
                role="button"
                tabindex={mark.key === entry ? 0 : -1}
                aria-pressed={mark === chosen}
                aria-label={spoken(run, about, mark)}
                data-testid="circuit-node"
                data-key={mark.key}
                onClick={() => onChoose(mark === chosen ? null : mark)}
                onKeyDown={(event) => move(event, mark)}
                onPointerEnter={(event) => {
                  setPointed(mark.key);
                  tipped.onPointerEnter(event);
                }}
                onPointerLeave={() => {
                  setPointed(null);
                  tipped.onPointerLeave();
                }}
                onFocus={(event) => {
                  setPointed(mark.key);
                  tipped.onFocus(event);
                }}
                onBlur={() => {
                  setPointed(null);
                  tipped.onBlur();
                }}
              >
                <Shape mark={mark} cell={cell} size={size} most={most} rows={layout.rows} />
              </g>
            );
          })}
          {/* above all marks, and no part of them: each says its whole name to those who listen */}
          <g class="circuit-names" aria-hidden="true">
            {marks.map((mark) => {
              const cell = layout.cells.get(mark.key);
              return cell ? (
                <g key={mark.key} class={stateOf(mark)}>
                  <Name mark={mark} cell={cell} size={size} most={most} rows={layout.rows} />
                </g>
              ) : null;
            })}
          </g>
        </svg>
      </div>
      {tip.view}
    </div>
  );
}

function Grid({ layout }: { layout: Layout }) {
  const [bottom, top] = [layout.rows[0], layout.rows[layout.rows.length - 1]];
  return (
    <g class="circuit-grid">
      {layout.rows.slice(1, -1).map((y) => (
        <line key={y} x1={0} x2={layout.width} y1={y} y2={y} />
      ))}
      {layout.columns.slice(1).map(({ left }) => (
        <line key={left} class="between" x1={left} x2={left} y1={top} y2={bottom + 12} />
      ))}
    </g>
  );
}

const largest = ({ nodes }: Mark) => nodes.map((node) => node.influence || 0);
const isPlace = ({ kind }: Mark) => kind === "feature" || kind === "error";
const touches = (edge: Edge, key: string) => edge.source.key === key || edge.target.key === key;

function labelWidth(mark: Mark, size: number): number {
  const name = nameOf(mark);
  if (mark.kind === "logit") {
    return measured(name, size, 650) + measured(` ${percent(mark.nodes[0].probability)}`, size);
  }
  if (mark.nodes.length === 1) return measured(name, size) + 2;
  // what it takes in as many lines as it has room for
  const most = linesOf(mark);
  for (const room of [40, 52, 64, 78, 94]) {
    const found = lines(name, room, most, size, 650);
    if (!found.some((line) => line.endsWith("…"))) {
      return Math.max(...found.map((line) => measured(line, size, 650))) + 2;
    }
  }
  return 96;
}

/** The edges of a mark that stand out: of those into it and of those out of it the weightiest. */
function strongestOf(edges: readonly Edge[], chosen: Mark | null): Set<Edge> {
  const into = edges.filter((edge) => edge.target === chosen);
  const out = edges.filter((edge) => edge.source === chosen);
  return new Set([...into.slice(0, OWN), ...out.slice(0, OWN)]);
}

function nearOf(own: ReadonlySet<Edge>, chosen: Mark | null): Set<Mark> | null {
  return chosen && new Set([chosen, ...[...own].flatMap(({ source, target }) => [source, target])]);
}

/** Where an arrow key leads: up and down along the strongest edge, left and right in a row. */
function target(
  key: string,
  mark: Mark,
  edges: readonly Edge[],
  marks: readonly Mark[],
  layout: Layout,
): Mark | null {
  if (key === "ArrowUp") return edges.find((edge) => edge.source === mark)?.target ?? null;
  if (key === "ArrowDown") return edges.find((edge) => edge.target === mark)?.source ?? null;
  if (key !== "ArrowLeft" && key !== "ArrowRight") return null;
  const { row } = mark.nodes[0];
  const place = (one: Mark) => {
    const cell = layout.cells.get(one.key);
    return cell ? cell.x + cell.bottom / 1e4 : 0;
  };
  const order = marks.filter((one) => one.nodes[0].row === row).sort((x, y) => place(x) - place(y));
  return order[order.indexOf(mark) + (key === "ArrowRight" ? 1 : -1)] ?? null;
}

/** A mark in words. */
function spoken(run: Run, about: About, mark: Mark): string {
  const name = nameOf(mark);
  const token = tokenText(about.tokens[mark.position] ?? "");
  if (mark.kind === "token") return `token ${mark.position}, ${name}`;
  if (mark.kind === "logit") return `next token ${name}, ${percent(mark.nodes[0].probability)}`;
  return `${name}, layer ${layersOf(run, mark)} on ${token}, influence ${percent(mark.influence)}`;
}
