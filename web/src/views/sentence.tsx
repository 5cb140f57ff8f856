import { Empty } from "../parts/notices";

/** What fires on a sentence, token by token, from layer to layer. */
export function Sentence() {
  return <Empty title="A sentence through the model" />;
}
