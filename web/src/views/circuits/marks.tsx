import type { Mark } from "../../data/circuits";
import { radius } from "./geometry";
import { cut, lines, nameOf } from "./labels";

const HALF = 8; // of the width of a supernode

interface Placed {
  mark: Mark;
  cell: { x: number; bottom: number; top: number; room: number };
  /** The largest influence of a node. */
  most: number;
  /** Middle of each row. */
  rows: readonly number[];
}

/** What SAEs leave out at a token: a hollow diamond for each, on one dotted line. */
export function ErrorMark({ mark, cell, most, rows }: Placed) {
  const { x, bottom, top } = cell;
  return (
    <>
      <rect class="hit" x={x - 10} y={top - 12} width={20} height={bottom - top + 24} rx={6} />
      {bottom > top && <line class="error-line" x1={x} x2={x} y1={top} y2={bottom} />}
      {mark.nodes.map((node) => {
        const r = radius(node.influence, most) + 0.5;
        return (
          <path
            key={node.id}
            class="diamond"
            d={`M${x},${rows[node.row] - r}l${r},${r}l${-r},${r}l${-r},${-r}Z`}
          />
        );
      })}
    </>
  );
}

/** Lines that the name of a supernode may take, by its rows. */
export function linesOf({ nodes }: Mark): number {
  return Math.max(1, Math.min(5, 2 * (nodes[nodes.length - 1].row - nodes[0].row) + 1));
}

/** A feature as a dot with its label; a supernode as a capsule over its layers, named once. */
export function FeatureMark({ mark, cell, most, rows, size }: Placed & { size: number }) {
  const { x, bottom, top, room } = cell;
  const name = nameOf(mark);
  if (mark.nodes.length === 1) {
    const text = cut(name, room, size);
    return (
      <>
        <rect class="hit" x={x - 10} y={bottom - 11} width={room + 18} height={22} rx={6} />
        <circle r={radius(mark.influence, most)} cx={x} cy={bottom} />
        <text class={mark.name ? "feature-text" : "feature-text unnamed"} x={x + 11} y={bottom + 4}>
          {text}
        </text>
      </>
    );
  }
  const tall = bottom - top + 2 * HALF + 8;
  const line = 1.25 * size;
  const text = lines(name, room, linesOf(mark), size, 650);
  const middle = (top + bottom) / 2 - ((text.length - 1) / 2) * line + 0.36 * size;
  return (
    <>
      <rect class="hit" x={x - 12} y={top - HALF - 6} width={room + 22} height={tall + 4} rx={10} />
      <rect
        class="capsule"
        x={x - HALF}
        y={top - HALF - 4}
        width={2 * HALF}
        height={tall}
        rx={HALF}
      />
      {mark.nodes.map((node) => (
        <circle key={node.id} r={radius(node.influence, most)} cx={x} cy={rows[node.row]} />
      ))}
      {text.map((one, i) => (
        <text key={i} class="capsule-text" x={x + HALF + 5} y={middle + i * line}>
          {one}
        </text>
      ))}
    </>
  );
}
