import { describe, expect, it } from "vitest";
import { FileError, overHttp } from "../src/data/files";

const TAIL = 1 << 16;
const FILE = Uint8Array.from({ length: 3 * TAIL + 17 }, (_, i) => (i * 7919) % 251);
const SMALL = FILE.slice(0, 1000);

interface Asked {
  first?: number;
  last?: number;
  suffix?: number;
}

/** What kinds of hosts answer to a range; null: as if none were asked for. */
type Kind = (asked: Asked, size: number) => number | null;
const HOSTS: Record<string, Kind> = {
  "takes every range": () => 206,
  "refuses suffixes longer than the file": ({ suffix }, size) =>
    suffix && suffix > size ? 416 : 206,
  "refuses every suffix": ({ suffix }) => (suffix ? 400 : 206),
  "knows no suffix": ({ suffix }) => (suffix ? 501 : 206),
  "refuses every range": () => 416,
  "ignores suffixes": ({ suffix }) => (suffix ? null : 206),
  "ignores ranges": () => null,
};

function host(kind: Kind, body: Uint8Array<ArrayBuffer>, change = (headers: Headers) => headers) {
  const asked: string[] = [];
  const answer = async (_: unknown, init?: RequestInit): Promise<Response> => {
    const range = new Headers(init?.headers).get("Range");
    asked.push(range ?? "all");
    const found = /^bytes=(\d*)-(\d*)$/.exec(range ?? "");
    if (!found) return new Response(body);
    const suffix = found[1] ? undefined : Number(found[2]);
    const first = suffix ? Math.max(0, body.length - suffix) : Number(found[1]);
    const last = suffix ? body.length - 1 : Math.min(Number(found[2]), body.length - 1);
    const status = kind({ first, last, suffix }, body.length);
    if (status === null) return new Response(body);
    if (status !== 206) return new Response("no", { status });
    const headers = change(
      new Headers({ "Content-Range": `bytes ${first}-${last}/${body.length}` }),
    );
    return new Response(body.slice(first, last + 1), { status, headers });
  };
  return { fetch: answer as typeof fetch, asked };
}

describe.each(Object.entries(HOSTS))("a host that %s", (name, kind) => {
  it.each([
    ["small", SMALL],
    ["large", FILE],
  ])("gives all bytes of a %s file", async (_, body) => {
    const on = host(kind, body);
    const file = await overHttp("", on.fetch)("a");
    expect(file.byteLength).toBe(body.length);
    const parts = [
      [0, 4],
      [10, 500],
      [body.length - 8, body.length],
    ];
    for (const [from, to] of parts) {
      expect(new Uint8Array(await file.slice(from, to))).toEqual(body.slice(from, to));
    }
    expect(new Uint8Array(await file.slice(-8))).toEqual(body.slice(-8));
    // a file that came whole is not asked for again
    if (name.includes("every range") && kind({}, 0) !== 206) {
      expect(on.asked.filter((range) => range === "all").length).toBe(1);
    }
  });
});

it("is not asked for suffixes again once it refused one", async () => {
  const on = host(HOSTS["refuses every suffix"], FILE);
  const open = overHttp("", on.fetch);
  await open("a");
  await open("b");
  expect(on.asked.filter((range) => range.startsWith("bytes=-")).length).toBe(1);
  // and a large file is still read in parts
  expect(on.asked).not.toContain("all");
});

it.each([
  ["takes a suffix for the first bytes", /^bytes=-/, 0],
  ["gives less than it is asked for", /^bytes=\d/, 100],
])("is not believed where it %s", async (_, which, most) => {
  const on = host(HOSTS["takes every range"], FILE);
  const odd = (async (url: string, init?: RequestInit) => {
    const range = new Headers(init?.headers).get("Range") ?? "";
    if (!which.test(range)) return on.fetch(url, init);
    const [start, end] = /(\d+)-(\d*)/.exec(range)?.slice(1).map(Number) ?? [0, TAIL];
    const last = most ? start + most : end;
    return on.fetch(url, { headers: { Range: `bytes=${start}-${last}` } });
  }) as typeof fetch;
  const file = await overHttp("", odd)("a");
  expect(new Uint8Array(await file.slice(-8))).toEqual(FILE.slice(-8));
  expect(new Uint8Array(await file.slice(5000, 9000))).toEqual(FILE.slice(5000, 9000));
});

it.each([
  [
    "does not say which part it gives",
    (headers: Headers) => {
      headers.delete("Content-Range");
      return headers;
    },
  ],
  [
    "packs parts",
    (headers: Headers) => {
      headers.set("Content-Encoding", "gzip");
      return headers;
    },
  ],
])("is asked for the whole file where it %s", async (_, change) => {
  const on = host(HOSTS["takes every range"], FILE, change);
  const file = await overHttp("", on.fetch)("a");
  expect(new Uint8Array(await file.slice(0))).toEqual(FILE);
});

it("tells of a file that is not there, and of a host that fails", async () => {
  for (const [status, told] of [
    [404, "a is not there"],
    [503, "a gave status 503"],
  ] as const) {
    const failing = (async () => new Response("", { status })) as typeof fetch;
    await expect(overHttp("", failing)("a")).rejects.toThrow(told);
    await expect(overHttp("", failing)("a")).rejects.toBeInstanceOf(FileError);
  }
});
