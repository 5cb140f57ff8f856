import { curveMonotoneX, line } from "d3-shape";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Run } from "../../data/run";
import { carried, type Sentence, type Strand } from "../../data/sentence";
import { figure, percent, several } from "../../draw/format";
import { cut, measured, rem } from "../../draw/measured";
import { useTooltip } from "../../draw/tooltip";
import { axisName } from "../../parts/axis";
import { type Column, type Layout, layoutOf } from "./layout";
import { fitting, shortName, strandName, wordOf } from "./names";
import { flame, half } from "./strand";
import { StrandFacts, WordFacts } from "./tips";

/** What is chosen: a token, or what fires by its key without the token: `t12`, `n345`. */
export interface Chosen {
  token: number | null;
  at: string | null;
}

export const keyOf = (strand: Strand) => strand.key.slice(strand.key.indexOf("-") + 1);

/** A sentence from left to right, and what fires on its tokens from the first layer up. */
export function Picture(props: {
  run: Run;
  sentence: Sentence;
  chosen: Chosen;
  width: number;
  onToken: (token: number) => void;
  onStrand: (strand: Strand) => void;
  onNone: () => void;
}) {
  const { run, sentence, chosen } = props;
  const size = 0.8 * rem();
  const big = 1.06 * rem();
  const tip = useTooltip();
  const [pointed, point] = useState<string | null>(null);
  const elements = useRef(new Map<string, SVGGElement>());
  const scroll = useRef<HTMLDivElement>(null);
  const axis = sentence.sites.map((site, i) => axisName(run, site, i === 0));
  const side = Math.min(104, Math.max(...axis.map((name) => measured(name, size)), 30) + 14);
  const track = chosen.at?.startsWith("t") ? Number(chosen.at.slice(1)) : null;
  const layout = useMemo(
    () =>
      layoutOf(sentence, {
        word: (token) => Math.min(190, measured(wordOf(sentence, token), big, 600)),
        width: props.width - side,
        height: Math.max(340, Math.min(620, 0.6 * innerHeight)),
        line: 1.22 * size,
        chosen: track,
      }),
    [sentence, props.width, side, size, big, track],
  );
  const { rows, row } = layout;
  const marks = useMemo(() => walkOf(layout), [layout]);
  const flames = useMemo(() => outlines(layout, sentence.chain), [layout, sentence]);
  // a track that is pointed at lights up wherever it fires
  const lit = pointed ?? chosen.at;
  const [entry, setEntry] = useState("w1");
  const start = marks.some((column) => column.includes(entry)) ? entry : "w1";
  useLayoutEffect(() => {
    const box = scroll.current;
    const column = chosen.token === null ? null : layout.columns[chosen.token];
    if (
      box &&
      column &&
      (column.left < box.scrollLeft ||
        column.left + column.width > box.scrollLeft + box.clientWidth)
    ) {
      box.scrollLeft = column.left - 24;
    }
  }, [chosen.token, layout]);
  const move = (event: KeyboardEvent, key: string) => {
    const to = target(event.key, key, marks, layout);
    if (!to) return;
    event.preventDefault();
    elements.current.get(to)?.focus();
  };
  /** What every mark has: a place in the walk, a tooltip, what Enter does. */
  const marked = (
    key: string,
    group: string | null,
    label: string,
    open: () => void,
    tipped: ReturnType<typeof tip.on>,
  ) => ({
    ref: (element: SVGGElement | null) => {
      if (element) elements.current.set(key, element);
      else elements.current.delete(key);
    },
    role: "button" as const,
    tabindex: key === start ? 0 : -1,
    "aria-label": label,
    "data-key": key,
    "aria-pressed": key === `w${chosen.token}` || (chosen.at !== null && group === chosen.at),
    onClick: open,
    onKeyDown: (event: KeyboardEvent) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        open();
      } else move(event, key);
    },
    onPointerEnter: (event: { currentTarget: EventTarget }) => {
      point(group);
      tipped.onPointerEnter(event);
    },
    onPointerLeave: () => {
      point(null);
      tipped.onPointerLeave();
    },
    onFocus: (event: { currentTarget: EventTarget }) => {
      setEntry(key);
      point(group);
      tipped.onFocus(event);
    },
    onBlur: () => {
      point(null);
      tipped.onBlur();
    },
  });
  const classOf = (strand: Strand) =>
    [
      strand.nodes.length === 1 ? "alone" : carried(sentence, strand) ? "carried" : "made",
      lit === null ? "" : keyOf(strand) === lit ? "lit" : "unlit",
    ].join(" ");
  return (
    <div class="sentence-picture">
      <svg class="sentence-axis" width={side} height={layout.height} aria-hidden="true">
        {axis.map((name, i) => (
          <text
            key={i}
            x={side - 10}
            y={rows[i] + 4}
            text-anchor="end"
            class={sentence.chain.includes(i) ? undefined : "module"}
          >
            {cut(name, side - 12, size)}
          </text>
        ))}
      </svg>
      <div class="sentence-scroll" ref={scroll}>
        <svg
          class={lit === null ? "sentence-svg" : "sentence-svg focused"}
          width={layout.width}
          height={layout.height}
          role="group"
          aria-label={`${several(sentence.tokens.length - 1, "token")} over ${several(sentence.sites.length, "SAE")}. Arrow keys walk from word to word, up to what fires there, and along a track; Enter chooses, Escape lets go.`}
          data-testid="sentence-picture"
          onClick={(event) => event.target === event.currentTarget && props.onNone()}
          onKeyDown={(event) => event.key === "Escape" && props.onNone()}
        >
          <g class="sentence-lines">
            {rows.map((y, i) => (
              <line
                key={i}
                class={sentence.chain.includes(i) ? undefined : "module"}
                x1={0}
                x2={layout.width}
                y1={y}
                y2={y}
              />
            ))}
          </g>
          {chosen.token !== null && layout.columns[chosen.token] && (
            <rect
              class="sentence-column"
              x={layout.columns[chosen.token].left}
              width={layout.columns[chosen.token].width}
              y={4}
              height={layout.height - 8}
              rx={10}
            />
          )}
          <defs>
            <filter id="sentence-glow" x="-5%" y="-5%" width="110%" height="110%">
              <feGaussianBlur stdDeviation="5" />
            </filter>
          </defs>
          <g class="sentence-halos" filter="url(#sentence-glow)" aria-hidden="true">
            {layout.columns.flatMap(({ strands }) =>
              strands.map(({ strand, x }) => (
                <path
                  key={strand.key}
                  class={classOf(strand)}
                  transform={`translate(${x},0)`}
                  d={flames.get(strand)?.halo}
                />
              )),
            )}
          </g>
          <g class="sentence-threads" aria-hidden="true">
            {layout.columns.flatMap(({ threads }) =>
              threads.map(({ strand, x }) => (
                <path
                  key={strand.key}
                  class={classOf(strand)}
                  transform={`translate(${x},0)`}
                  d={flames.get(strand)?.thread}
                />
              )),
            )}
          </g>
          {lit !== null && <Course layout={layout} lit={lit} />}
          {layout.columns.map((column) => (
            <g key={column.token} class="sentence-token" style={{ "--token": column.token }}>
              {column.dots.map(({ fire, strand, x }) => (
                <g
                  key={strand.key}
                  class={`sentence-dot ${classOf(strand)}`}
                  data-testid="sentence-dot"
                  {...marked(
                    strand.key,
                    keyOf(strand),
                    `${strandName(strand)}, ${run.short(fire.known.site)}, on ${wordOf(sentence, column.token)}, ${percent(fire.share)} of its largest activation`,
                    () => props.onStrand(strand),
                    tip.on(() => <StrandFacts run={run} sentence={sentence} strand={strand} />),
                  )}
                >
                  <rect class="hit" x={x - 4} y={rows[fire.row] - 7} width={8} height={14} />
                  <circle
                    cx={x}
                    cy={rows[fire.row]}
                    r={1.1 + 2.2 * Math.sqrt(Math.min(1, fire.share))}
                  />
                </g>
              ))}
              {column.strands.map(({ strand, x }) => (
                <g
                  key={strand.key}
                  class={`sentence-strand ${classOf(strand)}`}
                  transform={`translate(${x},0)`}
                  data-testid="sentence-strand"
                  {...marked(
                    strand.key,
                    keyOf(strand),
                    `${strandName(strand)}, on ${wordOf(sentence, column.token)}, ${span(run, strand)}, up to ${figure(strand.strongest.activation)}`,
                    () => props.onStrand(strand),
                    tip.on(() => <StrandFacts run={run} sentence={sentence} strand={strand} />),
                  )}
                >
                  <rect
                    class="hit"
                    x={-7.5}
                    width={15}
                    y={rows[strand.nodes[strand.nodes.length - 1].row] - row * 0.45}
                    height={
                      (strand.nodes[strand.nodes.length - 1].row - strand.nodes[0].row + 0.9) * row
                    }
                    rx={7.5}
                  />
                  <g class="flame">
                    <path class="core" d={flames.get(strand)?.core} />
                    {strand.nodes.map((fire) => (
                      <circle
                        key={fire.node}
                        class="bead"
                        cy={rows[fire.row]}
                        r={Math.min(1.9, 0.5 + half(fire.share) * 0.3)}
                      />
                    ))}
                  </g>
                </g>
              ))}
              <Word
                {...props}
                column={column}
                layout={layout}
                big={big}
                chosen={chosen.token === column.token}
                marked={marked(
                  `w${column.token}`,
                  null,
                  `${wordOf(sentence, column.token)}, token ${column.token}`,
                  () => props.onToken(column.token),
                  tip.on(() => <WordFacts sentence={sentence} token={column.token} />),
                )}
              />
            </g>
          ))}
          <g class="sentence-names" aria-hidden="true">
            {layout.columns.flatMap(({ strands }) =>
              strands.map(({ strand, x, name }) =>
                name ? (
                  <g key={strand.key} class={classOf(strand)}>
                    <line x1={x + 2} x2={name.x - 2} y1={name.y} y2={name.y} />
                    <text x={name.x} y={name.y + 0.34 * size}>
                      {fitting(shortName(strand), name.room, size, 550)}
                    </text>
                  </g>
                ) : null,
              ),
            )}
          </g>
        </svg>
      </div>
      {tip.view}
    </div>
  );
}

