"""One question whose answers may call functions, as steps: ask the model, ask a person, run a function, tell of it.

A generator that does none of this itself, so that cells that block, cells that are awaited and Python's calls carry out the same
steps. Each round is a request like any other: its retries, limits, budget and journal are those of the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ...engine.hosts import keys
from ...engine.journal import tool_runs
from ...metrics.billing import summed
from ...policy.tools.approval import Approval, RefusedCall, asks_for_tools
from ...protocol.chat import ChatMessage, Request
from ...protocol.completion import Completion, ToolCall
from ...protocol.errors import NotConfirmed, ToolsEnded
from ...protocol.measured import Cost
from ...protocol.tools.returned import MAX_CHARS, cut, length_before, text_of_error, text_of_value
from ...protocol.tools.tool import Tool, ToolRun, read_arguments, shown_call
from ...text.messages import Message
from ..confirming.question import ToConfirm

if TYPE_CHECKING:
    from ..prepared import Prepared
    from ..state import Session

SKIPPED: Final = "The user did not allow this call, so it was not run."
NOT_RUN: Final = "Not run: the answer was ended before."
BROKEN_OFF: Final = "It was interrupted while it ran; its result is not known."
LOST: Final = "It was begun before, and its process ended; its result is not known, and it was not run again."
"""What the model reads in a result's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskModel:
    """Send this; the completion comes back."""

    prepared: Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPerson:
    """Ask this; the name of the choice comes back."""

    question: ToConfirm


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTool:
    """Run this; a ``Returned`` comes back."""

    tool: Tool
    arguments: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Show what became of a call, or that it has begun; nothing comes back."""

    run: ToolRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What a function gave, or raised."""

    value: Any = None
    error: BaseException | None = None


Step = AskModel | AskPerson | RunTool | Tell
Steps = Generator[Step, Any, Completion]


class _Ended(Exception):
    """The user ended the answer at a call."""


def rounds(session: Session, first: Prepared) -> Steps:
    """The steps of a question with tools; what it returns is the completion of the whole: the last answer, all that was run, the
    usage and the cost of all rounds. NotConfirmed, and an interrupt, are thrown in where they happen."""
    assert first.tools is not None
    approval = Approval(tools=first.tools.tools, confirm=first.tools.confirm)
    prepared, runs, past, said = first, [*first.ran], list[Completion](), [*first.notices]
    while True:
        if first.waiting is not None and not past:
            completion = first.waiting
        else:
            completion = yield AskModel(prepared=prepared)
        past.append(completion)
        if not asks_for_tools(completion):
            return session.keep(replace(prepared, notices=tuple(said)), _whole(completion, past, runs))
        calls = _named_apart(completion.tool_calls, prepared.request.messages)
        stopped: NotConfirmed | ToolsEnded | _Ended | None = None
        made: list[ToolRun] = []
        try:
            approval = approval.after_round(completion)
            known = _known(session, completion) if completion is first.waiting else {}
            runs += [run for run in completion.tool_runs if run.id not in {call.id for call in calls}]
            for call in calls:
                run, approval = yield from _one(session, completion, call, approval, known.get(str(call.id)))
                made.append(run)
        except (NotConfirmed, ToolsEnded, _Ended) as why:
            stopped = why
            made += why.args if isinstance(why, _Ended) else ()
        except (KeyboardInterrupt, asyncio.CancelledError):
            stopped = _Ended()
        for call in calls[len(made) :]:
            run = _run(call, "stopped", NOT_RUN)
            made.append(run)
            yield Tell(run=run)
        runs += made
        prepared = _next(prepared, completion, calls, made)
        said += prepared.notices
        if stopped is not None:
            error = None if isinstance(stopped, _Ended) else stopped
            ended = Completion(
                request=prepared.request,
                outcome="interrupted" if error is None else "incomplete",
                id=completion.id,
                model=completion.model,
                attempts=completion.attempts,
                usage=completion.usage,
                cost=completion.cost,
                record=completion.record,
                error=error,
            )
            return session.keep(replace(prepared, notices=tuple(said)), _whole(ended, past, runs))


def _one(
    session: Session, completion: Completion, call: ToolCall, approval: Approval, before: ToolRun | None
) -> Generator[Step, Any, tuple[ToolRun, Approval]]:
    """One call, to its end."""
    if before is not None:
        lost = before.state == "begun"
        run = _run(call, "failed", LOST) if lost else replace(before, arguments=_masked(call.arguments))
        if lost:
            _note(session, completion, run, ended=True)
        yield Tell(run=run)
        return run, approval
    judged = approval.judge(call)
    if isinstance(judged, RefusedCall):
        run = _run(call, "refused", cut(keys.mask_content(judged.text)))
    else:
        answer = (yield AskPerson(question=_question(call, judged.tool))) if judged.asks else "run"
        if answer == "stop":
            raise _Ended
        if answer == "skip":
            run = _run(call, "skipped", SKIPPED)
        else:
            approval = approval.with_confirmed(call.name)
            begun = _run(call, "begun", "", judged.tool)
            _note(session, completion, begun)
            yield Tell(run=begun)
            try:
                returned: Returned = yield RunTool(tool=judged.tool, arguments=judged.arguments)
            except (KeyboardInterrupt, asyncio.CancelledError):
                run = _run(call, "failed", BROKEN_OFF, judged.tool)
                _note(session, completion, run, ended=True)
                yield Tell(run=run)
                raise _Ended(run) from None
            failed = returned.error is not None
            text = text_of_value(returned.value) if returned.error is None else text_of_error(returned.error)
            run = _run(call, "failed" if failed else "ran", keys.mask_content(text), judged.tool)
    _note(session, completion, run, ended=True)
    yield Tell(run=run)
    return run, approval


