import { useMemo, useRef, useState } from "preact/hooks";
import { type Listed, listCommunities, membersOf, openingOf } from "../data/communities";
import { type Marks, pinned, readMarks, writeMarks } from "../data/marks";
import { among, around, lookIn, type Neighbourhood } from "../data/neighbourhood";
import type { Run } from "../data/run";
import { LANE_NAMES, LANES } from "../draw/colours";
import { count, percent, several } from "../draw/format";
import type { Key } from "../draw/picture";
import { useArrival } from "../parts/arrival";
import { Figure } from "../parts/figure";
import { Empty, Failure, Loading } from "../parts/notices";
import { latest, useLoaded, useWidth } from "../parts/use";
import { Chosen } from "./graph/chosen";
import { CommunityList } from "./graph/communities";
import { Cuts, reachOf } from "./graph/cuts";
import { Drawing, MOST } from "./graph/drawing";
import { Edges } from "./graph/edges";
import { Files } from "./graph/files";
import { OpenFile } from "./graph/open";
import { Missing, missingOf } from "./life/missing";
import type { ViewProps } from "./view";
import "./graph.css";

/** Communities, and the neighbourhood of a feature or community as a graph. */
export function Graph(props: ViewProps) {
  const { run, data, explorer, state, go } = props;
  const communities = useLoaded(() => listCommunities(data, explorer), []);
  const known = latest(communities);
  const asked = state.more.community;
  const community =
    known && state.feature === null
      ? (known.find((one) => String(one.community) === asked) ?? openingOf(known))
      : null;
  const missing = missingOf(run, explorer, state);
  return (
    <div class="graph-view" data-testid="view-graph">
      {missing ? (
        <div class="graph-main">
          <Missing why={missing} run={run} explorer={explorer} state={state} />
        </div>
      ) : state.feature !== null || community ? (
        <Drawn {...props} community={community} opening={community !== null && !asked} />
      ) : (
        <div class="graph-main">
          {known && (
            <>
              <h1 class="visually-hidden">Graph</h1>
              <Empty title="No feature is chosen">
                Search for a feature and follow “neighbourhood” on its page, or open a graph that
                was saved here.
              </Empty>
              <p class="open-first">
                <OpenFile {...props} onNote={() => {}} />
              </p>
            </>
          )}
        </div>
      )}
      <aside class="graph-side" aria-labelledby="communities-title">
        <h2 id="communities-title">Communities</h2>
        {communities.status === "error" ? (
          <Failure error={communities.error} />
        ) : !known ? (
          <Loading what="communities" />
        ) : known.length ? (
          <CommunityList
            communities={known}
            chosen={community?.community ?? null}
            wanted={state.more.wanted ?? ""}
            order={state.more.order ?? null}
            onWanted={(text) => go({ more: { wanted: text } }, { replace: true })}
            onOrder={(order) => go({ more: { order } }, { replace: true })}
            onOpen={(one) =>
              go({ site: null, feature: null, more: { community: one, chosen: null } })
            }
          />
        ) : (
          <p class="aside">The run has no communities: saematch flow finds them.</p>
        )}
      </aside>
    </div>
  );
}

function Drawn(props: ViewProps & { community: Listed | null; opening: boolean }) {
  const { run, data, explorer, state, go, community, opening } = props;
  const [note, setNote] = useState<string | null>(null);
  const [box, width] = useWidth<HTMLDivElement>();
  const heading = useRef<HTMLHeadingElement>(null);
  const whole = community !== null;
  const reach = useMemo(() => reachOf(run, state.more, whole), [run, state.more, whole]);
  const marks = useMemo(
    () => readMarks(state.more, explorer.index.nodes),
    [state.more.pins, state.more.names, state.more.groups],
  );
  const centre = state.feature === null ? null : explorer.node(state.site as string, state.feature);
  useArrival(heading, [centre, community?.community], ".graph-box, .graph-side");
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
  const legend = graph ? legendOf(run, graph, marks) : [];
  return (
    <>
      <div class="graph-main">
        <header class="graph-head">
          <p class="eyebrow">
            {community ? (
              <>
                {title}
                {opening && ": a clean one to begin with"}
              </>
            ) : (
              <>
                Around <bdi class="site">{state.site}</bdi> {state.feature}
              </>
            )}
          </p>
          <h1 ref={heading} tabIndex={-1}>
            <bdi>{label ?? (community ? "no label" : `feature ${state.feature}`)}</bdi>
          </h1>
          {community && (
            <p class="aside">
              {several(community.size, "feature")} of {several(community.sites, "SAE")} that flow
              into each other more than into others
              {!Number.isNaN(community.agreement) &&
                `; ${percent(community.agreement)} of their top contexts have these tokens`}
              .
            </p>
          )}
          <Cuts {...props} reach={reach} />
        </header>
        <Figure
          name={title}
          title={label ? `${title}: ${label}` : title}
          level={0}
          legend={legend}
          aside={
            <p class="aside" role="status">
              {graph && (
                <>
                  {several(graph.nodes.length, "feature")}, {several(graph.links.length, "edge")}.
                  {!graph.links.length && " Nothing is joined within these cut-offs: raise p."}
                  {graph.links.length > MOST && ` The best ${MOST} edges are drawn.`}
                  {graph.left > 0 &&
                    ` ${count(graph.left)} more are left out: lower p or take fewer steps to see the best of them.`}
                </>
              )}
            </p>
          }
        >
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
        </Figure>
      </div>
      {graph && <Chosen {...props} graph={graph} marks={marks} chosen={chosen} mark={mark} />}
      {graph && (
        <div class="graph-rest">
          <p class="aside">
            A click shows what a feature fires on; shift-click chooses several. What is chosen can
            be pinned, named and grouped: pinned features and groups stay when the cut-offs change.
          </p>
          <Files
            {...props}
            graph={graph}
            marks={marks}
            community={community?.community ?? null}
            title={title}
            note={note}
            onNote={setNote}
          />
          <Edges run={run} graph={graph} marks={marks} />
        </div>
      )}
    </>
  );
}

/** What the marks mean that a graph has. */
function legendOf(run: Run, graph: Neighbourhood, marks: Marks): Key[] {
  const keys: Key[] = [];
  if (graph.links.some((link) => link.kind === "match")) {
    keys.push({ kind: "line", color: "var(--accent)", text: "match" });
  }
  if (graph.links.some((link) => link.kind !== "match")) {
    keys.push({
      kind: "line",
      color: "var(--quiet)",
      text: "another candidate; fainter: a lower score",
    });
  }
  const lanes = new Set(graph.nodes.map((life) => run.lane(life.site)));
  for (const lane of ["stream", "attn", "mlp", "other"] as const) {
    if (lanes.has(lane)) {
      keys.push({ kind: "dot", color: LANES[lane], text: `a feature of the ${LANE_NAMES[lane]}` });
    }
  }
  if (graph.nodes.some((life) => marks.pins.includes(life.node))) {
    keys.push({ kind: "ring", color: "var(--stream)", text: "pinned" });
  }
  return keys;
}

function marked(marks: Marks): number[] {
  return marks.groups.flatMap((group) => [...group.nodes]);
}
