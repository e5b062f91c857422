"""Where things are: definition, references, implementations."""

from __future__ import annotations

from functools import partial

from codebuddy.code.asking import Answer, Unsettled
from codebuddy.code.naming import REFERENCES, ask_references, find_named
from codebuddy.code.pages import paged
from codebuddy.code.questions import Question, ask_at, point_at
from codebuddy.language.readiness import Report
from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.code import (
    Location,
    LocationsResult,
    Place,
    PlaceArguments,
    ReferencesArguments,
    ReferencesResult,
)

__all__ = ["find_definition", "find_implementations", "find_references"]


async def find_definition(servers: LanguageServers, place: PlaceArguments, report: Report) -> LocationsResult:
    """Give where the thing at a place is defined.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    return await _find(servers, place, report, "textDocument/definition")


async def find_implementations(servers: LanguageServers, place: PlaceArguments, report: Report) -> LocationsResult:
    """Give what implements the thing at a place: types of an interface or trait, bodies of an abstract method.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    return await _find(servers, place, report, "textDocument/implementation")


async def find_references(servers: LanguageServers, wanted: ReferencesArguments, report: Report) -> ReferencesResult:
    """Give all places where something is used, its declaration included: what is at a place, or has a name.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous; the project is not this one.
    """
    servers.tree.require_own(wanted.projects)
    question, place, symbols = Question.begin(servers, wanted.timeout_seconds, report), wanted.place(), None
    try:
        if place is None:
            named = await question.persist(partial(find_named, question, wanted.symbol or ""))
            symbols, locations, answer = named.symbols, named.references, named.answer
        else:
            locations, answer = await question.persist(partial(_at, question, place, REFERENCES))
    except Unsettled as unsettled:
        locations, answer = [], unsettled.answer
    page = paged("find_references", wanted, locations, answer)
    return ReferencesResult(locations=page.items, symbols=symbols, **page.rest)


async def _find(servers: LanguageServers, place: PlaceArguments, report: Report, method: str) -> LocationsResult:
    question = Question.begin(servers, place.timeout_seconds, report)
    locations, answer = await question.found(partial(_at, question, place, method))
    page = paged(method, place, locations, answer)
    return LocationsResult(locations=page.items, **page.rest)


async def _at(question: Question, place: Place, method: str) -> tuple[list[Location], Answer]:
    path = question.servers.tree.locate(place.path)
    asked = await question.choose(path, method)  # before a symbol is looked up: perhaps no server can answer at all
    pointer = await point_at(question, path, place)
    if place.symbol is not None:
        asked = await question.choose(path, method)  # that may have taken long
    if method == REFERENCES:
        return await ask_references(asked, path, pointer)
    return await ask_at(asked, path, pointer, method)
