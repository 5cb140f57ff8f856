import { format } from "d3-format";

const thousands = format(",");

/** A count: 12,345. */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : thousands(value);
}

/** A number of things: 1 edge, 12 edges. */
export function several(number: number, what: string): string {
  return `${count(number)} ${what}${number === 1 ? "" : "s"}`;
}

/** A measure to three figures: 0.614, 12.3, 1.2e−5. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 0.001 || size >= 1e6) return minus(tidy(value.toExponential(1)));
  if (size < 1) return minus(value.toFixed(3));
  return minus(size >= 1000 ? thousands(Math.round(value)) : value.toPrecision(3));
}

/** A p-value: 0.012, 3e−7, or what it is below. */
export function pValue(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value <= 1e-300) return "< 1e−300";
  if (value < 0.001) return minus(tidy(value.toExponential(0)));
  return value.toFixed(3);
}

/** A share in percent: 51 %, 0.07 %. */
export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const share = 100 * value;
  if (share > 0 && share < 0.0005) return "< 0.001 %";
  const digits = share === 0 || share >= 9.95 ? 0 : share >= 0.995 ? 1 : share >= 0.0995 ? 2 : 3;
  return `${share.toFixed(digits)} %`;
}

function tidy(text: string): string {
  return text.replace("e+", "e");
}

export function minus(text: string): string {
  return text.replace(/-/g, "−");
}
