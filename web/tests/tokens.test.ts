import { describe, expect, it } from "vitest";
import { shortened, visible } from "../src/data/tokens";

describe("texts of a run", () => {
  it("show their controls, and none that turns what stands beside them", () => {
    expect(visible("a\r\n\tb")).toBe("a↵↵⇥b");
    expect(visible("\x00\x1b[31m")).toBe("␀␛[31m");
    expect(visible("\u202eexe.png\u202c \u2067x \u061c")).toBe(
      "⟨202E⟩exe.png⟨202C⟩ ⟨2067⟩x ⟨061C⟩",
    );
    expect(visible("שלום <b>&amp;</b> 日本")).toBe("שלום <b>&amp;</b> 日本");
  });

  it("are cut between characters, not within one", () => {
    expect(shortened("👩👩👩", 2, "beginning")).toBe("👩👩…");
    expect(shortened("👩👩👩", 2, "end")).toBe("…👩👩");
    expect(shortened("abc", 3, "end")).toBe("abc");
  });
});
