import { useMemo, useRef, useState } from "preact/hooks";
import { attribution } from "../data/attribution";
import { listCommunities, membersOf, type Listed } from "../data/communities";
import type { Life } from "../data/explorer";
import {
  grouped,
  loaded as fromFile,
  named,
  pinned,
  readMarks,
  saved,
  writeMarks,
  type Marks,
} from "../data/marks";
import { among, around, lookIn, type Link, type Neighbourhood, type Reach } from "../data/neighbourhood";
import type { Run } from "../data/run";
import { count, figure, pValue } from "../draw/format";
import { CommunityList } from "./graph/communities";
import { Drawing, MOST } from "./graph/drawing";
import { pngOf, save, svgText } from "./graph/save";
import { FeatureChip } from "../parts/chip";
import { Empty, Failure, Loading } from "../parts/notices";
import { Segments } from "../parts/segments";
import { VirtualTable } from "../parts/table";
import { latest, useLoaded, useWidth } from "../parts/use";
import { changed, writeHash } from "../state";
import type { ViewProps } from "./view";
import "./graph.css";

const CUTS = ["1", "0.05", "0.01", "0.001", "0.0001", "1e-6", "1e-9", "1e-15"];

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
              Choose a community on the left, search a feature and follow “graph” on its page, or
              open a graph that was saved here.
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
      return among(members.map((one) => explorer.node(one.site, one.feature)), look, reach);
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
        <p class="eyebrow">{title}</p>
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
                const next = !more ? [node] : others.length < chosen.length ? others : [...chosen, node];
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

