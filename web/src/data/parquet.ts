import { decompress } from "fzstd";
import { type FileMetaData, parquetMetadataAsync, parquetRead, type RowGroup } from "hyparquet";
import { Cache } from "./cache";
import type { Opener, RemoteFile } from "./files";
import { type Column, Frame, toNumber } from "./frame";
import { RunError } from "./run";

export { type Column, Frame } from "./frame";

/** The value that a column must have, or one of `in`, or the range that it must lie in. */
export type Condition = number | string | { from: number; to: number } | { in: readonly string[] };
export type Where = Readonly<Record<string, Condition>>;

interface Part {
  length: number;
  columns: Column[];
  rows: Uint32Array | null;
}

interface Group {
  path: string;
  file: RemoteFile;
  metadata: FileMetaData;
  index: number;
  start: number;
  length: number;
}

interface Opened {
  file: RemoteFile;
  metadata: FileMetaData;
}

/** Reads Parquet tables of a run: only the columns and row groups that are asked for, once. */
export class Reader {
  private readonly opened = new Map<string, Promise<Opened>>();
  private readonly chunks: Cache<Promise<Column>>;

  constructor(
    private readonly open: Opener,
    budget = 96 << 20,
  ) {
    this.chunks = new Cache(budget);
  }

  /** How many rows a table has. */
  async rows(path: string): Promise<number> {
    return Number((await this.table(path)).metadata.num_rows);
  }

  /** Columns of a table, by name. */
  async columns(path: string): Promise<string[]> {
    const { metadata } = await this.table(path);
    return topLevel(metadata);
  }

  /**
   * Rows of a table.
   *
   * @param path in the run directory.
   * @param columns that are wanted; those that the table lacks are left out.
   * @param where what rows must fulfil. Row groups whose statistics exclude it are not read.
   * @param range of rows, `[first, end)`; the others are not looked at.
   */
  async read(
    path: string,
    columns?: readonly string[],
    where: Where = {},
    range: readonly [number, number] = [0, Infinity],
  ): Promise<Frame> {
    const { file, metadata } = await this.table(path);
    const there = topLevel(metadata);
    const wanted = (columns ?? there).filter((name) => there.includes(name));
    const tested = Object.keys(where);
    const needed = [...new Set([...tested, ...wanted])];
    const pending: Promise<Part>[] = [];
    let start = 0;
    for (const [index, group] of metadata.row_groups.entries()) {
      const length = Number(group.num_rows);
      const within: [number, number] = [
        Math.max(range[0] - start, 0),
        Math.min(range[1] - start, length),
      ];
      if (within[0] < within[1] && tested.every((name) => mayHold(group, name, where[name]))) {
        const at = { path, file, metadata, index, start, length };
        pending.push(this.group(at, needed, where, within));
      }
      start += length;
    }
    const parts = await Promise.all(pending);
    const total = parts.reduce((sum, part) => sum + (part.rows?.length ?? part.length), 0);
    const joined = new Map<string, Column>();
    for (const name of wanted) {
      const place = needed.indexOf(name);
      joined.set(
        name,
        join(
          parts.map((part) => pick(part.columns[place], part.rows)),
          total,
        ),
      );
    }
    return new Frame(total, joined);
  }

  private table(path: string): Promise<Opened> {
    let opened = this.opened.get(path);
    if (!opened) {
      opened = this.open(path).then(async (file) => ({
        file,
        metadata: await parquetMetadataAsync(file, { initialFetchSize: 1 << 16 }),
      }));
      // a failure is not kept: the next attempt may succeed
      opened.catch(() => this.opened.delete(path));
      this.opened.set(path, opened);
    }
    return opened;
  }

  private async group(
    { path, file, metadata, index, start, length }: Group,
    names: readonly string[],
    where: Where,
    within: readonly [number, number],
  ): Promise<Part> {
    const key = (name: string) => `${path}#${index}#${name}`;
    const found = new Map(names.map((name) => [name, this.chunks.get(key(name))]));
    const missing = names.filter((name) => !found.get(name));
    if (missing.length) {
      const read = readColumns(file, metadata, missing, start, length);
      for (const name of missing) {
        const column = read.then((columns) => columns.get(name) as Column);
        this.chunks.set(key(name), column, sizeOf(metadata.row_groups[index], name, length));
        column.catch(() => this.chunks.drop(key(name)));
        found.set(name, column);
      }
    }
    const columns = await Promise.all(names.map((name) => found.get(name) as Promise<Column>));
    const tests = Object.entries(where).map(([name, condition]) => ({
      column: columns[names.indexOf(name)],
      condition,
    }));
    const all = !tests.length && within[0] === 0 && within[1] === length;
    return { length, columns, rows: all ? null : select(within, tests) };
  }
}