function Word(props: {
  sentence: Sentence;
  column: Column;
  layout: Layout;
  big: number;
  chosen: boolean;
  marked: Record<string, unknown>;
}) {
  const { sentence, column, layout, big, chosen } = props;
  const { token, left, width } = column;
  const text = wordOf(sentence, token);
  const bare = token === 0;
  const wide = Math.min(width - 4, measured(text, big, 600) + 14);
  return (
    <g
      class={`sentence-word${bare ? " bare" : ""}${chosen ? " chosen" : ""}`}
      data-testid="sentence-word"
      {...props.marked}
    >
      <rect class="chip" x={left + 2} y={layout.words - 17} width={wide} height={26} rx={7} />
      <text x={left + 8} y={layout.words + 1} style={{ fontSize: bare ? undefined : `${big}px` }}>
        {cut(text, width - 10, bare ? 0.8 * rem() : big, 600)}
      </text>
    </g>
  );
}

/** The outlines of all strands: they stay as they are while others light up. */
function outlines({ columns, rows, row }: Layout, chain: readonly number[]) {
  const found = new Map<Strand, { core?: string; halo?: string; thread?: string }>();
  for (const { strands, threads } of columns) {
    for (const { strand } of strands) {
      const of = (wider: number, more: number) => flame(strand, rows, row, chain, wider, more);
      found.set(strand, { core: of(1, 0), halo: of(1.5, 2) });
    }
    for (const { strand } of threads) {
      found.set(strand, { thread: flame(strand, rows, row, chain, 0.3, 0) });
    }
  }
  return found;
}

