import { expect, test } from "vitest";
import { csvOf } from "../src/draw/csv";

interface Row {
  name: string;
  score: number;
}

const COLUMNS = [
  { title: "name", text: (row: Row) => row.name },
  { title: "drawn" },
  { title: "score", text: async (row: Row) => row.score },
];

test("columns that have a text are written, missing numbers are empty", async () => {
  const rows = [
    { name: 'a "b", c', score: 0.5 },
    { name: "two\nlines", score: Number.NaN },
  ];
  expect(await csvOf(COLUMNS, rows)).toBe('name,score\r\n"a ""b"", c",0.5\r\n"two\nlines",\r\n');
});

test("what a spreadsheet would run as a formula stays a text", async () => {
  const [, row] = (await csvOf(COLUMNS, [{ name: "=HYPERLINK(1)", score: -1 }])).split("\r\n");
  expect(row).toBe("'=HYPERLINK(1),-1");
  const more = await csvOf(COLUMNS, [
    { name: "\n=1+1", score: 1 },
    { name: "＝1+1", score: 2 },
  ]);
  expect(more).toBe("name,score\r\n\"'\n=1+1\",1\r\n'＝1+1,2\r\n");
});

test("a heading of its own tells a column from another of the same title", async () => {
  const columns = [
    { title: "p", text: () => 0.1 },
    { title: "p", heading: "p by fused", text: () => 0.2 },
  ];
  expect(await csvOf(columns, [null])).toBe("p,p by fused\r\n0.1,0.2\r\n");
});
