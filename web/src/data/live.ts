/** The model that runs beside the page, where `saematch explore --model` serves it. */

/** What there is, and how much is allowed. */
export interface About {
  model: string;
  tokens: number;
  most: number;
  steers: boolean;
  new_tokens: number;
  seconds: number;
  mode: string | null;
}

/** A sentence as the model read it; tables by column. */
export interface Answer {
  text: string;
  model: string;
  tokens: string[];
  /** Whether the first token was put before the text; its features never count. */
  bos: boolean;
  active: number[][];
  most: number;
  firing: { token: number[]; node: number[]; activation: number[] };
  features: {
    node: number[];
    max_activation: (number | null)[];
    frequency: (number | null)[];
    label: (string | null)[];
    track: (number | null)[];
    length: (number | null)[];
  };
}

export interface Asking {
  text: string;
  feature: string;
  along: "layer" | "track";
  how: "add" | "remove";
  strength: number | null;
  tokens: number;
  seed: number;
}

/** How the model goes on, as it is and steered, token by token. */
export interface Steered {
  text: string;
  plain: string[];
  steered: string[];
  /** The first token that differs; null where none does. */
  differs: number | null;
  changes: { site: string; feature: number; how: string; amount: number }[];
}

const TOKEN = "live";

/** The token in the address of this page; null where the page was served without a model. */
export function tokenOf(search: string): string | null {
  const token = new URLSearchParams(search).get(TOKEN);
  return token && /^[\w-]{8,200}$/.test(token) ? token : null;
}

/** An address that can be given away: without the token. */
export function shareable(address: string): string {
  const url = new URL(address);
  url.searchParams.delete(TOKEN);
  return url.href;
}

/** A model that answers. */
export class Live {
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly about: About,
    private readonly base: string,
  ) {}

  /** The model that this page was served with; null where there is none. */
  static async open(search = location.search): Promise<Live | null> {
    const token = tokenOf(search);
    if (!token) return null;
    const base = `live/${token}/`;
    return new Live((await asked(base)) as About, base);
  }

  sentence(text: string): Promise<Answer> {
    return this.next("sentence", { text }) as Promise<Answer>;
  }

  steer(asking: Asking): Promise<Steered> {
    return this.next("steer", asking) as Promise<Steered>;
  }

  /** One after the other: the model answers one at a time. */
  private next(place: string, body: object): Promise<unknown> {
    const answer = this.last.then(() => asked(`${this.base}${place}`, body));
    this.last = answer.catch(() => {});
    return answer;
  }
}

const BUSY = 429;
const PATIENCE = [300, 900, 2000, 4000, 8000]; // milliseconds between tries, while the model reads another

async function asked(address: string, body?: object): Promise<unknown> {
  for (const wait of [...PATIENCE, null]) {
    const response = await fetched(address, body);
    if (response.ok) return response.json();
    const said = (await response.text()).trim();
    if (response.status !== BUSY || wait === null) {
      throw new Error(said.replace(/^\d+ [\w ]+: /, "") || `status ${response.status}`);
    }
    await new Promise((done) => setTimeout(done, wait));
  }
  throw new Error("the model is busy");
}

async function fetched(address: string, body?: object): Promise<Response> {
  const sent = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  };
  try {
    return await fetch(address, { ...(body ? sent : {}), cache: "no-store" });
  } catch {
    throw new Error("the model cannot be reached: is saematch explore still running?");
  }
}
