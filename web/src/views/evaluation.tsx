import { Empty } from "../parts/notices";
import type { ViewProps } from "./view";

export function Evaluation(_: ViewProps) {
  return <Empty title="Nothing here yet" />;
}