/** Where a track goes from token to token: through the middle of its strands. */
function Course({ layout, lit }: { layout: Layout; lit: string }) {
  const points = layout.columns.flatMap((column): [number, number][] => {
    const strand = column.strands.find((one) => keyOf(one.strand) === lit);
    const dot = column.dots.find((one) => keyOf(one.strand) === lit);
    if (strand) return [[strand.x, layout.rows[strand.strand.strongest.row]]];
    return dot ? [[dot.x, layout.rows[dot.fire.row]]] : [];
  });
  if (points.length < 2) return null;
  return <path class="sentence-course" d={line().curve(curveMonotoneX)(points) ?? ""} />;
}

/** The keys of marks, column by column, from the word up. */
function walkOf(layout: Layout): string[][] {
  return layout.columns.map(({ token, strands, dots }) => [
    `w${token}`,
    ...strands.map(({ strand }) => strand.key),
    ...[...dots].sort((a, b) => a.fire.row - b.fire.row).map(({ strand }) => strand.key),
  ]);
}

/** Where an arrow key leads: up and down what a token has, left and right along a track or in line. */
function target(
  key: string,
  from: string,
  marks: readonly string[][],
  layout: Layout,
): string | null {
  const column = marks.findIndex((keys) => keys.includes(from));
  const place = marks[column].indexOf(from);
  if (key === "ArrowUp") return marks[column][place + 1] ?? null;
  if (key === "ArrowDown") return marks[column][place - 1] ?? null;
  if (key === "Home") return marks[0][0];
  if (key === "End") return marks[marks.length - 1][0];
  if (key !== "ArrowLeft" && key !== "ArrowRight") return null;
  const step = key === "ArrowRight" ? 1 : -1;
  const next = marks[column + step];
  if (!next) return null;
  const own = from.slice(from.indexOf("-") + 1);
  const along = next.find((one) => one.slice(one.indexOf("-") + 1) === own);
  if (along) return along;
  const strands = layout.columns[column + step].strands.length;
  return next[Math.min(place, strands)] ?? null;
}

/** From which SAE to which. */
export function span(run: Run, { nodes }: Strand): string {
  const [first, last] = [nodes[0], nodes[nodes.length - 1]].map(({ known }) =>
    run.short(known.site),
  );
  return first === last ? `at ${first}` : `from ${first} to ${last}`;
}
