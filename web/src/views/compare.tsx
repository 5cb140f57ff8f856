import { Empty } from "../parts/notices";

/** What several SAEs share, and what is in one alone. */
export function Compare() {
  return <Empty title="What several SAEs share" />;
}
