import { readFileSync } from "node:fs";
import { openExplorer } from "../src/data/explorer";
import { overHttp } from "../src/data/files";
import { Reader } from "../src/data/parquet";
import { Run } from "../src/data/run";
import { Data } from "../src/data/tables";

const ROOT = new URL("./fixtures/", import.meta.url);

/** What polars says of the run in fixtures/. */
export const expected = JSON.parse(readFileSync(new URL("expected.json", ROOT), "utf8"));

export interface Host {
  fetch: typeof fetch;
  /** Ranges that were asked for, by path. */
  asked: { path: string; range: string; bytes: number }[];
}

/** A host of fixtures/run, with byte ranges or without. */
export function host({ ranges = true } = {}): Host {
  const asked: Host["asked"] = [];
  const answer = async (input: unknown, init?: RequestInit): Promise<Response> => {
    const path = decodeURIComponent(String(input));
    let body: Buffer;
    try {
      body = readFileSync(new URL(path, ROOT));
    } catch {
      return new Response("", { status: 404 });
    }
    const range = new Headers(init?.headers).get("Range") ?? "";
    const found = /^bytes=(\d*)-(\d*)$/.exec(range);
    if (!ranges || !found) return new Response(new Uint8Array(body), { status: 200 });
    const [start, end] = found[1]
      ? [Number(found[1]), Math.min(Number(found[2]), body.length - 1)]
      : [Math.max(0, body.length - Number(found[2])), body.length - 1];
    asked.push({ path, range, bytes: end - start + 1 });
    return new Response(new Uint8Array(body.subarray(start, end + 1)), {
      status: 206,
      headers: { "Content-Range": `bytes ${start}-${end}/${body.length}` },
    });
  };
  return { fetch: answer as typeof fetch, asked };
}

export async function openFixture(on: Host = host()) {
  const open = overHttp("run/", on.fetch);
  const reader = new Reader(open);
  const manifest = await open("run.json");
  const run = Run.parse(new TextDecoder().decode(await manifest.slice(0)));
  return { run, reader, data: new Data(run, reader), explorer: await openExplorer(open, reader) };
}

/** Equal as numbers where null is NaN. */
export function asNumbers(values: readonly (number | null)[]): number[] {
  return values.map((value) => value ?? NaN);
}
