import { useRef, useState } from "preact/hooks";
import { type Case, GRADES, type Grade, type Tally, tallyOf } from "../../data/judging";
import { count, percent } from "../../draw/format";
import { cut, measured, rem } from "../../draw/measured";
import { useTooltip } from "../../draw/tooltip";
import { useWidth } from "../../parts/use";

export interface Row {
  key: string;
  title: string;
  cases: readonly Case[];
  /** What the list of cases is narrowed to. */
  only: { kind: string; pair: string | null };
}

/** A part of a bar: a grade, from one share of the cases to another. */
interface Part {
  grade: Grade;
  number: number;
  from: number;
  to: number;
  said: string;
}

/** A bar per row: how many of its cases a judge calls same, maybe, different; a part lists its own. */
export function Bars(props: {
  label: string;
  rows: readonly Row[];
  judge: string;
  onOpen: (only: Row["only"], grade: Grade) => void;
  testid: string;
}) {
  const { label, rows, judge, onOpen, testid } = props;
  const [box, width] = useWidth<HTMLDivElement>();
  const shown = rows
    .map((row) => ({ ...row, tally: tallyOf(row.cases, judge) }))
    .filter(({ tally }) => tally.graded + tally.ungraded > 0)
    .map((row) => ({ ...row, parts: partsOf(row.title, row.tally) }));
  const order = shown.flatMap(({ key, parts }) => parts.map(({ grade }) => `${key} ${grade}`));
  const [entry, setEntry] = useState("");
  const at = Math.max(0, order.indexOf(entry));
  const elements = useRef(new Map<string, SVGGElement>());
  const tip = useTooltip();
  const size = 0.8 * rem();
  const longest = Math.max(0, ...shown.map(({ title }) => measured(title, size)));
  // titles stand above their bars where they would take the room of these
  const above = longest > 0.36 * width;
  const left = above ? 0 : longest + 14;
  const right = Math.max(0, ...shown.map(({ tally }) => measured(count(tally.graded), size))) + 12;
  const [tall, gap] = [1.75 * size, 0.7 * size];
  const step = tall + gap + (above ? 1.5 * size : 0);
  const x = (share: number) => left + share * Math.max(0, width - left - right);
  const walk = (event: KeyboardEvent, here: number) => {
    const to = here + (KEYS[event.key] ?? 0);
    if (to === here || !order[to]) return;
    event.preventDefault();
    setEntry(order[to]);
    elements.current.get(order[to])?.focus();
  };
  return (
    <div ref={box} class="grade-bars" data-testid={testid}>
      {!shown.length && <p class="aside">{judge} was not asked about these.</p>}
      {width > 0 && shown.length > 0 && (
        <svg width={width} height={shown.length * step} role="group" aria-label={label}>
          {shown.map(({ key, title, only, tally, parts }, i) => {
            const y = (i + 1) * step - gap - tall;
            const middle = y + tall / 2 + 0.35 * size;
            return (
              <g key={key} data-testid="bar">
                <text
                  x={above ? 0 : left - 14}
                  y={above ? y - 0.45 * size : middle}
                  text-anchor={above ? "start" : "end"}
                >
                  {cut(title, above ? width : longest + 1, size)}
                </text>
                {parts.map(({ grade, number, from, to, said }) => {
                  const name = `${key} ${grade}`;
                  const tipped = tip.on(() => said);
                  const wide = Math.max(2, x(to) - x(from) - 2);
                  return (
                    <g
                      key={grade}
                      ref={(element) => {
                        if (element) elements.current.set(name, element);
                        else elements.current.delete(name);
                      }}
                      class={`grade-part ${grade}`}
                      role="button"
                      tabindex={order[at] === name ? 0 : -1}
                      aria-label={`${said}; list them`}
                      {...tipped}
                      onFocus={(event) => {
                        setEntry(name);
                        tipped.onFocus(event);
                      }}
                      onClick={() => onOpen(only, grade)}
                      onKeyDown={(event) => {
                        if (event.key !== "Enter" && event.key !== " ")
                          return walk(event, order.indexOf(name));
                        event.preventDefault();
                        onOpen(only, grade);
                      }}
                    >
                      <rect x={x(from)} y={y} width={wide} height={tall} rx={3} />
                      {measured(count(number), size) + 8 < wide && (
                        <text x={x(from) + wide / 2} y={middle} text-anchor="middle">
                          {count(number)}
                        </text>
                      )}
                    </g>
                  );
                })}
                <text class="grade-of" x={width} y={middle} text-anchor="end">
                  {count(tally.graded)}
                  <title>
                    {tally.ungraded
                      ? `${count(tally.graded)} graded, ${count(tally.ungraded)} that the judge could not grade`
                      : `${count(tally.graded)} graded`}
                  </title>
                </text>
              </g>
            );
          })}
        </svg>
      )}
      {tip.view}
    </div>
  );
}

const KEYS: Record<string, number> = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

function partsOf(title: string, tally: Tally): Part[] {
  let sum = 0;
  return GRADES.filter((grade) => tally[grade]).map((grade) => {
    const number = tally[grade];
    const from = sum / tally.graded;
    sum += number;
    const said = `${title}: ${count(number)} ${grade} of ${count(tally.graded)}, ${percent(number / tally.graded)}`;
    return { grade, number, from, to: sum / tally.graded, said };
  });
}
