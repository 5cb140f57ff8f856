import type { Edge } from "../../data/circuits";
import { count, percent } from "../../draw/format";

const STEPS = 100;

/** How weighty an edge must be to be drawn: a slider over powers, for weights span several. */
export function Threshold(props: {
  edges: readonly Edge[];
  cut: number;
  onChange: (weight: number) => void;
}) {
  const { edges, cut, onChange } = props;
  if (!edges.length) return null;
  const high = edges[0].weight;
  const low = Math.max(high / 1e4, edges[edges.length - 1].weight);
  const span = Math.log(high / low) || 1;
  const place = Math.round((STEPS * Math.log(Math.max(low, cut) / low)) / span);
  const drawn = edges.filter((edge) => edge.weight >= cut).length;
  return (
    <label class="circuit-threshold">
      Edges from{" "}
      <input
        type="range"
        min={0}
        max={STEPS}
        value={place}
        aria-valuetext={`${percent(cut)} of the influence: ${count(drawn)} edges`}
        data-testid="circuit-threshold"
        onInput={(event) => {
          const at = Number(event.currentTarget.value);
          onChange(at >= STEPS ? high : at <= 0 ? 0 : low * Math.exp((span * at) / STEPS));
        }}
      />
      <span>
        {percent(cut)} of the influence ({count(drawn)})
      </span>
    </label>
  );
}
