"""A trace in a notebook: one line, or the path as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saematch.files.html import table

if TYPE_CHECKING:
    from saematch.layers.tracing import Step, Trace
    from saematch.sae.contexts import Context

HEAD = ("feature", "label", "decoder cosine", "p-value", "passes over", "fires on")
AROUND = 40  # characters of context on either side


def path(trace: Trace) -> list[tuple[str, int]]:
    """Site and feature of every step, from the first layer to the last."""
    back = [(step.link.site, step.link.feature) for step in reversed(trace.backward)]
    ahead = [(step.link.site, step.link.feature) for step in trace.forward]
    return [*back, (trace.site, trace.feature), *ahead]


def sentence(trace: Trace) -> str:
    """The repr: the path, and how sure it is."""
    steps = " -> ".join(f"{site}/{feature}" for site, feature in path(trace))
    return f"Trace({steps}; {_sure(trace)})"


def html(trace: Trace) -> str:
    """One row per step: the feature, its label, its link towards the start, a context."""
    rows = [_row(step) for step in reversed(trace.backward)]
    start = trace.contexts[0] if trace.contexts else None
    means = trace.label.text if trace.label is not None else ""
    rows.append((f"{trace.site} #{trace.feature}", means, "start", "", "", _context(start)))
    rows += [_row(step) for step in trace.forward]
    label = trace.community[1] if trace.community is not None else None
    caption = f"{trace.site} #{trace.feature}: {_sure(trace)}" + (f"; {label}" if label else "")
    return table(caption, rows, HEAD)


def _row(step: Step) -> tuple[str, ...]:
    link = step.link
    return (
        f"{link.site} #{link.feature}",
        step.label.text if step.label is not None else "",
        "" if link.cosine is None else f"{link.cosine:.2f}",
        "" if link.p_value is None else f"{link.p_value:.1g}",
        ", ".join(step.skipped),
        _context(step.contexts[0] if step.contexts else None),
    )


def _context(context: Context | None) -> str:
    if context is None:
        return ""
    before, after = context.before[-AROUND:], context.after[:AROUND]
    return f"{before}«{context.token}»{after}".replace("\n", "↵")


def _sure(trace: Trace) -> str:
    steps = len(trace.backward) + len(trace.forward)
    if not steps:
        return "no significant match before or after it"
    sure = trace.confidence
    if sure is None:
        return f"{steps} links"
    # rounded down: no way is certain
    return f"{steps} links, with a confidence of at least {int(1000 * min(sure, 0.999)) / 10:g} %"
