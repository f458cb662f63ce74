"""What is installed is what was tested: the exact versions listed in pyproject.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT: dict[str, Any] = tomllib.loads(
    (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
)


def constraints() -> dict[str, str]:
    """The listed version of each distribution, by its normalised name."""
    listed = map(Requirement, PYPROJECT["tool"]["uv"]["constraint-dependencies"])
    return {canonicalize_name(one.name): str(one.specifier) for one in listed}


def direct() -> Iterator[Requirement]:
    """What talkwarden and its development ask for, every extra included."""
    project = PYPROJECT["project"]
    lists = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *PYPROJECT["dependency-groups"].values(),
    ]
    return (Requirement(line) for lines in lists for line in lines)


def installed(requirement: Requirement, extra: str) -> Distribution | None:
    """The distribution that meets a requirement here; None where its marker says no."""
    if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
        return None
    try:
        return distribution(requirement.name)
    except PackageNotFoundError:
        return None


def closure(requirements: Iterable[Requirement]) -> dict[str, str]:
    """Every installed distribution that is needed, directly or not, with its version."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        one = installed(requirement, extra)
        if one is None:
            continue
        name = canonicalize_name(requirement.name)
        found[name] = one.version
        for wanted in {"", *requirement.extras} - {done for who, done in seen if who == name}:
            seen.add((name, wanted))
            waiting += [(Requirement(line), wanted) for line in one.requires or []]
    return found


def test_every_constraint_is_exact() -> None:
    """A range would let an untested version in."""
    loose = {name: spec for name, spec in constraints().items() if not spec.startswith("==")}
    assert loose == {}


def test_each_installed_distribution_is_the_one_that_was_tested() -> None:
    """Indirect dependencies included, each installed version is the listed one."""
    listed = constraints()
    found = closure(direct())
    assert {"slack-sdk", "httpcore", "psycopg-binary", "multidict"} <= found.keys()
    wrong = {
        name: (f"=={version}", listed.get(name, "not listed"))
        for name, version in found.items()
        if listed.get(name) != f"=={version}"
    }
    assert wrong == {}, "installed, listed"
