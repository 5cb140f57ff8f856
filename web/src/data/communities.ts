/** Communities without their members, and the members of one: of many there are too many to read. */

import type { Data, Feature } from "./tables";
import { visible } from "./tokens";

export interface Listed {
  community: number;
  size: number;
  sites: number;
  label: string | null;
}

/** All communities, the largest first; none where the run has no table of them. */
export async function listCommunities(data: Data): Promise<Listed[]> {
  const place = data.run.flow("communities");
  if (!place) return [];
  const frame = await data.reader.read(place, ["community", "size", "sites", "label"]);
  const [community, size] = [frame.numbers("community"), frame.numbers("size")];
  const [sites, label] = [frame.numbers("sites"), frame.texts("label")];
  return Array.from({ length: frame.length }, (_, i) => ({
    community: community[i],
    size: size[i],
    sites: sites[i],
    label: label[i] === null ? null : visible(label[i]),
  }));
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
