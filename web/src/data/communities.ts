/** Communities without their members, and the members of one: of many there are too many to read. */

import type { Explorer } from "./explorer";
import type { Data, Feature } from "./tables";
import { visible } from "./tokens";

export interface Listed {
  community: number;
  size: number;
  sites: number;
  label: string | null;
  /** Share of its members' contexts that have a token of its label; NaN where it is not known. */
  agreement: number;
  /** How well it reads: agreement, whole words, and how many SAEs it touches, in one figure. */
  clean: number;
}

/** All communities, the cleanest first; none where the run has no table of them. */
export async function listCommunities(data: Data, explorer: Explorer): Promise<Listed[]> {
  const place = data.run.flow("communities");
  if (!place) return [];
  const [frame, figures] = await Promise.all([
    data.reader.read(place, ["community", "size", "sites", "label"]),
    explorer.whole("communities"),
  ]);
  const rowOf = new Map([...(figures?.numbers("community") ?? [])].map((one, i) => [one, i]));
  const known = (name: string, community: number) => {
    const row = rowOf.get(community);
    return row === undefined ? NaN : (figures?.numbers(name)[row] ?? NaN);
  };
  const [community, size] = [frame.numbers("community"), frame.numbers("size")];
  const [sites, label] = [frame.numbers("sites"), frame.texts("label")];
  return Array.from({ length: frame.length }, (_, i) => ({
    community: community[i],
    size: size[i],
    sites: sites[i],
    label: label[i] === null ? null : visible(label[i]),
    agreement: known("agreement", community[i]),
    clean: known("clean", community[i]),
  })).sort(by("clean"));
}

/** The order of communities by a figure, the most first; what is not known comes last. */
export function by(figure: "clean" | "size" | "sites" | "agreement") {
  const of = (one: Listed) => (Number.isNaN(one[figure]) ? -1 : one[figure]);
  return (x: Listed, y: Listed) => of(y) - of(x) || y.size - x.size || x.community - y.community;
}

const READABLE = [20, 60]; // features that are a drawing, neither bare nor crowded

/** The community that is shown before one is chosen: the cleanest of several words that draws well. */
export function openingOf(communities: readonly Listed[]): Listed | null {
  const [least, most] = READABLE;
  const drawn = communities.filter(({ size }) => size >= least && size <= most);
  return drawn.find(({ label }) => label?.includes(", ")) ?? drawn[0] ?? communities[0] ?? null;
}

/** The features of one community. */
export async function membersOf(data: Data, community: number): Promise<Feature[]> {
  const place = data.run.flow("communities");
  if (!place) return [];
  const frame = await data.reader.read(place, ["members"], { community });
  const members = (frame.values("members")[0] ?? []) as {
    site: string;
    feature: number | bigint;
  }[];
  return members.map(({ site, feature }) => ({ site, feature: Number(feature) }));
}
