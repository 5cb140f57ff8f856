import { useMemo, useState } from "preact/hooks";
import type { Life } from "../../data/explorer";
import type { Marks } from "../../data/marks";
import type { Link, Neighbourhood } from "../../data/neighbourhood";
import type { Run } from "../../data/run";
import { figure, pValue, several } from "../../draw/format";
import { type ColumnOf, Table } from "../../parts/table";

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
  const [open, setOpen] = useState(false);
  const named = (node: number) => {
    const life = lives.get(node) as Life;
    return `${life.site}/${life.feature}`;
  };
  return (
    <details class="graph-edges" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{several(graph.links.length, "edge")} as a table</summary>
      {open && (
        <Table<Link>
          name="edges"
          label="Edges"
          columns={[
            {
              key: "source",
              title: "From",
              width: "11em",
              grows: true,
              text: (link) => named(link.source),
              show: (link) => end(link.source),
            },
            {
              key: "target",
              title: "To",
              width: "11em",
              grows: true,
              text: (link) => named(link.target),
              show: (link) => end(link.target),
            },
            {
              key: "kind",
              title: "Kind",
              width: "7em",
              text: (link) => link.kind,
              show: (link) => link.kind,
            },
            number("score", "Score", (link) => link.score, figure),
            number("cosine", "Cosine", (link) => link.cosine, figure),
            number("p", "p-value", (link) => link.p, pValue),
            number("back", "p back", (link) => link.sourceP, pValue),
          ]}
          count={graph.links.length}
          row={(index) => graph.links[index]}
          height={420}
        />
      )}
    </details>
  );
}

function number(
  key: string,
  title: string,
  of: (link: Link) => number,
  say: (value: number) => string,
): ColumnOf<Link> {
  return {
    key,
    title,
    numeric: true,
    width: "5.6em",
    text: of,
    show: (link) => say(of(link)),
  };
}
