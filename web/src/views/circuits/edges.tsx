import type { Edge, Mark } from "../../data/circuits";
import type { Run } from "../../data/run";
import { figure, percent, several } from "../../draw/format";
import { Table } from "../../parts/table";
import { layersOf, nameOf } from "./labels";

/** The edges of the picture as a table, for those who cannot see it. */
export function Edges(props: {
  run: Run;
  edges: readonly Edge[];
  tokens: readonly string[];
  onChoose: (mark: Mark) => void;
}) {
  const { run, edges, onChoose } = props;
  const place = (mark: Mark) =>
    mark.kind === "token" ? "token" : mark.kind === "logit" ? "next" : layersOf(run, mark);
  const said = (mark: Mark) => `${place(mark)}, ${mark.position}: ${nameOf(mark)}`;
  const end = (mark: Mark) => (
    <span class="named">
      <bdi class="muted">{place(mark)}</bdi>
      <span class="named-number">{mark.position}</span>
      <bdi title={nameOf(mark)}>{nameOf(mark)}</bdi>
    </span>
  );
  return (
    <details class="graph-edges">
      <summary>{several(edges.length, "edge")} as a table</summary>
      <Table<Edge>
        name="effects"
        label="Edges"
        columns={[
          {
            key: "source",
            title: "From",
            width: "11em",
            grows: true,
            show: (edge) => end(edge.source),
            text: (edge) => said(edge.source),
          },
          {
            key: "target",
            title: "To",
            width: "11em",
            grows: true,
            show: (edge) => end(edge.target),
            text: (edge) => said(edge.target),
          },
          {
            key: "effect",
            title: "Effect",
            numeric: true,
            width: "6em",
            show: (edge) => figure(edge.effect),
            text: (edge) => edge.effect,
          },
          {
            key: "share",
            title: "Share",
            hint: "of what enters the target",
            numeric: true,
            width: "6em",
            show: (edge) => percent(edge.share),
            text: (edge) => edge.share,
          },
          {
            key: "weight",
            title: "Influence",
            hint: "of all influence on the next token",
            numeric: true,
            width: "6.5em",
            show: (edge) => percent(edge.weight),
            text: (edge) => edge.weight,
          },
        ]}
        count={edges.length}
        row={(index) => edges[index]}
        onOpen={(edge) => onChoose(edge.target)}
        height={420}
      />
    </details>
  );
}
