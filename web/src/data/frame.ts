/** Rows of a table as the page holds them. */

/** Values of one column: numbers (NaN is null), or anything else as it is. */
export type Column = Float64Array | readonly unknown[];

/** Rows of a table, by column. */
export class Frame {
  constructor(
    readonly length: number,
    private readonly columns: ReadonlyMap<string, Column>,
  ) {}

  has(name: string): boolean {
    return this.columns.has(name);
  }

  /** A column of numbers; NaN is null. */
  numbers(name: string): Float64Array {
    const column = this.columns.get(name);
    if (column instanceof Float64Array) return column;
    // a column that is null throughout has no type to go by
    return column
      ? Float64Array.from(column as unknown[], toNumber)
      : new Float64Array(this.length).fill(NaN);
  }

  texts(name: string): readonly (string | null)[] {
    return (this.columns.get(name) ?? new Array(this.length).fill(null)) as (string | null)[];
  }

  flags(name: string): readonly (boolean | null)[] {
    return (this.columns.get(name) ?? new Array(this.length).fill(null)) as (boolean | null)[];
  }

  values(name: string): readonly unknown[] {
    return (this.columns.get(name) ?? new Array(this.length).fill(null)) as unknown[];
  }

  get names(): string[] {
    return [...this.columns.keys()];
  }

  /** One row as an object; NaN becomes null. */
  row(index: number): Record<string, unknown> {
    const row: Record<string, unknown> = {};
    for (const [name, column] of this.columns) {
      const value = column[index];
      row[name] = Number.isNaN(value) ? null : value;
    }
    return row;
  }
}

/** NaN is what is not known. */
export function toNumber(value: unknown): number {
  return value === null || value === undefined ? NaN : Number(value);
}
