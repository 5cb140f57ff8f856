/** Heights moved apart so that labels at them do not overlap, in the order given, within bounds. */
export function apart(
  heights: readonly number[],
  least: number,
  [top, bottom]: readonly [number, number] = [-Infinity, Infinity],
): number[] {
  const order = heights.map((_, i) => i).sort((i, j) => heights[i] - heights[j]);
  const result = [...heights];
  for (let sweep = 0; sweep < 20; sweep++) {
    for (let k = 1; k < order.length; k++) {
      const [above, below] = [order[k - 1], order[k]];
      const missing = least - (result[below] - result[above]);
      if (missing > 0) {
        result[above] -= missing / 2;
        result[below] += missing / 2;
      }
    }
  }
  let bound = bottom;
  for (const i of [...order].reverse()) {
    result[i] = Math.min(result[i], bound);
    bound = result[i] - least;
  }
  bound = top;
  for (const i of order) {
    result[i] = Math.max(result[i], bound);
    bound = result[i] + least;
  }
  return result;
}
