import type { Measured } from "../../data/causes";
import type { CsvColumn } from "../../draw/csv";
import { Intervals } from "../../draw/intervals";
import type { Key } from "../../draw/picture";

export interface Row {
  name: string;
  its: Measured | null;
  /** As much done elsewhere. */
  control: Measured | null;
  kind: "named" | "ceiling" | "control";
  said: string;
}

const COLORS = { named: "var(--accent)", ceiling: "var(--ink)", control: "var(--quiet)" };

/** What the marks are, of the kinds that there are. */
export function keyOf(rows: readonly Row[], control: string): Key[] {
  const texts = { named: "by a method", ceiling: "the best of all", control: "drawn at random" };
  const kinds = (["named", "ceiling", "control"] as const).filter((kind) =>
    rows.some((row) => row.kind === kind),
  );
  const keys = kinds.map((kind): Key => ({ color: COLORS[kind], text: texts[kind], kind: "dot" }));
  const ring: Key = { color: "var(--accent)", text: control, kind: "ring" };
  return rows.some((row) => row.control) ? [...keys, ring] : keys;
}

/** Rows of a figure with its interval, filled, and of its control, hollow. */
export function Dots(props: {
  label: string;
  title?: string;
  rows: readonly Row[];
  domain: readonly [number, number];
  log?: boolean;
  /** Where a figure says nothing: no effect, or as much. */
  rule?: number;
  /** A figure as it is written. */
  write: (value: number) => string;
  testid: string;
}) {
  const { label, title, rows, domain, log, rule, write, testid } = props;
  return (
    <Intervals
      label={`${label}. ${rows.map(({ said }) => said).join("; ")}`}
      title={title}
      rows={rows.map(({ name, its, control, kind, said }) => ({
        name,
        quiet: kind !== "named",
        figure: its ? write(its.value) : undefined,
        marks: [
          ...(control ? [{ ...control, color: COLORS[kind], kind: 1, said }] : []),
          ...(its ? [{ ...its, color: COLORS[kind], kind: 0, said }] : []),
        ],
      }))}
      domain={domain}
      log={log}
      rule={rule}
      write={write}
      testid={testid}
    />
  );
}

/** What a file of the rows has. */
export const COLUMNS: CsvColumn<Row>[] = [
  { title: "what", text: ({ name }) => name },
  { title: "value", text: ({ its }) => its?.value },
  { title: "low", text: ({ its }) => its?.low },
  { title: "high", text: ({ its }) => its?.high },
  { title: "control", text: ({ control }) => control?.value },
  { title: "control low", text: ({ control }) => control?.low },
  { title: "control high", text: ({ control }) => control?.high },
];
