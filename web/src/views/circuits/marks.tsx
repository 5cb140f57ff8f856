import type { Mark } from "../../data/circuits";
import { percent } from "../../draw/format";
import { cut, lines, measured } from "../../draw/measured";
import { radius } from "./geometry";
import { nameOf, tokenText } from "./labels";
import type { Cell } from "./layout";

const HALF = 8; // of the width of a supernode
const DOWN = 16; // of the dot of a logit, below its name

export interface Placed {
  mark: Mark;
  cell: Cell;
  /** The largest influence of a node. */
  most: number;
  /** Middle of each row. */
  rows: readonly number[];
  /** Of the text, in pixels. */
  size: number;
}

/** Lines that the name of a supernode may take, by its rows. */
export function linesOf({ nodes }: Mark): number {
  return Math.max(1, Math.min(5, 2 * (nodes[nodes.length - 1].row - nodes[0].row) + 1));
}

/** A mark without its name, which is drawn above all marks. */
export function Shape(props: Placed) {
  const { mark, cell, most, size } = props;
  const { x, bottom, room } = cell;
  if (mark.kind === "token") {
    const width = Math.max(26, measured(tokenOf(props), size, 600) + 16);
    return (
      <rect class="chip-box" x={x - width / 2} y={bottom - 13} width={width} height={26} rx={7} />
    );
  }
  if (mark.kind === "error") return <Errors {...props} />;
  if (mark.kind === "logit") return <Logit {...props} />;
  if (mark.nodes.length > 1) return <Track {...props} />;
  return (
    <>
      <rect class="hit" x={x - 10} y={bottom - 11} width={room + 18} height={22} rx={6} />
      <circle r={radius(mark.influence, most)} cx={x} cy={bottom} />
    </>
  );
}

/** What SAEs leave out at a token: a hollow diamond for each, on one dotted line. */
function Errors({ mark, cell, most, rows }: Placed) {
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

/** A supernode: a capsule over its layers, with a dot for each feature. */
function Track({ mark, cell, most, rows }: Placed) {
  const { x, bottom, top, room } = cell;
  const tall = bottom - top + 2 * HALF + 8;
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
    </>
  );
}

/** A token that may come next, with a bar of its probability. */
function Logit(props: Placed) {
  const [{ probability }] = props.mark.nodes;
  const [x, y] = [props.cell.x, props.cell.bottom + DOWN];
  const [text, share] = logitOf(props);
  const wide = measured(text, props.size, 650) + measured(` ${share}`, props.size);
  return (
    <>
      <rect class="hit" x={x - 10} y={y - 38} width={wide + 16} height={50} rx={8} />
      <rect class="logit-rail" x={x - 4} y={y - 14} width={wide} height={3} rx={1.5} />
      <rect
        class="logit-bar"
        x={x - 4}
        y={y - 14}
        width={Math.max(2, wide * (probability || 0))}
        height={3}
        rx={1.5}
      />
      <circle r={5} cx={x} cy={y} />
    </>
  );
}

/** The name of a mark beside it; of an error none. */
export function Name(props: Placed) {
  const { mark, cell, size } = props;
  const { x, bottom, top, room } = cell;
  if (mark.kind === "error") return null;
  if (mark.kind === "token") {
    return (
      <text class="token-text" x={x} y={bottom + 4.5} text-anchor="middle">
        {tokenOf(props)}
      </text>
    );
  }
  if (mark.kind === "logit") {
    const [text, share] = logitOf(props);
    return (
      <text x={x - 4} y={bottom + DOWN - 21}>
        <tspan class="logit-text">{text}</tspan> <tspan class="logit-share">{share}</tspan>
      </text>
    );
  }
  if (mark.nodes.length === 1) {
    return (
      <text class={mark.name ? "feature-text" : "feature-text unnamed"} x={x + 11} y={bottom + 4}>
        {cut(nameOf(mark), room, size)}
      </text>
    );
  }
  const line = 1.25 * size;
  const text = lines(nameOf(mark), room, linesOf(mark), size, 650);
  const first = (top + bottom) / 2 - ((text.length - 1) / 2) * line + 0.36 * size;
  return (
    <>
      {text.map((one, i) => (
        <text key={i} class="track-text" x={x + HALF + 5} y={first + i * line}>
          {one}
        </text>
      ))}
    </>
  );
}

const tokenOf = ({ mark, cell, size }: Placed) =>
  cut(tokenText(mark.nodes[0].token), cell.room - 10, size, 600);

/** As much of a logit's token as fits, and its probability. */
function logitOf({ mark, cell, size }: Placed): [string, string] {
  const share = percent(mark.nodes[0].probability);
  const room = cell.room - measured(` ${share}`, size);
  return [cut(tokenText(mark.nodes[0].token).trimStart(), room, size, 650), share];
}
