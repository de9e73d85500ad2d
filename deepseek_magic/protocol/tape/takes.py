"""What a tape holds: takes, one for each request that was sent, with every network read and the gap before it.

A tape is text, a JSON object a line. The first line is the head; the lines of a take stand together, in the order in which
things happened: what was asked, the status with its headers, the reads, the end. A take is written when it has ended, so a
file that is cut off lacks takes and never holds half of one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from ...text.messages import Message
from ..errors import ConfigurationError

FORMAT: Final = 1
"""The version of the format. A reader takes this one and refuses others."""
MARK: Final = "deepseek-magic tape"
"""The key of the head that says that a file is a tape, with the version of its format."""

End = Literal["whole", "rest", "damaged", "left"]
"""How a body ended: it was read to its end; its rest was not needed and came, or came damaged; nobody read on."""

_GAP_DIGITS: Final = 4
"""Gaps are written in tenths of a millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeQuestion:
    """What a request asks, apart from where it goes: equal questions have equal answers.

    ``resource`` is what the address names, such as ``chat/completions``; ``body`` is canonical (see ``finding``);
    ``after`` is the id of the event that a resumed stream is to go on after.
    """

    method: str
    resource: str
    body: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One network read, and the seconds since the one before or since the headers."""

    gap_s: float
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeFailure:
    """An error of the network, as it can be raised again. ``type`` is its class in ``protocol.errors``."""

    type: str
    message: Message | str
    hint: Message | str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One request and what came of it.

    ``number`` counts in the order of asking; ``at`` is the time of asking (ISO 8601, UTC); ``cell`` names the cell where
    that is known. ``endpoint`` is the name of the endpoint, ``local`` whether it was on that machine. ``status`` is None
    when no headers came, after ``opening_s`` seconds. ``failure`` is the error that ended it; without one ``end`` says how,
    ``end_gap_s`` seconds after the last read.
    """

    number: int
    at: str
    question: TapeQuestion
    cell: str = ""
    endpoint: str = ""
    local: bool = False
    opening_s: float = 0.0
    connect_s: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    http_version: str = ""
    reads: tuple[Read, ...] = ()
    end: End = "left"
    end_gap_s: float = 0.0
    failure: TapeFailure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """All takes, in the order of asking. ``cut_off``: the file ends in the middle of one, which is left out."""

    takes: tuple[Take, ...]
    cut_off: bool = False


def head_line(*, by: str, at: str) -> str:
    """The first line of a tape; ``by`` is the program with its version."""
    return _line({MARK: FORMAT, "by": by, "recorded": at})


def lines_of(take: Take) -> str:
    """The lines of a take, ready to be appended to a tape."""
    return "".join(map(_line, _items(take)))


def read_tape(lines: Iterable[str], *, name: str) -> Tape:
    """Read a tape; ``name`` is what sentences call it. Raises ConfigurationError for what is none, for another version of
    the format, and for a line in the middle that cannot be read."""
    rest = iter(lines)
    _check_head(next(rest, ""), name)
    takes: dict[int, dict[str, Any]] = {}
    damaged: int | None = None
    for number, line in enumerate(rest, 2):
        if not line.strip():
            continue
        if damaged is not None:
            said = Message("The tape {name} is damaged in line {line}.", name=name, line=damaged)
            raise ConfigurationError(said, hint=Message("Get another copy of it, or record it again."))
        try:
            _add(takes, msgspec.json.decode(line))
        except (msgspec.DecodeError, ValueError, TypeError, KeyError):
            damaged = number
    whole = [known for known in takes.values() if known.get("over")]
    found = sorted((_take(known) for known in whole), key=lambda take: take.number)
    return Tape(takes=tuple(found), cut_off=damaged is not None or len(whole) < len(takes))


def _check_head(line: str, name: str) -> None:
    try:
        head = msgspec.json.decode(line)
        version = head[MARK]
    except (msgspec.DecodeError, TypeError, KeyError):
        raise ConfigurationError(
            Message("{name} is no tape.", name=name),
            hint=Message("A tape is made by %deepseek_record FILE or with ds.record(file)."),
        ) from None
    if version != FORMAT:
        raise ConfigurationError(
            Message(
                "The tape {name} has version {version} of the format, and this deepseek-magic reads version {known}.",
                name=name,
                version=version,
                known=FORMAT,
            ),
            hint=Message("Update deepseek-magic, or record the tape again."),
        )


