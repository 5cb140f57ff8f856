/** Tables as comma-separated values (RFC 4180), which spreadsheets and data frames read. */

export type Cell = string | number | null | undefined;

/** A column of a table that can be saved: its heading, and its value of a row. */
export interface CsvColumn<Row> {
  title: string;
  /** Its heading in a file, where the title alone does not tell it from another column. */
  heading?: string;
  text?: (row: Row) => Cell | Promise<Cell>;
}

/** The rows as text; columns without `text` are left out. */
export async function csvOf<Row>(
  columns: readonly CsvColumn<Row>[],
  rows: Iterable<Row>,
): Promise<string> {
  const kept = columns.filter(({ text }) => text);
  const lines = [kept.map(({ title, heading }) => quoted(heading ?? title)).join(",")];
  for (const row of rows) {
    const cells = await Promise.all(kept.map(({ text }) => text?.(row)));
    lines.push(cells.map(quoted).join(","));
  }
  return `${lines.join("\r\n")}\r\n`;
}

function quoted(value: Cell): string {
  if (value === null || value === undefined || (typeof value === "number" && Number.isNaN(value))) {
    return "";
  }
  const text = String(value);
  // a spreadsheet would take a text that begins so for a formula
  const safe = typeof value === "string" && /^[=+\-@\t\r\n＝＋－＠]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