function Cuts(props: ViewProps & { reach: Reach; community: Listed | null }) {
  const { state, go, reach, community } = props;
  const set = (more: Record<string, string | number | null>) => go({ more });
  const steps = (name: "back" | "ahead", text: string) => (
    <label>
      {text}
      <select value={reach[name]} onChange={(event) => set({ [name]: event.currentTarget.value })}>
        {[0, 1, 2, 3, 4, 5, 6].map((value) => (
          <option key={value} value={value}>
            {value}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <div class="cuts">
      {!community && steps("back", "Steps back")}
      {!community && steps("ahead", "ahead")}
      <label>
        p up to
        <select
          value={reach.maxP === null ? "1" : (state.more.p ?? String(reach.maxP))}
          onChange={(event) => set({ p: event.currentTarget.value })}
        >
          {CUTS.map((cut) => (
            <option key={cut} value={cut}>
              {cut === "1" ? "any" : pValue(Number(cut))}
            </option>
          ))}
        </select>
      </label>
      <label>
        score from
        <input
          type="number"
          step="any"
          placeholder="any"
          value={state.more.score ?? ""}
          onChange={(event) => set({ score: event.currentTarget.value })}
        />
      </label>
      <Segments
        label="Edges"
        value={reach.accepted ? "match" : "all"}
        choices={[
          { value: "all", text: "All edges" },
          { value: "match", text: "Matches alone" },
        ]}
        onChange={(value) => set({ edges: value === "all" ? null : value })}
      />
    </div>
  );
}

/** The features that are chosen, and what may be done with them. */
function Chosen(
  props: ViewProps & {
    graph: Neighbourhood;
    marks: Marks;
    chosen: readonly number[];
    mark: (next: Marks) => void;
  },
) {
  const { explorer, state, go, graph, marks, chosen, mark } = props;
  const lives = chosen.flatMap((node) => graph.nodes.find((life) => life.node === node) ?? []);
  const nodes = lives.map((life) => life.node);
  const group = marks.groups.find((one) => nodes.every((node) => one.nodes.includes(node)));
  if (!lives.length) {
    return (
      <section class="chosen-box">
        <h2>Chosen</h2>
        <p class="aside">
          Click a feature to pin, name or group it. Pinned features and groups stay when the
          cut-offs change; groups lie in lanes of their own.
        </p>
      </section>
    );
  }
  const all = nodes.every((node) => marks.pins.includes(node));
  return (
    <section class="chosen-box" aria-labelledby="graph-chosen">
      <h2 id="graph-chosen">Chosen</h2>
      <ul>
        {lives.map((life) => (
          <li key={life.node}>
            <FeatureChip
              site={life.site}
              feature={life.feature}
              label={life.label}
              go={go}
              href={writeHash(changed(state, { view: "life", site: life.site, feature: life.feature }))}
            />
            <input
              class="filter"
              aria-label={`Name of ${life.site} ${life.feature}`}
              placeholder="Name it"
              maxLength={200}
              value={marks.names.get(life.node) ?? ""}
              onChange={(event) => mark(named(marks, life.node, event.currentTarget.value))}
            />
          </li>
        ))}
      </ul>
      <div class="chosen-do">
        <button type="button" class="button" onClick={() => mark(pinned(marks, nodes))}>
          {all ? "Unpin" : "Pin"}
        </button>
        <button
          type="button"
          class="button"
          onClick={() => go({ ...explorer.feature(nodes[0]), more: { community: null } })}
        >
          Centre here
        </button>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            const field = event.currentTarget.elements.namedItem("group") as HTMLInputElement;
            mark(grouped(marks, nodes, field.value.trim()));
          }}
        >
          <input
            class="filter"
            name="group"
            aria-label="Group of the chosen features"
            placeholder="Name of a group"
            maxLength={200}
            list="graph-groups"
            defaultValue={group?.name ?? ""}
            key={`${nodes.join("_")} ${group?.name ?? ""}`}
          />
          <datalist id="graph-groups">
            {marks.groups.map((one) => (
              <option key={one.name} value={one.name} />
            ))}
          </datalist>
          <button type="submit" class="button">
            Group
          </button>
        </form>
        {group && (
          <button type="button" class="button" onClick={() => mark(grouped(marks, nodes, ""))}>
            Ungroup
          </button>
        )}
      </div>
    </section>
  );
}

function Files(
  props: ViewProps & {
    graph: Neighbourhood;
    marks: Marks;
    svg: { current: SVGSVGElement | null };
    title: string;
    note: string | null;
    onNote: (note: string | null) => void;
  },
) {
  const { run, explorer, state, graph, marks, svg, title, onNote } = props;
  const slug = title.replace(/[^A-Za-z0-9_-]+/g, "-").toLowerCase();
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
    const { site, feature, more } = state;
    save(`${slug}.graph.json`, saved(run, explorer, { site, feature, more, marks }));
  };
  const asPicture = (png: boolean) => {
    if (!svg.current) return;
    if (!png) return save(`${slug}.svg`, svgText(svg.current, title), "image/svg+xml");
    pngOf(svg.current, title).then(
      (blob) => save(`${slug}.png`, blob),
      (error: Error) => onNote(error.message),
    );
  };
  return (
    <section class="files">
      <h2>Keep</h2>
      <div class="chosen-do">
        <button type="button" class="button" onClick={asFile}>
          Save
        </button>
        <OpenFile {...props} />
        <button type="button" class="button" onClick={() => asPicture(false)}>
          SVG
        </button>
        <button type="button" class="button" onClick={() => asPicture(true)}>
          PNG
        </button>
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

/** Opens a file that was saved here. */
function OpenFile(props: ViewProps & { onNote: (note: string | null) => void }) {
  const { run, explorer, go, onNote } = props;
  const [failed, setFailed] = useState<string | null>(null);
  const open = async (file: File | undefined) => {
    if (!file) return;
    try {
      const graph = fromFile(await file.text(), run, explorer);
      setFailed(null);
      onNote(graph.note);
      const blank = Object.fromEntries(OWN.map((name) => [name, null]));
      go({
        view: "graph",
        site: graph.site,
        feature: graph.feature,
        more: { ...blank, ...graph.more, ...writeMarks(graph.marks) },
      });
    } catch (error) {
      setFailed((error as Error).message);
    }
  };
  return (
    <>
      <label class="button open-file">
        Open
        <input
          type="file"
          accept=".json,application/json"
          onChange={(event) => {
            void open(event.currentTarget.files?.[0]);
            event.currentTarget.value = "";
          }}
        />
      </label>
      {failed && (
        <span class="failed" role="alert">
          {failed}
        </span>
      )}
    </>
  );
}

const OWN = ["back", "ahead", "p", "score", "edges", "community", "chosen", "pins", "names", "groups"];

function Edges({ run, graph, marks }: { run: Run; graph: Neighbourhood; marks: Marks }) {
  const lives = useMemo(() => new Map(graph.nodes.map((life) => [life.node, life])), [graph]);
  const end = (node: number) => {
    const life = lives.get(node) as Life;
    const name = marks.names.get(node) ?? life.label;
    return (
      <span class="named">
        <span class="muted">{run.short(life.site)}</span>
        <span class="named-number">{life.feature}</span>
        {name && <bdi title={name}>{name}</bdi>}
      </span>
    );
  };
  return (
    <details class="graph-edges">
      <summary>{several(graph.links.length, "edge")} as a table</summary>
      <VirtualTable<Link>
        label="Edges"
        columns={[
          { key: "source", title: "From", show: (link) => end(link.source) },
          { key: "target", title: "To", show: (link) => end(link.target) },
          { key: "kind", title: "Kind", width: "100px", show: (link) => link.kind },
          { key: "score", title: "Score", numeric: true, width: "80px", show: (link) => figure(link.score) },
          { key: "cosine", title: "Cosine", numeric: true, width: "80px", show: (link) => figure(link.cosine) },
          { key: "p", title: "p", numeric: true, width: "94px", show: (link) => pValue(link.p) },
          { key: "back", title: "p back", numeric: true, width: "94px", show: (link) => pValue(link.sourceP) },
        ]}
        count={graph.links.length}
        row={(index) => graph.links[index]}
        height={420}
      />
    </details>
  );
}

/** Cut-offs that the URL says; without any, those within which most is not chance. */
function reachOf(run: Run, more: Readonly<Record<string, string>>): Reach {
  const steps = (text: string | undefined) =>
    text !== undefined && /^\d$/.test(text) ? Number(text) : 2;
  const tested = run.pairs.some((pair) => pair.summary.fdr !== null);
  // communities are found among edges up to 0.01
  const usual = !tested ? 1 : more.community === undefined ? 0.001 : 0.01;
  const p = more.p === undefined ? usual : Number(more.p);
  const score = more.score === undefined ? NaN : Number(more.score);
  return {
    back: steps(more.back),
    ahead: steps(more.ahead),
    maxP: Number.isNaN(p) || p >= 1 ? null : p,
    minScore: Number.isNaN(score) ? null : score,
    accepted: more.edges === "match",
  };
}

function several(number: number, what: string): string {
  return `${count(number)} ${what}${number === 1 ? "" : "s"}`;
}

function marked(marks: Marks): number[] {
  return marks.groups.flatMap((group) => [...group.nodes]);
}
