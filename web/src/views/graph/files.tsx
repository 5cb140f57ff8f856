import { attribution } from "../../data/attribution";
import { type Marks, saved } from "../../data/marks";
import type { Neighbourhood } from "../../data/neighbourhood";
import { save, slugOf } from "../../draw/save";
import type { ViewProps } from "../view";
import { OpenFile } from "./open";

/** What of the graph can be kept: as a file to open again, a picture, an attribution graph. */
export function Files(
  props: ViewProps & {
    graph: Neighbourhood;
    marks: Marks;
    /** The community that is shown; it need not be in the address. */
    community: number | null;
    title: string;
    note: string | null;
    onNote: (note: string | null) => void;
  },
) {
  const { run, explorer, state, graph, marks, title, community } = props;
  const slug = slugOf(title);
  const asAttribution = () => {
    const content = attribution(explorer.index.sites, graph.nodes, graph.links, {
      slug,
      title: state.feature === null ? title : `${state.site} #${state.feature}`,
      version: run.manifest.saematch,
      marks,
    });
    save(`${slug}.json`, JSON.stringify(content));
  };
  const asFile = () => {
    const { site, feature } = state;
    const more = community === null ? state.more : { ...state.more, community: String(community) };
    save(`${slug}.graph.json`, saved(run, explorer, { site, feature, more, marks }));
  };
  return (
    <section class="files">
      <h2>Keep</h2>
      <div class="chosen-do">
        <button type="button" class="button" onClick={asFile}>
          Save
        </button>
        <OpenFile {...props} />
        <button
          type="button"
          class="button"
          title="What circuit-tracer and Neuronpedia open"
          onClick={asAttribution}
          disabled={!graph.nodes.length}
        >
          Attribution graph
        </button>
      </div>
      <p class="aside" role="status">
        {props.note ?? "Pins, names and groups are in the address of this page too."}
      </p>
    </section>
  );
}
