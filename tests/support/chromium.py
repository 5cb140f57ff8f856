"""Which browser tests may drive; saematch is not imported here, so that tests can hook that."""

import shutil


def chromium() -> str | None:
    """Where this machine has a Chromium, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)
