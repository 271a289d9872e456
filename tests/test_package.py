"""What is published: a wheel with all that it needs and nothing else, which is what is tested; promised versions."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import otel_embed
from documents import README, ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCE = ROOT / "src" / "otel_embed"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DATA = {"py.typed", "thresholds.toml", "pricing/prices.toml", "pricing/chat.toml", "quality/models.toml"}


def test_what_is_tested_is_what_is_installed() -> None:
    """In CI a wheel; otherwise what ``pip install --editable`` makes of the source tree."""
    here = Path(otel_embed.__file__).parent
    installed = Path(sysconfig.get_path("purelib")) / "otel_embed"
    assert here == (installed if "NOX_CURRENT_SESSION" in os.environ else SOURCE)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, capture_output=True)
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    about = f"otel_embed-{otel_embed.__version__}.dist-info/"
    tracked = {f"otel_embed/{path}" for path in files("src/otel_embed")}
    assert {name for name in names if not name.startswith(about)} == tracked
    assert {f"otel_embed/{name}" for name in DATA} <= names
    assert {about + "licenses/LICENSE", about + "entry_points.txt"} <= names
    assert any(name.startswith("otel_embed/cli/site/") for name in names)
    assert any(name.startswith("otel_embed/demo/") for name in names)


def test_the_source_distribution_holds_what_is_under_version_control(built: Path) -> None:
    """With the tests, for those who package it; the wheel above is made from it."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as found:
        names = {member.name.partition("/")[2] for member in found.getmembers() if member.isfile()}
    assert names - {"PKG-INFO"} <= files(".")
    assert {f"src/otel_embed/{name}" for name in DATA} | {"tests/test_package.py", "LICENSE", "README.md"} <= names


def files(folder: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT / folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name for name in listed.stdout.splitlines() if (ROOT / folder / name).exists()}


def lines() -> dict[str, dict[str, list[str]]]:
    """What is installed for each line of each ``..._LINES`` in noxfile.py."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    assigned = {node.targets[0].id: node.value for node in tree.body
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}  # fmt: skip
    return {name: ast.literal_eval(value) for name, value in assigned.items()
            if name.endswith("_LINES")}  # fmt: skip


def table() -> dict[str, list[str]]:
    """By the name of each library in README.md's table, the versions that it was tested with."""
    found: dict[str, list[str]] = {}
    rows = README.split("| library | versions tested | what |")[1].split("\n\n")[0].splitlines()[2:]
    for row in rows:
        libraries, versions = [cell.strip() for cell in row.split("|")[1:3]]
        names = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", libraries).removesuffix(" chains and models").split(", ")
        parts = versions.split(";")
        for n, name in enumerate(names):
            of_it = parts[n] if len(parts) == len(names) else versions
            found.setdefault(name.lower().replace("_", "-"), []).extend(re.findall(r"\d+(?:\.\d+)+", of_it))
    return found


def required() -> Iterator[tuple[str, Requirement]]:
    for name, group in lines().items():
        for line, needs in group.items():
            for need in needs[: 1 if name == "PROVIDER_LINES" else None]:  # the others are for its sake
                yield line, Requirement(need)


def test_the_versions_in_the_readme_are_those_that_the_noxfile_tests() -> None:
    told, compared = table(), 0
    for line, need in required():
        versions = told.get(need.name.lower().replace("_", "-"))
        if versions is not None and need.specifier:
            compared += 1
            exact = str(need.specifier).removeprefix("==")
            fits = [each for each in versions if need.specifier.contains(each) or exact.startswith(each + ".")]
            assert fits, f"noxfile.py tests {need} ({line}); README.md says {versions}"
    assert compared > 50


def test_each_older_version_in_the_readme_is_of_a_line_of_the_noxfile() -> None:
    specifiers: dict[str, list[str]] = {}
    for _, need in required():
        specifiers.setdefault(need.name.lower().replace("_", "-"), []).append(str(need.specifier))
    for name, versions in table().items():
        newest = max(versions, key=Version)
        for version in set(versions) - {newest}:
            if name in specifiers:
                assert any(covers(specifier, version) for specifier in specifiers[name]), (name, version)


def covers(specifier: str, version: str) -> bool:
    exact = specifier.removeprefix("==")
    if exact != specifier:
        return exact == version or exact.startswith(version + ".")
    return bool(specifier) and Requirement(f"x{specifier}").specifier.contains(version)


def test_the_oldest_line_is_what_the_project_promises() -> None:
    """Each least version of a dependency is one that ``make lines`` tests with."""
    tested = {need.name: need.specifier for need in map(Requirement, lines()["CORE_LINES"]["oldest"])}
    for need in map(Requirement, PROJECT["project"]["dependencies"]):
        if need.marker is None:
            (least,) = [each.version for each in need.specifier if each.operator == ">="]
            (pinned,) = tested[need.name]
            assert Version(pinned.version) == Version(least), need


def test_no_version_is_left_to_chance() -> None:
    """Whatever a user installs has a least version; nothing is named by a URL or with a ``*``."""
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    users = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    others = [each for each in itertools.chain(*groups.values()) if isinstance(each, str)]
    for text in [*users, *others]:
        need = Requirement(text)
        assert need.url is None and "*" not in str(need.specifier)
        if text in users and need.name not in ("otel-embed", "tzdata"):  # ourselves; data, of which the newest is right
            assert [each for each in need.specifier if each.operator == ">="], text
