import type { AsyncBuffer } from "hyparquet";

/** What a table's footer most likely fits in; smaller tables come whole with it. */
const TAIL = 1 << 16;

/** A file that cannot be had; `status` is 404 where it is not there. */
export class FileError extends Error {
  constructor(
    readonly path: string,
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** A file read in parts, its end first. */
export interface RemoteFile extends AsyncBuffer {
  /** How many bytes came over the network so far. */
  readonly transferred: number;
}

/** What opens files by their path in the run directory. */
export type Opener = (path: string) => Promise<RemoteFile>;

/** Opens files below a URL by HTTP ranges; a host without ranges sends them whole. */
export function overHttp(base: string, fetcher: typeof fetch = fetch): Opener {
  return async (path) => {
    const url = base + path.split("/").map(encodeURIComponent).join("/");
    const get = async (range: string): Promise<Response> => {
      let response: Response;
      try {
        // Chromium's cache gives parts of a file one after the other, and now and then an empty one
        response = await fetcher(url, { headers: { Range: range }, cache: "no-store" });
      } catch {
        throw new FileError(path, 0, `${path} cannot be reached: is the server still running?`);
      }
      if (!response.ok) {
        const why = response.status === 404 ? "is not there" : `gave status ${response.status}`;
        throw new FileError(path, response.status, `${path} ${why}`);
      }
      return response;
    };
    const bodyOf = async (response: Response): Promise<ArrayBuffer> => {
      const body = await response.arrayBuffer();
      const [, first, last] = /(\d+)-(\d+)\//.exec(response.headers.get("Content-Range") ?? "") ?? [];
      if (response.status === 206 && body.byteLength !== Number(last) - Number(first) + 1) {
        throw new FileError(path, response.status, `${path} came cut short: reload the page`);
      }
      return body;
    };
    const response = await get(`bytes=-${TAIL}`);
    const tail = await bodyOf(response);
    const total = response.status === 206 ? totalOf(response) : tail.byteLength;
    const from = total - tail.byteLength;
    let transferred = tail.byteLength;
    return {
      byteLength: total,
      get transferred() {
        return transferred;
      },
      async slice(start: number, end = total) {
        if (start < 0) start += total;
        end = Math.min(end, total);
        if (start >= from) return tail.slice(start - from, end - from);
        const part = await get(`bytes=${start}-${end - 1}`);
        const body = await bodyOf(part);
        transferred += body.byteLength;
        return part.status === 206 ? body : body.slice(start, end);
      },
    };
  };
}

function totalOf(response: Response): number {
  const range = /\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "");
  if (!range) throw new Error(`${response.url} came in part, without its length`);
  return Number(range[1]);
}