def _line(item: Mapping[str, Any]) -> str:
    return msgspec.json.encode(item).decode() + "\n"


def _items(take: Take) -> Iterator[dict[str, Any]]:
    """The lines of a take as objects; what is empty is left out."""
    question, call = take.question, take.number
    asked = {"method": question.method, "resource": question.resource, "after": question.after}
    about = {"at": take.at, "cell": take.cell, "endpoint": take.endpoint, "local": take.local}
    yield {"call": call, **{name: value for name, value in (about | asked).items() if value}, **_body(question.body)}
    if take.status is not None:
        opened: dict[str, Any] = {"call": call, "gap": _short(take.opening_s), "status": take.status}
        if take.connect_s is not None:
            opened["connect"] = _short(take.connect_s)
        yield {**opened, "http": take.http_version, "headers": dict(take.headers)}
    for read in take.reads:
        yield {"call": call, "gap": _short(read.gap_s), **_data(read.data)}
    gap_s = take.end_gap_s if take.status is not None else take.opening_s
    ended: dict[str, Any] = {"call": call, "gap": _short(gap_s)}
    if take.failure is None:
        yield {**ended, "end": take.end}
    else:
        yield {**ended, "error": _failure(take.failure)}


def _short(seconds: float) -> float:
    return round(max(0.0, seconds), _GAP_DIGITS)


def _body(text: str) -> dict[str, Any]:
    """A body as JSON where it is an object, so that a person can read it."""
    if not text:
        return {}
    return {"body": msgspec.Raw(text.encode())} if text.startswith("{") else {"text": text}


def _data(data: bytes) -> dict[str, str]:
    try:
        return {"read": data.decode()}
    except UnicodeDecodeError:  # a character may be cut in two
        return {"read64": base64.b64encode(data).decode()}


def _failure(failure: TapeFailure) -> dict[str, Any]:
    said = {"type": failure.type, "message": _packed(failure.message)}
    return said | ({"hint": _packed(failure.hint)} if failure.hint else {}) | dict(failure.more)


def _packed(said: Any) -> Any:
    if not isinstance(said, Message):
        return said
    return {"template": said.template, **{name: _packed(value) for name, value in said.pairs}}


def _unpacked(said: Any) -> Any:
    if not isinstance(said, dict):
        return said
    return Message(said["template"], **{name: _unpacked(v) for name, v in said.items() if name != "template"})


def _add(takes: dict[int, dict[str, Any]], item: Any) -> None:
    """Put one line to its take. Raises KeyError, TypeError or ValueError for what is no line of a tape."""
    call = item["call"]
    if "resource" in item:
        body = msgspec.json.encode(item["body"], order="sorted").decode() if "body" in item else item.get("text", "")
        takes[call] = {**item, "question": body, "reads": []}
        return
    known = takes[call]
    gap_s = float(item["gap"])
    if "status" in item:
        known |= {"opening": gap_s, "status": int(item["status"]), "headers": dict(item["headers"])}
        known |= {"connect": item.get("connect"), "http": item["http"]}
    elif "end" in item or "error" in item:
        known |= {"over": True, "last": gap_s, "end": item.get("end", "left"), "error": item.get("error")}
        if known["error"] is not None:
            known["failure"] = _read_failure(**known["error"])
    else:
        data = item["read"].encode() if "read" in item else base64.b64decode(item["read64"], validate=True)
        known["reads"].append(Read(gap_s=gap_s, data=data))


def _read_failure(type: str, message: Any, hint: Any = "", **more: Any) -> TapeFailure:
    return TapeFailure(type=type, message=_unpacked(message), hint=_unpacked(hint), more=more)


def _take(known: Mapping[str, Any]) -> Take:
    status = known.get("status")
    return Take(
        number=known["call"],
        at=known.get("at", ""),
        question=TapeQuestion(
            method=known.get("method", "POST"),
            resource=known["resource"],
            body=known["question"],
            after=known.get("after", ""),
        ),
        cell=known.get("cell", ""),
        endpoint=known.get("endpoint", ""),
        local=known.get("local", False),
        opening_s=known["last"] if status is None else known["opening"],
        connect_s=known.get("connect"),
        status=status,
        headers=known.get("headers", {}),
        http_version=known.get("http", ""),
        reads=tuple(known["reads"]),
        end=known["end"],
        end_gap_s=known["last"],
        failure=known.get("failure"),
    )
