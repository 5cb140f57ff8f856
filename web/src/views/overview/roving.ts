import { useState } from "preact/hooks";

/** A mark of a drawing: its row from the top, and its place along it. */
export interface Mark {
  key: string;
  row: number;
  at: number;
}

/**
 * One Tab stop for a whole drawing, and arrow keys within: left and right along a row, up and down to
 * the nearest mark of the next row, Home and End to a row's ends.
 */
export function useRoving(marks: readonly Mark[], start: string) {
  const [chosen, choose] = useState(start);
  const current = marks.find(({ key }) => key === chosen) ?? marks[0];
  const onKeyDown = (event: KeyboardEvent & { currentTarget: Element }) => {
    if (!current || event.metaKey || event.ctrlKey || event.altKey) return;
    const next = nextMark(marks, current, event.key);
    if (!next) return;
    event.preventDefault();
    choose(next.key);
    const mark = event.currentTarget.querySelector<SVGElement>(`[data-mark="${next.key}"]`);
    mark?.focus();
  };
  /** What a mark needs to be one stop among them. */
  const stop = (key: string) => ({
    "data-mark": key,
    tabindex: key === current?.key ? 0 : -1,
    onFocusCapture: () => choose(key),
  });
  return { onKeyDown, stop };
}

/** The mark that a key leads to. */
export function nextMark(marks: readonly Mark[], from: Mark, key: string): Mark | undefined {
  const row = marks.filter((mark) => mark.row === from.row).sort((p, q) => p.at - q.at);
  const place = row.findIndex((mark) => mark.key === from.key);
  if (key === "ArrowRight") return row[place + 1];
  if (key === "ArrowLeft") return row[place - 1];
  if (key === "Home") return row[0];
  if (key === "End") return row[row.length - 1];
  if (key !== "ArrowUp" && key !== "ArrowDown") return undefined;
  const rows = [...new Set(marks.map((mark) => mark.row))].sort((p, q) => p - q);
  const other = rows[rows.indexOf(from.row) + (key === "ArrowUp" ? -1 : 1)];
  return marks
    .filter((mark) => mark.row === other)
    .sort((p, q) => Math.abs(p.at - from.at) - Math.abs(q.at - from.at))[0];
}
