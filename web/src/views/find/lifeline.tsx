import type { Explorer } from "../../data/explorer";
import { several } from "../../draw/format";

const STEP = 16; // pixels from one SAE of the chain to the next, where there is room
const WIDEST = 156; // pixels of a line
const MIDDLE = 12;

/** A feature of a track: where it stands in the chain, and whether it splits or merges. */
export interface Stop {
  place: number;
  splits: boolean;
  merges: boolean;
}

/** The features of a track, as its line says: a sign for each SAE of the chain. */
function stopsOf(line: string): Stop[] {
  return [...line].flatMap((sign, place) =>
    sign === "." ? [] : [{ place, splits: /[sb]/.test(sign), merges: /[mb]/.test(sign) }],
  );
}

/** What a line shows, in words. */
export function lineText(explorer: Explorer, line: string, at: string): string {
  const chain = explorer.index.chain ?? [];
  const stops = stopsOf(line);
  const [first, last] = [chain[stops[0].place], chain[stops[stops.length - 1].place]];
  const span = first === last ? `in ${first}` : `from ${first} to ${last}`;
  const places = (of: Stop[]) => of.map(({ place }) => chain[place]).join(", ");
  const [splits, merges] = [stops.filter((its) => its.splits), stops.filter((its) => its.merges)];
  return [
    `${several(stops[stops.length - 1].place - stops[0].place + 1, "layer")} ${span}`,
    at === first && first === last ? "" : `found in ${at}`,
    splits.length ? `splits in ${places(splits)}` : "",
    merges.length ? `merges in ${places(merges)}` : "",
  ]
    .filter(Boolean)
    .join("; ");
}

/** Where a track lives along the chain, in the space of a line of text. */
export function Lifeline(props: { explorer: Explorer; line: string | null; site: string }) {
  const { explorer, line, site } = props;
  const chain = explorer.index.chain ?? [];
  if (!line) return <span class="off-chain">on no track</span>;
  const step = Math.min(STEP, (WIDEST - 12) / Math.max(1, chain.length - 1));
  const x = (place: number) => 6 + place * step;
  const stops = stopsOf(line);
  const radius = Math.max(1.6, Math.min(3, step * 0.3));
  const at = chain.indexOf(site);
  const text = lineText(explorer, line, site);
  return (
    <svg
      class="find-line"
      width={x(chain.length - 1) + 6}
      height={2 * MIDDLE}
      role="img"
      aria-label={text}
      data-export="no"
    >
      <title>{text}</title>
      <line class="all" x1={x(0)} x2={x(chain.length - 1)} y1={MIDDLE} y2={MIDDLE} />
      {stops.slice(1).map(({ place }, i) => (
        <line
          key={place}
          class={place === stops[i].place + 1 ? "lives" : "passes"}
          x1={x(stops[i].place)}
          x2={x(place)}
          y1={MIDDLE}
          y2={MIDDLE}
        />
      ))}
      {stops.map(({ place, splits, merges }) => (
        <g key={place}>
          {merges && <path class="merges" d={fork(x(place), -step)} />}
          {splits && <path class="splits" d={fork(x(place), step)} />}
          <circle cx={x(place)} cy={MIDDLE} r={radius} />
        </g>
      ))}
      {at >= 0 && <circle class="found-at" cx={x(at)} cy={MIDDLE} r={radius + 2} />}
    </svg>
  );
}

/** A branch that leaves upwards, or comes from above where `step` is negative. */
function fork(x: number, step: number): string {
  const across = Math.sign(step) * Math.min(Math.abs(step) * 0.75, 8);
  return `M${x},${MIDDLE}l${across.toFixed(1)},-8`;
}

/** What the signs of a line mean. */
export function LifelineLegend() {
  return (
    <ul class="find-line-signs" aria-label="Signs of a lifeline">
      <Sign text="lives">
        <line class="lives" x1="4" x2="20" y1="12" y2="12" />
        <circle cx="4" cy="12" r="2.6" />
        <circle cx="20" cy="12" r="2.6" />
      </Sign>
      <Sign text="passes over a layer">
        <line class="passes" x1="2" x2="24" y1="12" y2="12" />
      </Sign>
      <Sign text="splits">
        <path class="splits" d="M8,12l8,-8" />
        <circle cx="8" cy="12" r="2.6" />
      </Sign>
      <Sign text="merges">
        <path class="merges" d="M16,12l-8,-8" />
        <circle cx="16" cy="12" r="2.6" />
      </Sign>
      <Sign text="the feature of the row">
        <circle cx="12" cy="12" r="2.6" />
        <circle class="found-at" cx="12" cy="12" r="5" />
      </Sign>
    </ul>
  );
}

function Sign({ text, children }: { text: string; children: preact.ComponentChildren }) {
  return (
    <li>
      <svg class="find-line" width="26" height="24" aria-hidden="true" data-export="no">
        {children}
      </svg>
      {text}
    </li>
  );
}
