"""The licences of the texts that excerpts ship of, gathered from where the texts came from."""

from __future__ import annotations

import re
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

PACKAGES = ("numpy", "scipy", "networkx", "sympy")
HEAD = """Licences of the texts from which the evaluation texts in this folder and the contexts in
features.parquet are excerpts. Jane Austen's novels, C. H. Spurgeon's Treasury of David and the
World English Bible are in the public domain.
"""


def write_licences(debian: Path, file: Path) -> None:
    """Write the licences of every source that is not in the public domain into one file."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    parts = {"CPython and its documentation": (stdlib / "LICENSE.txt").read_text()}
    parts |= {name: _licence_of(name) for name in PACKAGES}
    for package, name in (("postgresql-doc-15", "PostgreSQL"), ("wordnet-base", "WordNet 3.0")):
        copyright_file = debian / package / "usr/share/doc" / package / "copyright"
        # the first stanza, and where its licence stands apart, that too
        stanzas = re.split(r"\n\s*\n", copyright_file.read_text())
        chosen = [s for s in stanzas if s.startswith(("Files: *", f"License: {name}\n"))]
        parts[name] = "\n\n".join(chosen)
    bar = "\n" + "=" * 80 + "\n"
    body = "".join(f"{bar}{name}{bar}\n{text.strip()}\n" for name, text in parts.items())
    file.write_text(HEAD + body)


def _licence_of(package: str) -> str:
    for path in distribution(package).files or []:
        if path.name in ("LICENSE", "LICENSE.txt"):
            # what follows a rule are the licences of libraries bundled in its wheel
            return re.split(r"^-{4,}$", Path(str(path.locate())).read_text(), flags=re.M)[0]
    raise FileNotFoundError(f"{package} has no LICENSE file")
