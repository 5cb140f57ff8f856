"""Where checkpoints lie: a local folder, or a repository on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Protocol

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from saematch.checkpoints.names import HubName
from saematch.errors import CheckpointError
from saematch.files.foreign import parsing, plain_text, read_text, reason
from saematch.sae import shipped

# huggingface_hub changes its HTTP library; its own error derives from that of the one it uses
_UNREACHED: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError)  # pyright: ignore[reportAssignmentType]
_NO_PART = re.compile(r"^$|(^|/)\.*(/|$)")  # of the path of a revision


class Source(Protocol):
    """A tree of files; paths inside it are written with slashes, "" is its root."""

    @property
    def commit(self) -> str | None:
        """The hub's commit that the files are of."""
        ...

    def name(self, inner: str = "") -> str:
        """A name that loads `inner` again."""
        ...

    def listdir(self, inner: str = "") -> tuple[list[str], list[str]]:
        """Names of the folders and of the files in the folder `inner`."""
        ...

    def fetch(self, inner: str) -> Path:
        """The local file with the content of `inner`, downloaded if need be."""
        ...


class LocalSource:
    """A folder on disk."""

    commit = None

    def __init__(self, root: Path) -> None:
        self.root = root

    def name(self, inner: str = "") -> str:
        return str(self.root / inner) if inner else str(self.root)

    def listdir(self, inner: str = "") -> tuple[list[str], list[str]]:
        folder = self.root / inner
        folders, files = [], []
        with parsing(folder, error=CheckpointError, say="cannot be listed"):
            # os.path, since pathlib raises on names that no file can have
            for entry in os.scandir(folder) if os.path.isdir(folder) else ():
                (folders if os.path.isdir(entry) else files).append(plain_text(entry.name))
        return folders, files

    def fetch(self, inner: str) -> Path:
        return self.root / inner


class ShippedSource(LocalSource):
    """The SAEs that come with saematch; their names hold wherever it is installed."""

    def __init__(self, name: str) -> None:
        super().__init__(shipped.path(name).parent)
        self.before = shipped.PREFIX + name[: name.rfind("/") + 1]

    def name(self, inner: str = "") -> str:
        return f"{self.before}{inner}"


class HubSource:
    """A repository on the hub, at one revision; only the files asked for are downloaded.

    Works from the local cache alone where the hub is offline (`HF_HUB_OFFLINE=1`) or out of reach.
    """

    def __init__(self, hub: HubName) -> None:
        self.hub = hub

    def name(self, inner: str = "") -> str:
        return str(HubName(self.hub.repo, self.hub.revision, inner))

    @property
    def commit(self) -> str | None:
        return self._listing[1]

    def listdir(self, inner: str = "") -> tuple[list[str], list[str]]:
        prefix = f"{inner}/" if inner else ""
        rest = [f[len(prefix) :] for f in self._listing[0] if f.startswith(prefix)]
        folders = sorted({r.split("/", 1)[0] for r in rest if "/" in r})
        return folders, [r for r in rest if "/" not in r]

    def fetch(self, inner: str) -> Path:
        with parsing(self.name(inner), error=CheckpointError, say="cannot be fetched"):
            try:
                path = huggingface_hub.hf_hub_download(
                    self.hub.repo, inner, revision=self.commit or self.hub.revision
                )
            except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
                raise CheckpointError(
                    f"{self.name(inner)}: not in the local cache, and the hub cannot be reached"
                ) from error
        return Path(path)

    @cached_property
    def _listing(self) -> tuple[list[str], str | None]:
        if constants.is_offline_mode():
            return self._cached("HF_HUB_OFFLINE is set")
        with parsing(self.name(), error=CheckpointError, say="cannot be looked up"):
            try:
                info = huggingface_hub.HfApi().model_info(self.hub.repo, revision=self.hub.revision)
            except GatedRepoError as error:
                raise CheckpointError(
                    f"{self.name()}: a gated repository; ask for access on its page, then "
                    "`hf auth login`"
                ) from error
            except (RepositoryNotFoundError, HFValidationError) as error:
                raise CheckpointError(
                    f"{self.name()}: no such file or folder here, and no such repository on the hub"
                ) from error
            except RevisionNotFoundError as error:
                raise CheckpointError(
                    f"{self.name()}: the repository has no revision {self.hub.revision!r}"
                ) from error
            except _UNREACHED as error:
                return self._cached(f"the hub cannot be reached ({reason(error)})")
            return [sibling.rfilename for sibling in info.siblings or []], info.sha

    def _cached(self, why: str) -> tuple[list[str], str | None]:
        """What the local cache holds of the repository at this revision."""
        cache = Path(constants.HF_HUB_CACHE)
        folder = cache / ("models--" + self.hub.repo.replace("/", "--"))
        with parsing(self.name(), error=CheckpointError, say=f"cannot be read from {cache}"):
            commit = self.hub.revision or "main"
            reference = folder / "refs" / commit
            if os.path.lexists(reference) and not os.path.isdir(reference):
                commit = read_text(reference, error=CheckpointError).strip()
            snapshot = folder / "snapshots" / commit
            if _NO_PART.search(commit) or not os.path.isdir(snapshot):
                known = sorted(p.name for p in (folder / "refs").glob("*"))
                have = f" (it has revisions {', '.join(known)})" if known else ""
                raise CheckpointError(
                    f"{self.name()}: no such file or folder here, not in the local cache "
                    f"{cache}{have}, and {why}"
                )
            every = (p for p in snapshot.rglob("*") if not p.is_dir())
            return sorted(p.relative_to(snapshot).as_posix() for p in every), commit
