"""Code actions: what the servers of a file offer for a place, and what one of them would change."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Final

from codebuddy.code.asking import Answer, Asked, Unsettled
from codebuddy.code.asking_actions import METHOD, Actions, gone
from codebuddy.code.choosing import choose, choose_of
from codebuddy.code.offers import Offer
from codebuddy.code.questions import Pointer, Question, point_at
from codebuddy.language.readiness import Report
from codebuddy.language.server import LanguageServer
from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.code import (
    ActionPlace,
    CodeActions,
    CodeActionsArguments,
    Place,
    PlanActionArguments,
    PlannedAction,
)

__all__ = ["list_actions", "plan_action"]

_MAX_OFFERS: Final = 500


async def list_actions(servers: LanguageServers, arguments: CodeActionsArguments, report: Report) -> CodeActions:
    """Give what all servers of the file that are declared for actions offer for a place.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    try:
        found = await _gather(servers, arguments, report)
    except Unsettled as unsettled:
        answer = unsettled.answer
        return CodeActions(complete=False, reason=answer.reason, message=answer.message, actions=[])
    actions = [offer.shown for _, offers, _ in found for offer in offers]
    lacking = [answer for _, _, answer in found if answer.reason is not None]
    if len(actions) > _MAX_OFFERS:
        lacking.append(Answer(None, reason="truncated", message=f"There are {len(actions)}; ask for some kinds."))
    return CodeActions(
        complete=not lacking,
        reason=lacking[0].reason if lacking else None,
        message=" ".join(answer.message or "" for answer in lacking) or None,
        actions=actions[:_MAX_OFFERS],
    )


async def plan_action(servers: LanguageServers, arguments: PlanActionArguments, report: Report) -> PlannedAction:
    """Give what an action would change: all of it, or nothing and the reason.

    Raises:
        ToolError: ``no_such_action``, ``disabled_action``, ``needs_editor``; or its edit cannot be accepted.
    """
    try:
        question, path, pointer = await _begin(servers, arguments, report)
        found = await _gather(servers, arguments, report)
        for asked, offers, _ in found:
            if any(offer.shown.id == arguments.action for offer in offers):
                plan = Actions(asked, path, pointer, arguments).plan
                return await question.persist(partial(plan, arguments.action))
        lacking = next((answer for _, _, answer in found if answer.reason is not None), None)
        if lacking is not None:
            raise Unsettled(lacking)
    except Unsettled as unsettled:
        answer = unsettled.answer
        return PlannedAction(complete=False, reason=answer.reason, message=answer.message, changes=[])
    raise gone(arguments)


async def _begin(servers: LanguageServers, place: ActionPlace, report: Report) -> tuple[Question, Path, Pointer]:
    question, path = Question.begin(servers, place.timeout_seconds, report), servers.tree.locate(place.path)
    servers.tree.read(path)  # a file that is not there is the caller's mistake, served or not
    given = place.model_dump(include={"path", "line", "column", "symbol", "text"})
    return question, path, await point_at(question, path, Place(**given))


async def _gather(
    servers: LanguageServers, place: ActionPlace, report: Report
) -> list[tuple[Asked, list[Offer], Answer]]:
    """Ask all servers at the same time.

    Raises:
        ToolError: there is no such place.
        Unsettled: no server offers actions.
    """
    question, path, pointer = await _begin(servers, place, report)
    serving = servers.serving(path, "actions")
    if not serving:
        await choose(servers, path, METHOD, question.deadline, report)  # says why

    async def one(server: LanguageServer) -> Asked | Unsettled:
        try:
            return await choose_of([server], METHOD, question.deadline, report)
        except Unsettled as unsettled:
            return unsettled

    able = await asyncio.gather(*map(one, serving))
    chosen = [asked for asked in able if isinstance(asked, Asked)]
    lacking = [unsettled for unsettled in able if isinstance(unsettled, Unsettled)]
    if not chosen:
        raise lacking[0]
    found = await asyncio.gather(*(_offers(asked, path, pointer, place) for asked in chosen))
    # A server that cannot offer any lacks nothing; one that is not there does.
    absent = [one.answer for one in lacking if one.answer.reason != "unsupported"]
    return [*found, *((chosen[0], list[Offer](), answer) for answer in absent)]


async def _offers(asked: Asked, path: Path, pointer: Pointer, place: ActionPlace) -> tuple[Asked, list[Offer], Answer]:
    offers, answer = await Actions(asked, path, pointer, place).offers()
    return asked, offers, answer
