/** A hexagon of a hexagonal binning: its centre in pixels and the points within. */
export interface Hexagon {
  x: number;
  y: number;
  count: number;
}

/** Points counted in hexagons of a radius; points that are not numbers are left out. */
export function hexbins(
  length: number,
  x: (i: number) => number,
  y: (i: number) => number,
  radius: number,
): Hexagon[] {
  const [dx, dy] = [radius * Math.sqrt(3), radius * 1.5];
  const bins = new Map<string, Hexagon>();
  for (let i = 0; i < length; i++) {
    const [px, py] = [x(i), y(i)];
    if (Number.isNaN(px) || Number.isNaN(py)) continue;
    // the nearest centre is in the nearest row of them or in one beside it
    let best: [number, number, number] | null = null;
    const middle = Math.round(py / dy);
    for (let row = middle - 1; row <= middle + 1; row++) {
      const shift = row & 1 ? 0.5 : 0;
      const column = Math.round(px / dx - shift);
      const away = (px - (column + shift) * dx) ** 2 + (py - row * dy) ** 2;
      if (!best || away < best[2]) best = [row, column, away];
    }
    const [row, column] = best as [number, number, number];
    const key = `${row},${column}`;
    const bin = bins.get(key);
    if (bin) bin.count++;
    else bins.set(key, { x: (column + (row & 1 ? 0.5 : 0)) * dx, y: row * dy, count: 1 });
  }
  return [...bins.values()];
}