def _run(call: ToolCall, state: Any, result: str, tool: Tool | None = None) -> ToolRun:
    return ToolRun(
        id=str(call.id),
        name=call.name,
        arguments=_masked(call.arguments),
        state=state,
        result=result,
        origin=tool.origin if tool is not None else "",
    )


def _masked(arguments: str) -> str:
    """The arguments of a call with known keys masked, also one that is written with escapes."""
    with contextlib.suppress(ValueError, RecursionError):
        read = json.dumps(read_arguments(arguments), ensure_ascii=False)
        if (masked := keys.mask_content(read)) != read:
            return masked
    return keys.mask_content(arguments)


def _question(call: ToolCall, tool: Tool) -> ToConfirm:
    said = Message("The model asks to run {name} of {origin}:", name=tool.name, origin=tool.origin)
    if not tool.origin:
        said = Message("The model asks to run your function {name}:", name=tool.name)
    return ToConfirm(
        said=said,
        what=f"{tool.name}(…)",
        detail=shown_call(call.name, _masked(call.arguments), short=False),
        otherwise=Message("--confirm unasked runs functions without a question."),
    )


def _named_apart(calls: tuple[ToolCall, ...], messages: Sequence[ChatMessage]) -> list[ToolCall]:
    """The calls with an id each that no other call of the conversation has: some hosts leave ids out, give one twice, or give the
    same ones in each round. It is made of the messages before, so that whoever resumes the answer makes the same."""
    answers = [message.tool_calls for message in messages if message.tool_calls]
    taken = {str(call.get("id")) for called in answers for call in called}
    found: list[ToolCall] = []
    for place, call in enumerate(calls):
        if not call.id or call.id in taken:
            name = f"call_{len(answers) + 1}_{place}"
            while name in taken or any(name == other.id for other in calls):
                name += "_"
            call = replace(call, id=name)
        taken.add(str(call.id))
        found.append(call)
    return found


def _next(prepared: Prepared, completion: Completion, calls: list[ToolCall], runs: list[ToolRun]) -> Prepared:
    """The next round: what was asked, the answer with its calls, and what each call gave."""
    told = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _sent(call.arguments)}}
        for call in calls
    ]
    answer = ChatMessage(
        role="assistant",
        content=completion.text,
        reasoning_content=completion.reasoning or None,
        tool_calls=tuple(told),
    )
    results = [ChatMessage(role="tool", content=run.result, tool_call_id=run.id) for run in runs]
    addressed = tuple(replace(each, request=_after(each.request, answer, *results)) for each in prepared.addressed)
    return replace(prepared, addressed=addressed, purpose="tool", notices=tuple(_cut(runs)), waiting=None)


def _cut(runs: list[ToolRun]) -> Iterator[Message]:
    """Sentences about results that the model does not get whole."""
    for run in runs:
        if (chars := length_before(run.result)) is not None:
            said = Message("What {name} returned has {chars} characters; the model was given the first {limit}.")
            yield said.filled(name=run.name, chars=f"{chars:,}", limit=f"{MAX_CHARS:,}")


def _after(request: Request, *messages: ChatMessage) -> Request:
    """The request with these messages behind its own. That a function has to be called, or which one, was said of the first
    round: said again, it would never let the model answer."""
    choice = request.options.get("tool_choice")
    kept = request.options if choice in (None, "auto", "none") else request.options.replace(tool_choice=None)
    return replace(request, messages=(*request.messages, *messages), options=kept)


def _sent(arguments: str) -> str:
    """What a server is sent of arguments: some read them, and fail of what is no JSON."""
    try:
        read_arguments(arguments)
    except (ValueError, RecursionError):
        return "{}"
    return arguments or "{}"


def _whole(completion: Completion, past: list[Completion], runs: list[ToolRun]) -> Completion:
    """The last answer as that of the whole question."""
    completion = replace(completion, tool_runs=tuple(runs))
    if len(past) == 1:
        return completion
    costs = [each.cost for each in past]
    return replace(completion, usage=summed([each.usage for each in past]), cost=_cost(costs))


def _cost(costs: list[Cost | None]) -> Cost | None:
    """The sum; None where a part is not known, or in another currency."""
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs) or len({cost.currency for cost in known}) != 1:
        return None
    return replace(
        known[-1],
        amount=sum((cost.amount for cost in known[1:]), known[0].amount),
        peak=known[0].peak if len({cost.peak for cost in known}) == 1 else None,
        estimated=any(cost.estimated for cost in known),
    )


def _call_id(completion: Completion) -> str | None:
    written = completion.kept or completion.record
    return written.call_id if written is not None else None


def _note(session: Session, completion: Completion, run: ToolRun, *, ended: bool = False) -> None:
    """Write down that a call begins, before it does, and what came of it."""
    call_id = _call_id(completion)
    if call_id is not None:
        tool_runs.note(session.journal, call_id, run, ended=ended)


def _known(session: Session, completion: Completion) -> Mapping[str, ToolRun]:
    """What is known of the calls of an earlier answer, by itself and by the journal."""
    call_id = _call_id(completion)
    written = {} if call_id is None else tool_runs.of_call(session.journal, call_id)
    return {run.id: run for run in completion.tool_runs} | written
