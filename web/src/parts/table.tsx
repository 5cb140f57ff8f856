import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  Virtualizer,
} from "@tanstack/virtual-core";
import type { ComponentChildren } from "preact";
import { useContext, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Cell, type CsvColumn, csvOf } from "../draw/csv";
import { save, slugOf } from "../draw/save";
import { keepPlace, placeOf } from "./places";
import { describing, ShownRun } from "./shown-run";

/** A column of a table of `Row`s. */
export interface ColumnOf<Row> {
  key: string;
  title: string;
  /** Numbers stand at the right, in figures of one width. */
  numeric?: boolean;
  /** Whether its heading sorts. */
  sorts?: boolean;
  /** A CSS length: its least width, and its width unless it grows. */
  width?: string;
  /** Takes the room that is left; the columns without a width do, unless another does. */
  grows?: boolean;
  hint?: string;
  show: (row: Row) => ComponentChildren;
  /** Its heading in a file, where the title alone does not tell it from another column. */
  heading?: string;
  /** Its value in a file. */
  text?: (row: Row) => Cell | Promise<Cell>;
}

const HEIGHT = 36; // pixels of a row
const SPARE = 12; // rows beyond what is seen
const LEAST = "11em"; // of a column that says none

/**
 * A table whose rows are made as they come into sight; `row` gives the one at an index.
 *
 * Columns keep their least widths, and the first stays in sight: what does not fit is scrolled to.
 */
export function Table<Row>(props: {
  /** Of its file, and of its place in the history. */
  name: string;
  label: string;
  columns: readonly ColumnOf<Row>[];
  count: number;
  row: (index: number) => Row;
  sort?: string | null;
  descending?: boolean;
  onSort?: (key: string) => void;
  onOpen?: (row: Row) => void;
  /** A row that is pointed at: it may be opened next. */
  onNear?: (row: Row) => void;
  height?: number;
  /** Of a row in pixels, where it holds more than a line. */
  rowHeight?: number;
  testid?: string;
}) {
  const { name, columns, count, row, height = 560, rowHeight = HEIGHT } = props;
  const box = useRef<HTMLDivElement>(null);
  const kept = useMemo(() => placeOf(name), [name]);
  const [active, setActive] = useState(Math.min(kept?.active ?? 0, Math.max(0, count - 1)));
  const rows = useRows(box, count, rowHeight, height, kept?.offset ?? 0);
  useSettled(() => {
    setActive(0);
    rows.scrollToOffset(0);
  }, [props.sort, props.descending, count]);
  const page = Math.max(1, Math.floor(height / rowHeight) - 2);
  const move = (to: number) => {
    const next = Math.max(0, Math.min(count - 1, to));
    setActive(next);
    rows.scrollToIndex(next, { align: "auto" });
    keepPlace(name, rows.scrollOffset ?? 0, next);
  };
  const open = (index: number) => {
    setActive(index);
    keepPlace(name, rows.scrollOffset ?? 0, index);
    props.onOpen?.(row(index));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const to: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: count - 1,
    };
    // a link or button in a row, or a heading, does what it says
    if (event.target !== box.current) return;
    if (event.key in to) {
      event.preventDefault();
      move(to[event.key]);
    } else if (event.key === "Enter" && count) {
      event.preventDefault();
      open(active);
    }
  };
  const shown = rows.getVirtualItems();
  const first = shown[0]?.start ?? 0;
  const after = rows.getTotalSize() - (shown[shown.length - 1]?.end ?? 0);
  return (
    <div class="table-whole">
      <div
        class="table-box"
        ref={box}
        style={{ maxHeight: `${height}px` }}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys move within it
        tabIndex={0}
        role="region"
        aria-label={`${props.label}: arrow keys move, Enter opens`}
        onScroll={(event) => keepPlace(name, event.currentTarget.scrollTop, active)}
        onKeyDown={onKeyDown}
        data-testid={props.testid}
      >
        <table
          aria-label={props.label}
          aria-rowcount={count + 1}
          style={{ minWidth: leastOf(columns), "--row": `${rowHeight}px` }}
        >
          <colgroup>
            {columns.map((column) => (
              <col
                key={column.key}
                style={{ width: growing(columns, column) ? "" : column.width }}
              />
            ))}
          </colgroup>
          <thead>
            <tr aria-rowindex={1}>
              {columns.map((column) => (
                <Heading key={column.key} column={column} {...props} />
              ))}
            </tr>
          </thead>
          <tbody>
            {first > 0 && <tr class="room" style={{ height: `${first}px` }} aria-hidden="true" />}
            {shown.map(({ index }) => {
              const value = row(index);
              return (
                <tr
                  key={index}
                  class={index === active ? "active" : undefined}
                  aria-rowindex={index + 2}
                  data-testid="result-row"
                  onPointerEnter={() => props.onNear?.(value)}
                  onClick={() => open(index)}
                >
                  {columns.map((column) => (
                    <td key={column.key} class={column.numeric ? "numeric" : undefined}>
                      {column.show(value)}
                    </td>
                  ))}
                </tr>
              );
            })}
            {after > 0 && <tr class="room" style={{ height: `${after}px` }} aria-hidden="true" />}
          </tbody>
        </table>
      </div>
      <CsvButton name={name} columns={columns} rows={() => allOf(count, row)} />
    </div>
  );
}