async function readColumns(
  file: RemoteFile,
  metadata: FileMetaData,
  names: readonly string[],
  start: number,
  length: number,
): Promise<Map<string, Column>> {
  const parts = new Map<string, { at: number; data: ArrayLike<unknown> }[]>();
  await parquetRead({
    file,
    metadata,
    columns: [...names],
    rowStart: start,
    rowEnd: start + length,
    compressors: { ZSTD: (input, outputLength) => decompress(input, new Uint8Array(outputLength)) },
    onChunk: ({ columnName, columnData, rowStart }) => {
      const list = parts.get(columnName) ?? [];
      list.push({ at: rowStart - start, data: columnData });
      parts.set(columnName, list);
    },
  });
  const numeric = numericColumns(metadata);
  const columns = new Map<string, Column>();
  for (const name of names) {
    const column: Float64Array | unknown[] = numeric.has(name)
      ? new Float64Array(length)
      : new Array(length);
    let found = 0;
    for (const { at, data } of parts.get(name) ?? []) {
      const count = Math.min(data.length, length - at);
      found += count;
      if (column instanceof Float64Array) {
        for (let i = 0; i < count; i++) column[at + i] = toNumber(data[i]);
      } else {
        for (let i = 0; i < count; i++) column[at + i] = data[i] ?? null;
      }
    }
    // what is missing would pass for null
    if (found !== length) {
      throw new RunError(`column ${name} has ${found} of ${length} rows: is its file whole?`);
    }
    columns.set(name, column);
  }
  return columns;
}

/** Names of the columns that are not parts of others. */
function topLevel(metadata: FileMetaData): string[] {
  const names: string[] = [];
  let place = 1;
  for (let i = 0; i < (metadata.schema[0].num_children ?? 0); i++) {
    names.push(metadata.schema[place].name);
    place = after(metadata, place);
  }
  return names;
}

function after(metadata: FileMetaData, place: number): number {
  let next = place + 1;
  for (let i = 0; i < (metadata.schema[place].num_children ?? 0); i++) next = after(metadata, next);
  return next;
}

function numericColumns(metadata: FileMetaData): Set<string> {
  const numbers = ["INT32", "INT64", "FLOAT", "DOUBLE"];
  const names = new Set<string>();
  let place = 1;
  while (place < metadata.schema.length) {
    const { name, type } = metadata.schema[place];
    if (type && numbers.includes(type)) names.add(name);
    place = after(metadata, place);
  }
  return names;
}

/** Whether a row group may hold rows that fulfil a condition, by its statistics. */
function mayHold(group: RowGroup, name: string, condition: Condition): boolean {
  const chunk = group.columns.find((c) => c.meta_data?.path_in_schema[0] === name);
  const statistics = chunk?.meta_data?.statistics;
  const [low, high] = [statistics?.min_value, statistics?.max_value];
  if (low === undefined || high === undefined || low === null || high === null) return true;
  const overlaps = (from: unknown, to: unknown) => {
    const numeric = typeof from === "number";
    const [least, most] = numeric ? [Number(low), Number(high)] : [String(low), String(high)];
    return least <= (to as string | number) && (from as string | number) <= most;
  };
  if (typeof condition !== "object") return overlaps(condition, condition);
  if ("in" in condition) return condition.in.some((value) => overlaps(value, value));
  return overlaps(condition.from, condition.to);
}

function select(
  [first, end]: readonly [number, number],
  tests: { column: Column; condition: Condition }[],
): Uint32Array {
  let rows = Uint32Array.from({ length: end - first }, (_, i) => first + i);
  for (const { column, condition } of tests) {
    const test = tester(condition);
    rows = rows.filter((i) => test(column[i]));
  }
  return rows;
}

function tester(condition: Condition): (value: unknown) => boolean {
  if (typeof condition !== "object") return (value) => value === condition;
  if ("in" in condition) return (value) => condition.in.includes(value as string);
  return (value) => (value as number) >= condition.from && (value as number) <= condition.to;
}

function pick(column: Column, rows: Uint32Array | null): Column {
  if (!rows) return column;
  if (column instanceof Float64Array) return Float64Array.from(rows, (i) => column[i]);
  return Array.from(rows, (i) => column[i]);
}

function join(parts: Column[], total: number): Column {
  if (parts.length === 1) return parts[0];
  if (parts.length && parts.every((part) => part instanceof Float64Array)) {
    const all = new Float64Array(total);
    let at = 0;
    for (const part of parts) {
      all.set(part as Float64Array, at);
      at += part.length;
    }
    return all;
  }
  return ([] as unknown[]).concat(...parts.map((part) => Array.from(part)));
}

function sizeOf(group: RowGroup, name: string, length: number): number {
  const raw = group.columns
    .filter((c) => c.meta_data?.path_in_schema[0] === name)
    .reduce((sum, c) => sum + Number(c.meta_data?.total_uncompressed_size ?? 0), 0);
  // decoded: 8 bytes a number; texts and structs take about twice what they are in the file
  return Math.max(8 * length, 2 * raw);
}
