import { useMemo } from "preact/hooks";
import type { Life } from "../../data/explorer";
import type { Marks } from "../../data/marks";
import type { Link, Neighbourhood } from "../../data/neighbourhood";
import type { Run } from "../../data/run";
import { figure, pValue, several } from "../../draw/format";
import { Table } from "../../parts/table";

/** The edges of the graph as a table, for those who cannot see it. */
export function Edges({ run, graph, marks }: { run: Run; graph: Neighbourhood; marks: Marks }) {
  const lives = useMemo(() => new Map(graph.nodes.map((life) => [life.node, life])), [graph]);
  const end = (node: number) => {
    const life = lives.get(node) as Life;
    const name = marks.names.get(node) ?? life.label;
    return (
      <span class="named">
        <bdi class="muted">{run.short(life.site)}</bdi>
        <span class="named-number">{life.feature}</span>
        {name && <bdi title={name}>{name}</bdi>}
      </span>
    );
  };
  return (
    <details class="graph-edges">
      <summary>{several(graph.links.length, "edge")} as a table</summary>
      <Table<Link>
        name="edges"
        label="Edges"
        columns={[
          { key: "source", title: "From", show: (link) => end(link.source) },
          { key: "target", title: "To", show: (link) => end(link.target) },
          { key: "kind", title: "Kind", width: "100px", show: (link) => link.kind },
          {
            key: "score",
            title: "Score",
            numeric: true,
            width: "80px",
            show: (link) => figure(link.score),
          },
          {
            key: "cosine",
            title: "Cosine",
            numeric: true,
            width: "80px",
            show: (link) => figure(link.cosine),
          },
          { key: "p", title: "p", numeric: true, width: "94px", show: (link) => pValue(link.p) },
          {
            key: "back",
            title: "p back",
            numeric: true,
            width: "94px",
            show: (link) => pValue(link.sourceP),
          },
        ]}
        count={graph.links.length}
        row={(index) => graph.links[index]}
        height={420}
      />
    </details>
  );
}
