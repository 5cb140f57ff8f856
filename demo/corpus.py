"""Free text on a Debian machine -> documents of three kinds, split into training and held-out.

    python -m demo.corpus FOLDER DEBIAN

Prose, code and reference come from Debian packages and from Python packages, all in the public
domain or under a permissive licence (see `SOURCES`). Nothing else is read.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import subprocess
import sys
import sysconfig
import zlib
from collections.abc import Iterator
from pathlib import Path

DEBIAN_PACKAGES = (
    "r-cran-janeaustenr",
    "sword-comm-tdavid",
    "sword-text-web",
    "python3.11-doc",
    "postgresql-doc-15",
    "wordnet-base",
)

SOURCES = {
    "austen": ("prose", "The six novels of Jane Austen (r-cran-janeaustenr)", "public domain"),
    "spurgeon": (
        "prose",
        "C. H. Spurgeon, The Treasury of David (sword-comm-tdavid)",
        "public domain",
    ),
    "web": ("prose", "World English Bible (sword-text-web)", "public domain"),
    "cpython": ("code", "The standard library of CPython", "PSF-2.0"),
    "numpy": ("code", "NumPy", "BSD-3-Clause"),
    "scipy": ("code", "SciPy", "BSD-3-Clause"),
    "networkx": ("code", "NetworkX", "BSD-3-Clause"),
    "sympy": ("code", "SymPy", "BSD-3-Clause"),
    "python-docs": ("reference", "The documentation of Python 3.11 (python3.11-doc)", "PSF-2.0"),
    "postgresql": (
        "reference",
        "The documentation of PostgreSQL 15 (postgresql-doc-15)",
        "PostgreSQL",
    ),
    "wordnet": ("reference", "Glosses of WordNet 3.0 (wordnet-base)", "WordNet licence"),
}

HELD_OUT_PERCENT = 3
DOCUMENT_BYTES = 12_000


def make_corpus(folder: Path, debian: Path) -> None:
    """Write `<folder>/<kind>.<train|held_out>.jsonl`, one `{"source", "text"}` per line.

    `debian` holds each package of `DEBIAN_PACKAGES` unpacked under its own name
    (`apt-get download P` and `dpkg-deb -x P*.deb <debian>/P`); `mod2imp` must be installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out = {
        (kind, part): (folder / f"{kind}.{part}.jsonl").open("w")
        for kind in ("prose", "code", "reference")
        for part in ("train", "held_out")
    }
    seen: set[bytes] = set()
    for source, text in _documents(debian):
        for piece in _pieces(text):
            digest = hashlib.sha256(piece.encode()).digest()
            if digest in seen:
                continue
            seen.add(digest)
            part = "held_out" if digest[0] * 100 < HELD_OUT_PERCENT * 256 else "train"
            out[SOURCES[source][0], part].write(
                json.dumps({"source": source, "text": piece}) + "\n"
            )
    for file in out.values():
        file.close()


def _pieces(text: str) -> Iterator[str]:
    """Whole paragraphs together, up to DOCUMENT_BYTES: what is split into training and held-out."""
    piece = ""
    for paragraph in re.split(r"(?<=\n)\n+", text.replace("\r\n", "\n")):
        if piece and len(piece) + len(paragraph) > DOCUMENT_BYTES:
            yield piece.strip("\n")
            piece = ""
        piece += paragraph.rstrip("\n") + "\n\n"
    if len(piece.strip()) > 200:
        yield piece.strip("\n")


def _documents(debian: Path) -> Iterator[tuple[str, str]]:
    yield from (("austen", text) for text in _austen(debian / "r-cran-janeaustenr"))
    yield "spurgeon", _sword(debian / "sword-comm-tdavid", "TDavid")
    yield "web", _sword(debian / "sword-text-web", "engWEB2015eb")
    packages = Path(sysconfig.get_path("purelib"))
    yield from (("cpython", text) for text in _python_files(Path(os.__file__).parent))
    for name in ("numpy", "scipy", "networkx", "sympy"):
        yield from ((name, text) for text in _python_files(packages / name))
    for file in sorted((debian / "python3.11-doc").rglob("*.rst.txt")):
        yield "python-docs", file.read_text(errors="ignore")
    for file in sorted((debian / "postgresql-doc-15").rglob("*.html")):
        yield (
            "postgresql",
            _strip_markup(re.split("<body[^>]*>", file.read_text(errors="ignore"))[-1]),
        )
    yield "wordnet", "\n".join(_wordnet(debian / "wordnet-base"))


def _python_files(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*.py")):
        inside = file.relative_to(folder).parts
        if {"site-packages", "test", "lib2to3", "idlelib", "encodings"} & set(inside):
            continue
        text = file.read_text(errors="ignore")
        # generated tables: mostly digits, nothing to learn from
        if len(text) > 500 and sum(map(str.isdigit, text)) < 0.15 * len(text):
            yield text


def _austen(package: Path) -> Iterator[str]:
    import rdata  # reads R's serialisation

    database = (package / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    start = 0
    while start < len(database):
        # each entry: the length of its value in 4 bytes, then the value under zlib
        value = zlib.decompressobj()
        raw = value.decompress(database[start + 4 :])
        start = len(database) - len(value.unused_data)
        lines = rdata.conversion.convert(rdata.parser.parse_data(raw))
        yield "\n".join(str(line) for line in lines)


def _sword(package: Path, module: str) -> str:
    environment = {**os.environ, "SWORD_PATH": str(package / "usr/share/sword")}
    done = subprocess.run(
        ["mod2imp", module], env=environment, check=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    verses = re.split(r"^\$\$\$.*$", done.stdout, flags=re.MULTILINE)
    text = " ".join(re.sub(r"\s+", " ", verse) for verse in verses)
    text = re.sub(r"<title[^>]*>(.*?)</title>", r"\n\n\1\n\n", text)
    text = re.sub(r"<div[^>]*sID[^>]*/>", "\n\n", text)
    return re.sub(r" *\n *", "\n", re.sub(r"  +", " ", _strip_markup(text)))


def _strip_markup(text: str) -> str:
    text = re.sub(r"<(script|style|note)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"<(br|p|li|h\d|pre|div|tr)\b[^>]*>", "\n", text)
    text = html.unescape(re.sub(r"<[^>]+>", "", text)).replace("\xa0", " ")
    return re.sub(r"\n\s*\n+", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()


def _wordnet(package: Path) -> Iterator[str]:
    for part in ("noun", "verb", "adj", "adv"):
        for line in (package / f"usr/share/wordnet/data.{part}").read_text().splitlines():
            if line.startswith(" "):
                continue
            fields, gloss = line.split(" | ", 1)
            words = fields.split()
            names = [w.replace("_", " ") for w in words[4 : 4 + 2 * int(words[3], 16) : 2]]
            yield f"{', '.join(names)} ({part}): {gloss.strip()}"


if __name__ == "__main__":
    make_corpus(Path(sys.argv[1]), Path(sys.argv[2]))
