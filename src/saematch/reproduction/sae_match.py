"""The report on SAE Match (arXiv 2410.07656): what its claims come to on other SAEs, in sentences.

A sentence is made of the numbers: it says what they say, whichever way that is.
"""

from __future__ import annotations

from saematch.files.directory import writing
from saematch.plots import Missing
from saematch.reproduction.estimates import estimates, quantiles, saes, work
from saematch.reproduction.judgements import meaning
from saematch.reproduction.matches import distance, errors, lives, sparsity, together
from saematch.reproduction.page import page
from saematch.reproduction.reproduction import Reproduction

# in the order of the page
SECTIONS = (errors, together, meaning, estimates, quantiles, sparsity, distance, lives, saes, work)


def write_report(made: Reproduction) -> list[str]:
    """Write report.html from the runs and tables of a reproduction; what stands at its top."""
    sections, left_out, verdict = [], [], []
    for make in SECTIONS:
        try:
            section, summary = make(made)
        except Missing as reason:
            left_out.append(str(reason))
            continue
        sections.append(section)
        verdict += summary
    asked = made.record.options
    texts = ", ".join(asked["texts"])
    about = (
        f"SAE Match (Balagansky et al., ICLR 2025, arXiv 2410.07656) on {asked['model']}: "
        f"{len(asked['saes'])} SAEs; {asked['examples']} examples each of {texts}. Intervals are "
        f"95 %. Made by saematch {made.record.saematch}."
    )
    html = page("SAE Match, reproduced", about, verdict, sections, left_out)
    with writing(made.report.parent, made.report.name) as partial:
        partial.write_text(html, encoding="utf-8")
    return verdict
