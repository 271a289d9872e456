"""What holds for every library that is declared: in the version that is installed here, and for readers whatever they get."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wrapt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement

from otel_embed import reading
from otel_embed.frameworks import FRAMEWORKS
from otel_embed.provider import Arguments, Call, Provider, Target
from otel_embed.providers import PROVIDERS
from otel_embed.record import Component, Reply, Request
from otel_embed.support import support
from otel_embed.transports import TRANSPORTS

DECLARED = (*TRANSPORTS, *PROVIDERS, *FRAMEWORKS)
CALLS = [call for provider in DECLARED for call in provider.calls]
CALLS += [timed.alone for provider in DECLARED for timed in provider.timed if timed.alone is not None]


INSTALLED = [
    (provider, target)
    for provider in DECLARED
    if support(provider.requires).verdict == "tested"
    for target in provider.targets
    if support(provider.requires).has(target.versions)
]


def name(case: Any) -> str:
    return case.target if hasattr(case, "target") else getattr(case, "name", str(case))


@pytest.mark.filterwarnings("ignore")  # what a library warns of when it is imported is its own affair
@pytest.mark.parametrize(("provider", "target"), INSTALLED, ids=name)
def test_a_declared_function_is_there(provider: Provider, target: Target) -> None:
    module, _, path = target.target.partition(":")
    _, _, original = wrapt.resolve_path(importlib.import_module(module), path)
    assert callable(original) or isinstance(original, (classmethod, staticmethod)), target.target


def test_the_libraries_of_this_environment_are_covered() -> None:
    assert {provider.name for provider, _ in INSTALLED} >= {
        "openai", "google_genai", "ollama", "huggingface", "dashscope", "litellm", "langchain", "httpx", "httpx2",
    }  # fmt: skip


@pytest.mark.parametrize("provider", DECLARED, ids=name)
def test_versions_are_bounded_on_both_sides(provider: Provider) -> None:
    operators = {bound.operator for bound in Requirement(provider.requires).specifier}
    assert operators >= {">=", "<"}, f"{provider.requires}: what was tested has an end"


@pytest.mark.parametrize("provider", [provider for provider in DECLARED if provider.calls], ids=name)
def test_no_function_is_declared_twice(provider: Provider) -> None:
    targets = [(target.target, target.versions) for target in provider.targets]
    assert len(set(targets)) == len(targets)


MANY = {"contents", "documents", "images", "input", "inputs", "queries", "texts", "urls"}


def given_as(parameter: str) -> Any:
    return ["one", "two"] if parameter in MANY else 8 if "dimension" in parameter else f"some {parameter}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", [target for _, target in INSTALLED if isinstance(target, Call)], ids=name)
def test_an_argument_is_found_by_its_place_as_by_its_name(call: Call) -> None:
    """The first three: nobody writes more of them without their names."""
    module, _, path = call.target.partition(":")
    owner, attribute, _ = wrapt.resolve_path(importlib.import_module(module), path)
    original = inspect.getattr_static(owner, attribute)
    bound = inspect.isclass(owner) and not isinstance(original, staticmethod)
    function = inspect.unwrap(getattr(original, "__func__", original))
    parameters = [each.name for each in inspect.signature(function).parameters.values() if each.kind == each.POSITIONAL_OR_KEYWORD]
    named = {parameter: given_as(parameter) for parameter in parameters[bound:][:3]}
    assert call.request(Arguments(None, tuple(named.values()), {})) == call.request(Arguments(None, (), named))


def words(call: Call) -> list[str]:
    """The names that a call's readers look for, from their source."""
    files = (inspect.getsourcefile(call.request), inspect.getsourcefile(reading))
    source = "".join(Path(file).read_text(encoding="utf-8") for file in files if file is not None)
    return sorted(set(re.findall(r"[a-z][a-z_]{2,}", source)))


def anything(names: list[str]) -> st.SearchStrategy[Any]:
    plain = st.one_of(
        st.none(), st.booleans(), st.integers(), st.just(10**40), st.floats(), st.text(max_size=8), st.binary(max_size=8),
        st.sampled_from(names), st.just("x" * 100_000), st.just([0.5] * 10_000), st.just(float("nan")),
    )  # fmt: skip
    return st.recursive(
        plain,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.tuples(inner),
            st.dictionaries(st.sampled_from(names), inner, max_size=6),
            st.dictionaries(st.sampled_from(names), inner, max_size=6).map(lambda fields: SimpleNamespace(**fields)),
        ),
        max_leaves=12,
    )


class Model(list[Any]):
    """A local model as far as its readers go: their object is always one, whatever it is given."""

    device = "cpu"
    __hash__ = object.__hash__  # type: ignore[assignment]


@pytest.mark.parametrize("call", CALLS, ids=name)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_readers_take_whatever_comes(call: Call, data: st.DataObject) -> None:
    names = words(call)
    values = anything(names)
    arguments = Arguments(
        Model() if call.local else data.draw(values), tuple(data.draw(st.lists(values, max_size=3))),
        data.draw(st.dictionaries(st.sampled_from(names), values, max_size=8)),
    )  # fmt: skip
    if call.divides is not None:
        assert type(call.divides(arguments)) is bool
    if call.when is None or call.when(arguments):
        request = call.request(arguments)
        assert isinstance(request, Request)
        assert request.inputs is None or (type(request.inputs) is int and request.inputs >= 0)
        assert request.model is None or isinstance(request.model, str)
    if call.component is not None:
        assert isinstance(call.component(arguments), Component)
    reply = call.reply(data.draw(values))
    assert isinstance(reply, Reply)
    assert reply.tokens is None or (type(reply.tokens) is int and reply.tokens >= 0)
    assert reply.dimensions is None or (type(reply.dimensions) is int and reply.dimensions > 0)
    assert reply.vectors is None or (type(reply.vectors) is int and reply.vectors >= 0)
