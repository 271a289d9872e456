"""Whether the installed version of a library is one that otel_embed was tested with."""

from __future__ import annotations

from importlib import metadata
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

Verdict = Literal["tested", "untested", "too_old", "unknown"]
"""``unknown``: no distribution of that name is installed, yet the library may be: vendored, or a path on PYTHONPATH."""


class Support(NamedTuple):
    library: str
    """The name of its distribution; empty for Python itself."""
    installed: str | None
    tested: str
    verdict: Verdict
    oldest: str | None
    """The oldest version that is observed."""

    @property
    def reason(self) -> str | None:
        """Why the library is not observed; None where it is."""
        if self.verdict != "too_old":
            return None
        return f"{self.library} {self.installed} is older than {self.oldest}, the oldest that is supported"

    def has(self, versions: str) -> bool:
        """Whether the installed version is one of these; True where nobody knows which it is."""
        if not versions or self.installed is None or self.verdict == "unknown":
            return True
        return SpecifierSet(versions).contains(self.installed, prereleases=True)


def support(requires: str) -> Support:
    """What ``Provider.requires`` says of the version that is installed now. Imports nothing."""
    if not requires:
        return Support("", None, "", "tested", None)
    requirement = Requirement(requires)
    bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
    oldest = min(bounds, key=Version, default=None)
    installed = _version(requirement.name)
    tested = requires.removeprefix(requirement.name).strip()
    return Support(requirement.name, installed, tested, _verdict(requirement, installed, oldest), oldest)


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _verdict(requirement: Requirement, installed: str | None, oldest: str | None) -> Verdict:
    try:
        version = None if installed is None else Version(installed)
    except InvalidVersion:
        version = None
    if version is None:
        return "unknown"
    if requirement.specifier.contains(version, prereleases=True):
        return "tested"
    return "too_old" if oldest is not None and version < Version(oldest) else "untested"
