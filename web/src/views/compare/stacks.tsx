import { useRef, useState } from "preact/hooks";
import { count, percent } from "../../draw/format";
import { fitted } from "../../draw/path";
import { useTooltip } from "../../draw/tooltip";
import { useWidth } from "../../parts/use";
import "./stacks.css";

/** A part of a bar. */
export interface Piece {
  key: string;
  count: number;
  /** A class of stacks.css, which says its colour. */
  tone: string;
  /** What its features are, after their number: "found only here". */
  said: string;
}

/** A bar: parts of a whole. */
export interface Stack {
  key: string;
  name: string;
  total: number;
  pieces: readonly Piece[];
}

const BAR = 30;
const WIDE = 640; // pixels from which names stand beside the bars
const LETTER = 7.4; // of a name, at most

/** Bars of shares, one below the other; every part can be opened. Arrow keys walk over them. */
export function Stacks(props: {
  label: string;
  stacks: readonly Stack[];
  chosen: { stack: string; piece: string };
  onOpen: (stack: string, piece: string) => void;
  testid: string;
}) {
  const { stacks, chosen, onOpen } = props;
  const [ref, width] = useWidth<HTMLDivElement>();
  const tip = useTooltip();
  const svg = useRef<SVGSVGElement>(null);
  const whole = stacks.map((stack) => stack.pieces.filter((piece) => piece.count > 0));
  const at = whole.map((pieces, row) =>
    stacks[row].key === chosen.stack ? pieces.findIndex((one) => one.key === chosen.piece) : -1,
  );
  const row = at.findIndex((column) => column >= 0);
  const first = Math.max(
    0,
    whole.findIndex((pieces) => pieces.length),
  );
  const [stop, setStop] = useState<readonly [number, number] | null>(null);
  // one Tab stop: where the focus was last, else what is chosen
  const here = stop ?? (row >= 0 ? ([row, at[row]] as const) : ([first, 0] as const));
  const wide = width >= WIDE;
  const longest = Math.max(...stacks.map(({ name }) => name.length), 1);
  const left = wide ? Math.min(250, longest * LETTER + 20) : 0;
  const step = wide ? BAR + 12 : BAR + 32;
  const lift = wide ? 0 : 20;
  const room = Math.max(0, width - left);
  const move = (event: KeyboardEvent) => {
    const by: Record<string, readonly [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const step = by[event.key];
    if (!step) return;
    event.preventDefault();
    let to = here[0] + step[0];
    while (whole[to] && !whole[to].length) to += step[0];
    if (!whole[to]) return;
    const column = Math.max(0, Math.min(whole[to].length - 1, here[1] + step[1]));
    setStop([to, column]);
    svg.current?.querySelector<SVGElement>(`[data-at="${to} ${column}"]`)?.focus();
  };
  return (
    <div class="stacks" ref={ref} data-testid={props.testid}>
      {width > 0 && (
        <svg
          ref={svg}
          width={width}
          height={stacks.length * step}
          role="group"
          aria-label={`${props.label}. Arrow keys move, Enter lists the features.`}
          onKeyDown={move}
        >
          {stacks.map((stack, i) => {
            let x = left;
            return (
              <g key={stack.key} transform={`translate(0,${i * step})`}>
                <text class="stack-name" x={0} y={wide ? BAR / 2 + 5 : 13}>
                  <title>{stack.name}</title>
                  {fitted(stack.name, wide ? left - 8 : room, 13)}
                </text>
                {whole[i].map((piece, j) => {
                  const share = piece.count / Math.max(1, stack.total);
                  const [start, long] = [x, share * room];
                  x += long;
                  const text = textFor(piece.count, share, long);
                  const pressed = i === row && j === at[row];
                  const open = () => {
                    setStop([i, j]);
                    onOpen(stack.key, piece.key);
                  };
                  return (
                    <g
                      key={piece.key}
                      class={`piece ${piece.tone}${pressed ? " chosen" : ""}`}
                      role="button"
                      // Chromium does not take an SVG element's tabIndex
                      tabindex={i === here[0] && j === here[1] ? 0 : -1}
                      aria-pressed={pressed}
                      aria-label={saidOf(stack, piece, share)}
                      data-at={`${i} ${j}`}
                      data-testid={`piece-${piece.key}`}
                      onClick={open}
                      onKeyDown={(event) => {
                        if (event.key !== "Enter" && event.key !== " ") return;
                        event.preventDefault();
                        open();
                      }}
                      {...tip.on(() => (
                        <>
                          <p class="tip-title">{stack.name}</p>
                          <p class="tip-label">
                            {count(piece.count)} · {percent(share)}
                          </p>
                          <p class="tip-note">{piece.said}</p>
                        </>
                      ))}
                    >
                      <rect
                        x={start}
                        y={lift}
                        width={Math.max(1, long - 1.5)}
                        height={BAR}
                        rx="2"
                      />
                      {text && (
                        <text x={start + long / 2} y={lift + BAR / 2 + 4.5} text-anchor="middle">
                          {text}
                        </text>
                      )}
                    </g>
                  );
                })}
              </g>
            );
          })}
        </svg>
      )}
      {tip.view}
    </div>
  );
}

/** What is read of a part: as it is written on it, then in words. */
function saidOf(stack: Stack, piece: Piece, share: number): string {
  return `${count(piece.count)} · ${percent(share)} of ${stack.name}: ${piece.said}`;
}

/** As much of a part's number and share as it has room for. */
function textFor(number: number, share: number, room: number): string {
  const both = `${count(number)} · ${percent(share)}`;
  if (both.length * 7.4 + 12 < room) return both;
  return count(number).length * 7.6 + 8 < room ? count(number) : "";
}
