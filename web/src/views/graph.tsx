import { useMemo, useRef, useState } from "preact/hooks";
import { type Listed, listCommunities, membersOf } from "../data/communities";
import { type Marks, pinned, readMarks, writeMarks } from "../data/marks";
import { among, around, lookIn, type Neighbourhood } from "../data/neighbourhood";
import { count, several } from "../draw/format";
import { Empty, Failure, Loading } from "../parts/notices";
import { latest, useLoaded, useWidth } from "../parts/use";
import { Chosen } from "./graph/chosen";
import { CommunityList } from "./graph/communities";
import { Cuts, reachOf } from "./graph/cuts";
import { Drawing, MOST } from "./graph/drawing";
import { Edges } from "./graph/edges";
import { Files } from "./graph/files";
import { OpenFile } from "./graph/open";
import type { ViewProps } from "./view";
import "./graph.css";

/** Communities, and the neighbourhood of a feature or community as a graph. */
export function Graph(props: ViewProps) {
  const { run, data, state, go } = props;
  const communities = useLoaded(() => listCommunities(data), []);
  const known = latest(communities);
  const number = Number(state.more.community ?? NaN);
  const community = known?.find((one) => one.community === number) ?? null;
  const missing =
    state.feature !== null &&
    !(state.site && run.has(state.site) && state.feature < run.sae(state.site).d_sae);
  const drawn = state.feature !== null || community;
  return (
    <div class="graph-view" data-testid="view-graph">
      <aside class="graph-side">
        <h2>Communities</h2>
        {communities.status === "error" ? (
          <Failure error={communities.error} />
        ) : !known ? (
          <Loading what="communities" />
        ) : known.length ? (
          <CommunityList
            communities={known}
            chosen={community?.community ?? null}
            wanted={state.more.wanted ?? ""}
            onWanted={(text) => go({ more: { wanted: text } }, { replace: true })}
            onOpen={(one) =>
              go({ site: null, feature: null, more: { community: one, chosen: null } })
            }
          />
        ) : (
          <p class="aside">The run has no communities: saematch flow finds them.</p>
        )}
      </aside>
      <div class="graph-main">
        {missing ? (
          <Empty title={`This run has no feature ${state.site} ${state.feature}`}>
            Search for one with /, or choose a community on the left.
          </Empty>
        ) : !drawn && !known ? null : drawn ? (
          <Drawn {...props} community={state.feature === null ? community : null} />
        ) : (
          <>
            <Empty title="No feature is chosen">
              Choose a community on the left, search a feature and follow “neighbourhood” on its
              page, or open a graph that was saved here.
            </Empty>
            <p class="open-first">
              <OpenFile {...props} onNote={() => {}} />
            </p>
          </>
        )}
      </div>
    </div>
  );
}

function Drawn(props: ViewProps & { community: Listed | null }) {
  const { run, data, explorer, state, go, community } = props;
  const [note, setNote] = useState<string | null>(null);
  const [box, width] = useWidth<HTMLDivElement>();
  const svg = useRef<SVGSVGElement>(null);
  const reach = useMemo(() => reachOf(run, state.more), [run, state.more]);
  const marks = useMemo(
    () => readMarks(state.more, explorer.index.nodes),
    [state.more.pins, state.more.names, state.more.groups],
  );
  const centre = state.feature === null ? null : explorer.node(state.site as string, state.feature);
  const found = useLoaded<Neighbourhood>(async () => {
    const look = lookIn(explorer);
    if (community) {
      const members = await membersOf(data, community.community);
      return among(
        members.map((one) => explorer.node(one.site, one.feature)),
        look,
        reach,
      );
    }
    return around(centre as number, look, reach, [...marks.pins, ...marked(marks)]);
  }, [centre, community?.community, JSON.stringify(reach), state.more.pins, state.more.groups]);
  if (found.status === "error") return <Failure error={found.error} />;
  const graph = latest(found);
  const mark = (next: Marks) => go({ more: writeMarks(next) });
  const chosen = (state.more.chosen ?? "").split("_").filter(Boolean).map(Number);
  const title = community
    ? `Community ${community.community}`
    : `Around ${state.site} ${state.feature}`;
  const centreLife = graph?.nodes.find((life) => life.node === centre);
  const label = community ? community.label : (marks.names.get(centre ?? -1) ?? centreLife?.label);
  return (
    <>
      <header class="graph-head">
        <p class="eyebrow">
          {community ? (
            title
          ) : (
            <>
              Around <bdi class="site">{state.site}</bdi> {state.feature}
            </>
          )}
        </p>
        <h1>
          <bdi>{label ?? (community ? "no label" : `feature ${state.feature}`)}</bdi>
        </h1>
        <Cuts {...props} reach={reach} />
      </header>
      <div ref={box} class="graph-box" aria-busy={found.status === "loading"}>
        {!graph ? (
          <Loading what="the graph" />
        ) : graph.nodes.length ? (
          width > 0 && (
            <Drawing
              run={run}
              nodes={graph.nodes}
              links={graph.links}
              marks={marks}
              centre={centre}
              chosen={chosen}
              width={width}
              svg={svg}
              onChoose={(node, more) => {
                const others = chosen.filter((other) => other !== node);
                const next = !more
                  ? [node]
                  : others.length < chosen.length
                    ? others
                    : [...chosen, node];
                go({ more: { chosen: next.join("_") } }, { replace: true });
              }}
              onOpen={(node) => go({ ...explorer.feature(node), more: { community: null } })}
              onPin={(node) => mark(pinned(marks, [node]))}
            />
          )
        ) : (
          <Empty title="Nothing is within these cut-offs">Raise p, or take more steps.</Empty>
        )}
      </div>
      {graph && (
        <>
          <p class="aside" role="status">
            {several(graph.nodes.length, "feature")}, {several(graph.links.length, "edge")}.
            {graph.links.length > MOST && ` The best ${MOST} edges are drawn.`}
            {graph.left > 0 &&
              ` ${count(graph.left)} more are left out: lower p or take fewer steps to see the best of them.`}{" "}
            Solid: accepted matches; thin: other candidates. Shift-click chooses several.
          </p>
          <div class="graph-below">
            <Chosen {...props} graph={graph} marks={marks} chosen={chosen} mark={mark} />
            <Files
              {...props}
              graph={graph}
              marks={marks}
              svg={svg}
              title={title}
              note={note}
              onNote={setNote}
            />
          </div>
          <Edges run={run} graph={graph} marks={marks} />
        </>
      )}
    </>
  );
}

function marked(marks: Marks): number[] {
  return marks.groups.flatMap((group) => [...group.nodes]);
}