function Heading<Row>(props: {
  column: ColumnOf<Row>;
  sort?: string | null;
  descending?: boolean;
  onSort?: (key: string) => void;
}) {
  const { column, onSort } = props;
  const sorted = props.sort === column.key;
  return (
    <th
      scope="col"
      class={column.numeric ? "numeric" : undefined}
      aria-sort={sorted ? (props.descending ? "descending" : "ascending") : undefined}
      title={column.hint}
    >
      {column.sorts && onSort ? (
        <button type="button" onClick={() => onSort(column.key)}>
          {column.title}
          <span class="arrow" aria-hidden="true">
            {sorted ? (props.descending ? "↓" : "↑") : ""}
          </span>
        </button>
      ) : (
        column.title
      )}
    </th>
  );
}

/** Saves a table as a file; nothing where no column has a `text`. */
export function CsvButton<Row>(props: {
  name: string;
  columns: readonly CsvColumn<Row>[];
  rows: () => Iterable<Row>;
}) {
  const { name, columns, rows } = props;
  const run = useContext(ShownRun);
  const [said, say] = useState("");
  if (!columns.some(({ text }) => text)) return null;
  const keep = async () => {
    say("writing …");
    const text = await csvOf(columns, rows());
    save(`${slugOf("saematch", name)}.csv`, text, "text/csv");
    say("");
  };
  return (
    <p class="table-keep">
      <button
        type="button"
        class="linklike"
        title={`All rows as comma-separated values: ${describing(run)}`}
        data-testid={`csv-${name}`}
        onClick={() => keep().catch((error: Error) => say(error.message))}
      >
        CSV
      </button>
      <span role="status">{said}</span>
    </p>
  );
}

/** The rows that are in sight, as the box scrolls. */
function useRows(
  box: { current: HTMLDivElement | null },
  count: number,
  rowHeight: number,
  height: number,
  offset: number,
) {
  const [, redraw] = useState(0);
  const options = {
    count,
    getScrollElement: () => box.current,
    estimateSize: () => rowHeight,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    overscan: SPARE,
    scrollPaddingStart: rowHeight, // the headings
    initialOffset: offset,
    initialRect: { width: 0, height },
    onChange: () => redraw((n) => n + 1),
  };
  const [rows] = useState(() => new Virtualizer<HTMLDivElement, Element>(options));
  rows.setOptions(options);
  useLayoutEffect(() => rows._didMount(), []);
  useLayoutEffect(() => rows._willUpdate());
  return rows;
}

/** Does something when an entry of `on` changes, and not at first. */
function useSettled(act: () => void, on: readonly unknown[]) {
  const begun = useRef(false);
  useLayoutEffect(() => {
    if (begun.current) act();
    begun.current = true;
  }, on);
}

function* allOf<Row>(count: number, row: (index: number) => Row): Iterable<Row> {
  for (let i = 0; i < count; i++) yield row(i);
}

function growing<Row>(columns: readonly ColumnOf<Row>[], column: ColumnOf<Row>): boolean {
  return columns.some(({ grows }) => grows) ? column.grows === true : column.width === undefined;
}

function leastOf<Row>(columns: readonly ColumnOf<Row>[]): string {
  return `calc(${columns.map(({ width }) => width ?? LEAST).join(" + ")})`;
}
