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

/** What hosts answer that do not take a range as it was asked for. */
const UNFIT = [400, 416, 501];

/** A part of a file, and how long the whole is. */
interface Part {
  body: ArrayBuffer;
  from: number;
  total: number;
}

/**
 * Opens files below a URL by HTTP ranges; a host without ranges sends them whole.
 *
 * The end of a file is asked for first, without knowing its length. Some hosts refuse that (express
 * and its kin where the file is shorter, Python's range servers always): then its start is asked for,
 * which tells the length, and after that the end; and where no range is taken, or another part given
 * than was asked for, the whole file.
 */
export function overHttp(base: string, fetcher: typeof fetch = fetch): Opener {
  let suffixes = true; // until a host refuses one
  return async (path) => {
    const url = base + path.split("/").map(encodeURIComponent).join("/");

    const ask = async (range?: string): Promise<Response> => {
      try {
        const headers: HeadersInit = range ? { Range: `bytes=${range}` } : {};
        // Chromium's cache gives parts of a file one after the other, and now and then an empty one
        return await fetcher(url, { headers, cache: "no-store" });
      } catch {
        throw new FileError(path, 0, `${path} cannot be reached: is the server still running?`);
      }
    };

    const whole = async (): Promise<Part> => {
      const response = await ask();
      if (!response.ok) throw failed(path, response);
      const body = await response.arrayBuffer();
      return { body, from: 0, total: body.byteLength };
    };

    /** A range; none where the host does not give one that can be used. */
    const part = async (range: string): Promise<Part | null> => {
      const response = await ask(range);
      if (UNFIT.includes(response.status)) return null;
      if (!response.ok) throw failed(path, response);
      const told = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "");
      // of what was packed on the way, the numbers are those of the packed file
      const packed = response.headers.has("Content-Encoding");
      if (response.status === 206 && (!told || packed)) return null;
      const body = await response.arrayBuffer();
      if (response.status !== 206) return { body, from: 0, total: body.byteLength };
      const [first, last, total] = (told as RegExpExecArray).slice(1).map(Number);
      if (body.byteLength !== last - first + 1) {
        throw new FileError(path, response.status, `${path} came cut short: reload the page`);
      }
      return { body, from: first, total };
    };

    const end = async (): Promise<Part> => {
      const asked = suffixes ? await part(`-${TAIL}`) : null;
      if (asked && holds(asked, asked.total)) return asked;
      const start = await part(`0-${TAIL - 1}`);
      if (!start) return whole();
      suffixes = false;
      if (holds(start, start.total)) return start;
      const tail = await part(`${Math.max(0, start.total - TAIL)}-${start.total - 1}`);
      return tail && holds(tail, tail.total) ? tail : whole();
    };

    let held = await end();
    let transferred = held.body.byteLength;
    const total = held.total;
    return {
      byteLength: total,
      get transferred() {
        return transferred;
      },
      async slice(start: number, stop = total) {
        if (start < 0) start += total;
        stop = Math.min(stop, total);
        if (start < held.from) {
          let asked = await part(`${start}-${stop - 1}`);
          if (!asked || asked.from > start || !holds(asked, stop)) asked = await whole();
          transferred += asked.body.byteLength;
          if (asked.body.byteLength < asked.total) {
            return asked.body.slice(start - asked.from, stop - asked.from);
          }
          held = asked; // it came whole: nothing need be asked for again
        }
        return held.body.slice(start - held.from, stop - held.from);
      },
    };
  };
}

/** Whether a part reaches up to a byte; servers take `bytes=-N` for the first N, or give less. */
function holds({ body, from }: Part, stop: number): boolean {
  return from + body.byteLength >= stop;
}

function failed(path: string, response: Response): FileError {
  const why = response.status === 404 ? "is not there" : `gave status ${response.status}`;
  return new FileError(path, response.status, `${path} ${why}`);
}
