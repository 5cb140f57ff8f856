import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

/** A column of a table of `Row`s. */
export interface ColumnOf<Row> {
  key: string;
  title: string;
  /** Numbers stand at the right, in figures of one width. */
  numeric?: boolean;
  /** Whether its heading sorts. */
  sorts?: boolean;
  width?: string;
  hint?: string;
  show: (row: Row) => ComponentChildren;
}

const HEIGHT = 34; // pixels of a row
const SPARE = 12; // rows beyond what is seen

/** A table whose rows are made as they come into sight; `row` gives the one at an index. */
export function VirtualTable<Row>(props: {
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
  testid?: string;
}) {
  const { columns, count, row, height = 560 } = props;
  const [top, setTop] = useState(0);
  const [active, setActive] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    setActive(0);
    if (box.current) box.current.scrollTop = 0;
  }, [props.sort, props.descending, count]);
  const first = Math.max(0, Math.floor(top / HEIGHT) - SPARE);
  const end = Math.min(count, Math.ceil((top + height) / HEIGHT) + SPARE);
  const move = (to: number) => {
    const next = Math.max(0, Math.min(count - 1, to));
    setActive(next);
    const element = box.current;
    if (!element) return;
    const [low, high] = [next * HEIGHT, (next + 2) * HEIGHT];
    if (low < element.scrollTop) element.scrollTop = low;
    else if (high > element.scrollTop + element.clientHeight) {
      element.scrollTop = high - element.clientHeight;
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const page = Math.floor(height / HEIGHT) - 2;
    const to: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: count - 1,
    };
    if (event.target instanceof HTMLButtonElement) return;
    if (event.key in to) {
      event.preventDefault();
      move(to[event.key]);
    } else if (event.key === "Enter" && count) {
      event.preventDefault();
      props.onOpen?.(row(active));
    }
  };
  return (
    <div
      class="table-box"
      ref={box}
      style={{ maxHeight: `${height}px` }}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys move within it
      tabIndex={0}
      role="region"
      aria-label={`${props.label}: arrow keys move, Enter opens`}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      onKeyDown={onKeyDown}
      data-testid={props.testid}
    >
      <table aria-label={props.label} aria-rowcount={count + 1}>
        <colgroup>
          {columns.map((column) => (
            <col key={column.key} style={{ width: column.width }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => {
              const sorted = props.sort === column.key;
              const order = sorted ? (props.descending ? "descending" : "ascending") : undefined;
              return (
                <th
                  key={column.key}
                  scope="col"
                  class={column.numeric ? "numeric" : undefined}
                  aria-sort={order}
                  title={column.hint}
                >
                  {column.sorts && props.onSort ? (
                    <button type="button" onClick={() => props.onSort?.(column.key)}>
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
            })}
          </tr>
        </thead>
        <tbody>
          {first > 0 && <tr style={{ height: `${first * HEIGHT}px` }} aria-hidden="true" />}
          {Array.from({ length: end - first }, (_, i) => {
            const index = first + i;
            const value = row(index);
            return (
              <tr
                key={index}
                class={index === active ? "active" : undefined}
                aria-rowindex={index + 2}
                data-testid="result-row"
                onPointerEnter={() => props.onNear?.(value)}
                onClick={() => {
                  setActive(index);
                  props.onOpen?.(value);
                }}
              >
                {columns.map((column) => (
                  <td key={column.key} class={column.numeric ? "numeric" : undefined}>
                    {column.show(value)}
                  </td>
                ))}
              </tr>
            );
          })}
          {end < count && (
            <tr style={{ height: `${(count - end) * HEIGHT}px` }} aria-hidden="true" />
          )}
        </tbody>
      </table>
    </div>
  );
}
