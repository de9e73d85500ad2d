"""Every fault does on the wire what its legend says, where it was told to, as often as it was told to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from deepseek_magic.demo.faults.kinds import KINDS, PLACES
from deepseek_magic.demo.faults.spec import Faults, parse
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.text.catalogue import catalogue

Ask = Callable[..., Any]
OFF = {"type": "disabled"}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def server() -> Iterator[DemoServer]:
    with DemoServer(pace=0) as running:
        yield running


@pytest.fixture(autouse=True)
def mended(server: DemoServer) -> Iterator[None]:
    yield
    server.fault = None


@pytest.fixture
def good(server: DemoServer, ask: Ask) -> Any:
    server.fault = None
    return ask(server)


# the language


@pytest.mark.parametrize("spec", [
    "cut", "cut after=20", "429 times=3 retry-after=1", "stall p=0.1 seed=7", "reset inside=utf8 at=content",
    "reset at=reasoning after=2 times=1; 503 times=1", "slow rate=2.5", "400 on=prefix", "wrong-content-length by=-50",
])  # fmt: skip
def test_a_spec_reads_back_as_it_was_written(spec: str) -> None:
    faults = parse(spec)
    assert parse("; ".join(map(str, faults))) == faults


@pytest.mark.parametrize("spec", [None, "", "  ", "none"])
def test_no_spec_is_no_fault(spec: str | None) -> None:
    assert parse(spec) == ()
    assert Faults(spec).spec is None


@pytest.mark.parametrize(("spec", "says"), [
    ("cutt", "did you mean cut?"),
    ("cut aftr=3", "did you mean after?"),
    ("cut after=x", "whole number"),
    ("cut at=contend", "did you mean content?"),
    ("429 at=content", "takes no \"at\""),
    ("cut 20", "takes no \"20\""),
    ("stall p=2", "from 0 to 1"),
    ("slow rate=fast", "takes a number"),
    ("reset inside=word", "size, json, utf8"),
    ("refuse times=2", "cannot count"),
])  # fmt: skip
def test_a_wrong_spec_is_refused_in_one_clear_sentence(spec: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(spec)
    assert says in str(caught.value)
    assert str(caught.value.message).count(". ") == 0


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_has_a_legend_of_one_sentence_in_english_and_chinese(kind: Any) -> None:
    assert str(kind.legend).endswith(".")
    assert str(kind.legend)[0].isupper()
    assert catalogue("zh")[str(kind.legend)].endswith("。")


def test_times_counts_the_requests_that_meet_it_and_the_next_fault_follows() -> None:
    faults = Faults("reset times=2; 503 times=1")
    met = [fault.kind if (fault := faults.take(["content"])) else "" for _ in range(4)]
    assert met == ["reset", "reset", "503", ""]


def test_chance_is_drawn_from_the_seed() -> None:
    first, again, other = (Faults(f"cut p=0.12 seed={seed}") for seed in (3, 3, 4))
    drawn = [bool(first.take(["content"])) for _ in range(500)]
    assert drawn == [bool(again.take(["content"])) for _ in range(500)]
    assert drawn != [bool(other.take(["content"])) for _ in range(500)]
    assert 30 <= sum(drawn) <= 90


def test_a_fault_in_a_phase_that_the_answer_has_not_waits_for_one_that_has() -> None:
    faults = Faults("cut at=tool times=1")
    assert faults.take(["reasoning", "content"]) is None
    assert faults.take(["tool"]) is not None


# the connection breaks


@pytest.mark.parametrize(("kind", "ending"), [("cut", "fin"), ("reset", "rst")])
@pytest.mark.parametrize("place", PLACES)
def test_the_connection_breaks_at_the_place_it_was_told(
    server: DemoServer, ask: Ask, good: Any, kind: str, ending: str, place: str
) -> None:
    server.fault = f"{kind} at={place} after=4"
    tools = {"tools": [WEATHER]} if place == "tool" else {}
    heard = ask(server, "how is the weather today, in a table 表格", **tools) if tools else ask(server)
    # Who closes with the request still unread resets, whatever was meant (RFC 9293, 3.10.7.4).
    assert heard.ending == ending or place == "connect"
    assert not heard.whole
    assert "[DONE]" not in heard.payloads
    pieces = [c["choices"][0]["delta"] for c in heard.chunks]
    match place:
        case "connect" | "before-headers":
            assert heard.wire == b""
        case "after-headers":
            assert (heard.status, heard.body) == (200, b"")
        case "reasoning":
            assert sum(bool(p.get("reasoning_content")) for p in pieces) == 4
            assert heard.text == ""
        case "content":
            assert sum(bool(p.get("content")) for p in pieces) == 4
            assert good.text.startswith(heard.text)
        case "tool":
            assert sum("tool_calls" in p for p in pieces) <= 4
            assert any("tool_calls" in p for p in pieces)
        case "before-done":
            assert heard.finish == "stop"
            assert heard.text == good.text


def test_without_a_place_pieces_of_the_whole_answer_are_counted(server: DemoServer, ask: Ask, good: Any) -> None:
    thoughts = sum(bool(c["choices"][0]["delta"].get("reasoning_content")) for c in good.chunks)
    server.fault = f"cut after={thoughts + 2}"
    heard = ask(server)
    assert heard.channel("reasoning_content") == good.channel("reasoning_content")
    assert sum(bool(c["choices"][0]["delta"].get("content")) for c in heard.chunks) == 2


@pytest.mark.parametrize("inside", ["size", "json", "utf8"])
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_an_event_breaks_inside(server: DemoServer, ask: Ask, good: Any, kind: str, inside: str) -> None:
    server.fault = f"{kind} at=content inside={inside}"
    heard = ask(server)
    whole_events = heard.wire[: heard.wire.rindex(b"\n\n\r\n") + 4]
    torn = heard.wire[len(whole_events) :]
    assert torn
    assert good.text.startswith(heard.text)
    if inside == "size":
        assert b"\n" not in torn
    if inside == "utf8":
        with pytest.raises(UnicodeDecodeError):
            torn.decode()


@pytest.mark.parametrize("inside", ["size", "json", "utf8"])
def test_an_event_that_breaks_inside_leaves_the_compressed_stream_readable_so_far(
    server: DemoServer, ask: Ask, good: Any, inside: str
) -> None:
    server.gzip = True
    server.fault = f"cut at=content inside={inside}"
    heard = ask(server, gzip=True)
    server.gzip = False
    assert not heard.whole
    heard.body, ended = inflated(heard.body)
    assert not ended
    assert not heard.body.endswith(b"\n\n")
    assert heard.text
    assert good.text.startswith(heard.text)


def test_a_body_that_ends_properly_too_early_looks_whole_and_is_not(server: DemoServer, ask: Ask) -> None:
    server.fault = "eof-chunked at=content"
    heard = ask(server)
    assert heard.whole
    assert heard.finish is None
    assert "[DONE]" not in heard.payloads


def test_a_close_delimited_body_stops_without_a_trace(server: DemoServer, ask: Ask) -> None:
    server.fault = "eof-close at=content"
    heard = ask(server)
    assert "transfer-encoding" not in heard.headers
    assert "content-length" not in heard.headers
    assert heard.ending == "fin"
    assert heard.finish is None
    assert heard.text


@pytest.mark.parametrize("place", PLACES[1:])
def test_a_stall_keeps_the_line_open_and_silent(server: DemoServer, ask: Ask, place: str) -> None:
    server.fault = f"stall at={place}"
    tools = {"tools": [WEATHER]} if place == "tool" else {}
    heard = ask(server, "weather", quiet_s=0.2, **tools)
    assert heard.ending == "open"
    assert "[DONE]" not in heard.payloads
    assert (heard.wire == b"") == (place == "before-headers")


def test_a_stall_with_an_end_goes_on_afterwards(server: DemoServer, ask: Ask, good: Any) -> None:
    server.fault = "stall at=content for=0.1"
    assert ask(server).text == good.text


def test_only_comments_drip_while_the_answer_stands_still(server: DemoServer, ask: Ask, good: Any) -> None:
    server.fault = "keepalive-drip at=content every=0.02 for=0.2"
    heard = ask(server)
    assert 5 <= heard.body.count(b": keep-alive\n\n") <= 11
    assert heard.text == good.text


def test_a_refused_knock_is_refused_by_the_machine_and_answered_later() -> None:
    with DemoServer(pace=0) as server:
        port = int(server.base_url.rsplit(":", 1)[1])
        server.fault = "refuse for=0.3"
        deadline = time.monotonic() + 5
        refused = answered = False
        while not (refused and answered) and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                answered = refused
            except ConnectionRefusedError:
                refused = True
            except ConnectionResetError:
                pass  # accepted by the machine just before the port closed
            time.sleep(0.01)
        assert refused
        assert answered


async def test_a_refusal_that_is_called_off_before_it_begins_closes_nothing() -> None:
    async with DemoServer(pace=0) as server, httpx.AsyncClient() as client:
        await client.get(f"{server.base_url}/_demo")
        server.fault = "refuse for=60"
        server.fault = None
        await asyncio.sleep(0.05)
        assert (await client.get(f"{server.base_url}/_demo")).status_code == 200
        assert server.connections == 1


@pytest.mark.parametrize("turns", range(12))
async def test_a_closed_port_opens_again_whenever_the_fault_is_switched_off(turns: int) -> None:
    async with DemoServer(pace=0) as server:
        port = int(server.base_url.rsplit(":", 1)[1])
        server.fault = "refuse for=60"
        for _ in range(turns):
            await asyncio.sleep(0)
        server.fault = None
        async with asyncio.timeout(30), httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=0)) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"{server.base_url}/_demo")).json()["fault"] is None:
                        break
                await asyncio.sleep(0.01)
    assert server.base_url.endswith(f":{port}")


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the port is nobody's for the moment in which it is closed"
)
async def test_a_port_that_is_closed_and_opened_again_is_never_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that is given it would answer, or break, the calls that are meant for the demo."""
    moments: list[str] = []

    def taken(moment: str) -> None:
        moments.append(moment)
        with socket.socket() as other, contextlib.suppress(OSError):
            other.bind(("127.0.0.1", port))
            moments.append("free")

    def probed(name: str) -> None:
        real = getattr(DemoServer, name)

        async def step(server: DemoServer, *given: object) -> None:
            await real(server, *given)
            taken(name)

        monkeypatch.setattr(DemoServer, name, step)

    async with DemoServer(pace=0) as server:
        port = int(server.base_url.rsplit(":", 1)[1])
        probed("_stop_accepting")
        probed("_listen")
        for _ in range(2):
            server.fault = "refuse for=0.01"
            async with asyncio.timeout(30):
                while moments[-1:] != ["_listen"]:  # noqa: ASYNC110 - the port has no event
                    await asyncio.sleep(0.005)
            assert moments == ["_stop_accepting", "_listen"]
            moments.clear()


async def test_a_port_that_somebody_has_taken_is_opened_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0
    listen = DemoServer._listen

    async def taken_twice(server: DemoServer) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError(errno.EADDRINUSE, "in use")
        await listen(server)

    async with DemoServer(pace=0) as server:
        monkeypatch.setattr(DemoServer, "_listen", taken_twice)
        server.fault = "refuse for=0.01"
        async with asyncio.timeout(30), httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=0)) as client:
            while tries < 3:  # noqa: ASYNC110 - the port has no event
                await asyncio.sleep(0.005)
            assert (await client.get(f"{server.base_url}/_demo")).status_code == 200
            server.fault = "refuse for=60"
    assert tries == 3  # a demo that is closed meanwhile opens no port


def test_a_proxy_writes_its_own_line_into_the_stream(server: DemoServer, ask: Ask) -> None:
    server.fault = "proxy-line at=content"
    heard = ask(server)
    assert heard.body.splitlines()[-1].startswith(b"upstream connect error")
    assert heard.whole


def test_an_error_object_arrives_inside_the_stream(server: DemoServer, ask: Ask) -> None:
    server.fault = "error-event at=content"
    last = ask(server).chunks[-1]
    assert "choices" not in last
    assert last["error"]["message"]


# slowness


@pytest.mark.parametrize("spec", [
    "latency s=0.1", "latency s=0.1 at=before-headers", "slice bytes=1", "slice bytes=3", "bandwidth kib=4096",
    "slow rate=100000", "slow-close s=0.1", "crlf", "wrong-type", "gzip-members at=content",
])  # fmt: skip
def test_what_is_only_slow_or_odd_loses_nothing(server: DemoServer, ask: Ask, good: Any, spec: str) -> None:
    server.fault = spec
    heard = ask(server)
    body = inflated(heard.body)[0] if "gzip" in spec else heard.body
    heard.body = body
    assert heard.text == good.text
    assert heard.payloads[-1] == "[DONE]"


def test_bytes_drip(server: DemoServer, ask: Ask) -> None:
    server.fault = "drip bytes=1 every=0.002 at=content after=0"
    began = time.monotonic()
    heard = ask(server, "hi", max_tokens=1, thinking=OFF)
    dripped = len(heard.body) - heard.body.index(b"\n\n") - 2
    assert heard.payloads[-1] == "[DONE]"
    assert time.monotonic() - began >= 0.9 * dripped * 0.002


def test_slow_is_as_slow_as_it_was_told(server: DemoServer, ask: Ask) -> None:
    server.fault = "slow rate=100"
    began = time.monotonic()
    ask(server, max_tokens=20, thinking=OFF)
    assert 0.19 <= time.monotonic() - began < 2


# damaged bytes


def inflated(data: bytes) -> tuple[bytes, bool]:
    """All gzip members of ``data``, and whether the last one ended properly."""
    out = b""
    while True:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        out += member.decompress(data)
        data = member.unused_data
        if not data:
            return out, member.eof


def test_garbage_is_one_event_that_is_not_json(server: DemoServer, ask: Ask) -> None:
    server.fault = "garbage at=content"
    heard = ask(server)
    broken = []
    for payload in heard.payloads[:-1]:
        try:
            json.loads(payload)
        except ValueError:
            broken.append(payload)
    assert len(broken) == 1


def test_a_replayed_kilobyte_doubles_text(server: DemoServer, ask: Ask, good: Any) -> None:
    server.fault = "replay at=content after=20 bytes=1024"
    assert len(ask(server).body) == len(good.body) + 1024


@pytest.mark.parametrize(("kind", "text_whole", "stream_whole"), [
    ("gzip-truncated at=content", False, False),
    ("gzip-no-trailer", True, False),
])  # fmt: skip
def test_a_gzip_stream_without_its_end_hides_in_a_proper_body(
    server: DemoServer, ask: Ask, good: Any, kind: str, text_whole: bool, stream_whole: bool
) -> None:
    server.fault = kind
    heard = ask(server)
    assert heard.whole
    assert heard.headers["content-encoding"] == "gzip"
    heard.body, ended = inflated(heard.body)
    assert (heard.text == good.text) is text_whole
    assert ended is stream_whole


@pytest.mark.parametrize("kind", ["gzip-corrupt at=content", "gzip-bad-crc"])
def test_a_damaged_gzip_stream_cannot_be_read_to_its_end(server: DemoServer, ask: Ask, kind: str) -> None:
    server.fault = kind
    with pytest.raises(zlib.error):
        inflated(ask(server).body)


@pytest.mark.parametrize("by", [100, -50])
def test_the_announced_length_is_wrong_by_what_was_told(server: DemoServer, ask: Ask, by: int) -> None:
    server.fault = f"wrong-content-length by={by}"
    heard = ask(server)
    assert int(heard.headers["content-length"]) == len(heard.body) + by
    assert heard.ending == "fin"


def test_http_1_0_has_no_chunks(server: DemoServer, ask: Ask, good: Any) -> None:
    server.fault = "http10"
    heard = ask(server)
    assert heard.wire.startswith(b"HTTP/1.0 200")
    assert "transfer-encoding" not in heard.headers
    assert heard.text == good.text


def test_lines_end_with_cr_lf(server: DemoServer, ask: Ask) -> None:
    server.fault = "crlf"
    body = ask(server).body
    assert body.count(b"\n") == body.count(b"\r\n")


def test_a_login_page_comes_with_status_200(server: DemoServer, ask: Ask) -> None:
    server.fault = "html"
    heard = ask(server)
    assert (heard.status, heard.headers["content-type"]) == (200, "text/html")


# error answers


@pytest.mark.parametrize(("kind", "type", "says"), [
    ("400", "invalid_request_error", "fault 400"),
    ("401", "authentication_error", "****1234 is invalid (request_id: "),
    ("402", "unknown_error", "Insufficient Balance"),
    ("404", "not_found_error", "Not Found"),
    ("413", "invalid_request_error", "too large"),
    ("429", "rate_limit_error", "exceeds your concurrency limit of 5."),
    ("429-balance", "rate_limit_error", "concurrency limit of 5 based on your remaining balance."),
    ("500", "server_error", "Internal"),
    ("503", "service_unavailable_error", "Service is too busy."),
])  # fmt: skip
def test_an_error_answer_has_the_shape_of_the_api(
    server: DemoServer, ask: Ask, kind: str, type: str, says: str
) -> None:
    server.fault = f"{kind} times=1 retry-after=7"
    heard = ask(server)
    error = heard.json["error"]
    assert heard.status == int(kind[:3])
    assert (error["type"], error["param"]) == (type, None)
    assert says in error["message"]
    assert heard.headers["retry-after"] == "7"
    assert heard.headers["x-ds-trace-id"]
    assert ask(server).status == 200


def test_a_proxy_answers_in_html_and_a_gateway_with_octets(server: DemoServer, ask: Ask) -> None:
    server.fault = "502"
    heard = ask(server)
    assert (heard.status, heard.headers["content-type"]) == (502, "text/html")
    assert heard.body.startswith(b"<html>")
    server.fault = "503 type=octet retry-after-ms=250"
    heard = ask(server)
    assert heard.headers["content-type"] == "application/octet-stream"
    assert heard.headers["retry-after-ms"] == "250"
    assert heard.json["error"]


def test_a_fault_can_be_kept_for_continuations(server: DemoServer, ask: Ask, http: Ask) -> None:
    server.fault = "400 on=prefix"
    assert ask(server).status == 200
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello", "prefix": True}]
    assert http(server, {"model": "deepseek-flash", "messages": messages}, path="/beta/chat/completions").status == 400


# endings and dialects


@pytest.mark.parametrize("kind", ["insufficient_system_resource", "aborted", "content_filter"])
def test_the_server_gives_up_after_partial_text(server: DemoServer, ask: Ask, good: Any, kind: str) -> None:
    server.fault = f"{kind} at=content after=5"
    heard = ask(server)
    assert heard.finish == kind
    assert heard.text
    assert good.text.startswith(heard.text)
    usage = heard.chunks[-1]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert heard.payloads[-1] == "[DONE]"


@pytest.mark.parametrize(("kind", "finish", "done", "text", "thought"), [
    ("empty", "stop", True, False, False),
    ("reasoning-only", "stop", True, False, True),
    ("no-done", "stop", False, True, True),
    ("no-finish", None, True, True, True),
])  # fmt: skip
def test_odd_endings(
    server: DemoServer, ask: Ask, kind: str, finish: str | None, done: bool, text: bool, thought: bool
) -> None:
    server.fault = kind
    heard = ask(server)
    assert heard.whole
    assert heard.finish == finish
    assert (heard.payloads[-1] == "[DONE]") is done
    assert bool(heard.text) is text
    assert bool(heard.channel("reasoning_content")) is thought


def test_dialects_of_other_hosts(server: DemoServer, ask: Ask, good: Any) -> None:
    server.fault = "no-delta"
    assert "delta" not in ask(server).chunks[-1]["choices"][0]
    server.fault = "usage-chunk"
    *_, finish, usage = ask(server).chunks
    assert (finish["usage"], usage["choices"]) == (None, [])
    assert usage["usage"]["prompt_tokens"]
    server.fault = "usage-every"
    counts = [chunk["usage"]["completion_tokens"] for chunk in ask(server).chunks]
    assert counts[:3] == [0, 1, 2]
    assert counts == sorted(counts)
    server.fault = "reasoning-field"
    heard = ask(server)
    assert heard.channel("reasoning") == good.channel("reasoning_content")
    assert heard.channel("reasoning_content") == ""


@pytest.mark.parametrize(("spec", "reasons"), [
    ("finish-early at=content after=3", lambda pieces: pieces == 2),
    ("finish-early at=reasoning after=0", lambda pieces: pieces == 2),
    ("finish-twice", lambda pieces: pieces == 2),
    ("finish-every at=reasoning after=1", lambda pieces: pieces > 40),
])  # fmt: skip
def test_text_follows_a_finish_reason(server: DemoServer, ask: Ask, good: Any, spec: str, reasons: Any) -> None:
    server.fault = spec
    heard = ask(server)
    assert reasons(sum(chunk["choices"][0]["finish_reason"] == "stop" for chunk in heard.chunks))
    assert heard.chunks[0]["choices"][0]["finish_reason"] is None
    assert (heard.text, heard.channel("reasoning_content")) == (good.text, good.channel("reasoning_content"))


def test_the_last_chunk_repeats_the_answer_as_a_message(server: DemoServer, ask: Ask, good: Any) -> None:
    server.fault = "full-message"
    heard = ask(server)
    last = heard.chunks[-1]["choices"][0]
    thought = good.channel("reasoning_content")
    assert heard.text == good.text
    assert last["message"] == {"role": "assistant", "content": good.text, "reasoning_content": thought}
    assert "delta" not in last
    heard = ask(server, "the weather", tools=[WEATHER], thinking=OFF)
    (call,) = heard.chunks[-1]["choices"][0]["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("weather", {})


@pytest.mark.parametrize(("type", "label"), [
    ("plain", "text/plain"), ("json", "application/json"), ("html", "text/html; charset=utf-8"), ("none", None),
])  # fmt: skip
def test_a_stream_has_the_wrong_label_or_none(
    server: DemoServer, ask: Ask, good: Any, type: str, label: str | None
) -> None:
    server.fault = f"wrong-type type={type}"
    heard = ask(server)
    assert (heard.headers.get("content-type"), heard.text) == (label, good.text)


def test_the_last_event_lacks_its_blank_line(server: DemoServer, ask: Ask, good: Any) -> None:
    server.fault = "no-blank-line"
    heard = ask(server)
    assert heard.body.endswith(b"}\n")
    assert not heard.body.endswith(b"\n\n")
    assert (heard.finish, heard.text) == ("stop", good.text)


def test_pings_arrive_as_events_with_and_without_a_name(server: DemoServer, ask: Ask, good: Any) -> None:
    server.fault = "ping-events at=content after=2"
    body = ask(server).body
    assert body.count(b"event: ping\ndata: ") == 1
    assert body.replace(b"event: ping\n", b"").count(b'data: {"type":"ping"}\n\n') == 2


def test_blank_space_floods_before_the_answer(server: DemoServer, ask: Ask, good: Any) -> None:
    server.fault = "whitespace bytes=1024"
    assert ask(server).text == " " * 1024 + good.text


def test_a_continuation_can_repeat_its_prefix_or_say_something_else(server: DemoServer, ask: Ask, http: Ask) -> None:
    whole = ask(server, "hi")
    messages: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
    messages.append({"role": "assistant", "content": whole.text[:50], "prefix": True})
    asked = {"model": "deepseek-flash", "messages": messages, "stream": True}
    server.fault = "echo-prefix on=prefix"
    assert http(server, asked, path="/beta/chat/completions").text == whole.text
    thought = whole.channel("reasoning_content")
    messages[1] |= {"content": "", "reasoning_content": thought[:20]}
    heard = http(server, asked, path="/beta/chat/completions")
    assert (heard.channel("reasoning_content"), heard.text) == (thought, whole.text)
    server.fault = "diverge"
    assert not whole.text.startswith(ask(server, "hi").text)


# what the server tells about it


def test_the_server_notes_which_request_met_which_fault(server: DemoServer, ask: Ask) -> None:
    server.fault = "cut at=content times=1"
    ask(server)
    ask(server)
    first, second = server.requests[-2:]
    assert (first.fault, first.ended) == ("cut at=content times=1", "fault")
    assert (second.fault, second.ended) == ("", "done")


def test_the_panel_switches_faults_over_http(server: DemoServer, http: Ask) -> None:
    asked = {"path": "/_demo/fault", "content_type": "application/json"}
    heard = http(server, {"fault": "429 times=2"}, **asked)
    assert heard.json["fault"] == "429 times=2"
    assert heard.json["legend"] == [str(KINDS["429"].legend)]
    assert server.fault == "429 times=2"
    assert "did you mean cut?" in http(server, {"fault": "cutt"}, **asked).json["error"]["message"]
    assert server.fault == "429 times=2"
    http(server, {"fault": None}, **asked)
    assert http(server, path="/_demo", method="GET").json["fault"] is None
    assert set(http(server, path="/_demo", method="GET").json["kinds"]) == set(KINDS)


@pytest.mark.parametrize(("status", "headers"), [
    (400, {"content_type": "text/plain"}),
    (400, {"content_type": "text/plain; application/json"}),
    (400, {"content_type": "application/jsonp"}),
    (403, {"content_type": "application/json", "host": "evil.example:8000"}),
    (403, {"content_type": "application/json", "host": "127.0.0.1.evil.example"}),
    (403, {"content_type": "application/json", "origin": "https://evil.example"}),
    (403, {"content_type": "application/json", "origin": "null"}),
])  # fmt: skip
def test_a_web_page_cannot_switch_faults(server: DemoServer, http: Ask, status: int, headers: dict[str, str]) -> None:
    assert http(server, {"fault": "cut"}, path="/_demo/fault", **headers).status == status
    assert server.fault is None


@pytest.mark.parametrize(("method", "path"), [("GET", "/_demo"), ("GET", "/models"), ("POST", "/chat/completions")])
def test_nothing_is_served_under_a_foreign_name_and_all_of_it_as_localhost(
    server: DemoServer, http: Ask, method: str, path: str
) -> None:
    asked = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "hi"}]}
    assert http(server, asked, method=method, path=path, host="rebound.example").status == 403
    for host in ("localhost:8000", "demo.localhost", "[::1]:80"):
        assert http(server, asked, method=method, path=path, host=host, origin=f"http://{host}").status == 200


@pytest.mark.parametrize("spec", ["cut", "reset", "eof-chunked", "eof-close", "stall"])
def test_an_unstreamed_answer_breaks_in_its_middle(server: DemoServer, http: Ask, spec: str) -> None:
    server.fault = spec
    heard = http(server, {"model": "deepseek-flash", "messages": [{"role": "user", "content": "hi"}]}, quiet_s=5.0)
    assert heard.status == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        json.loads(heard.body)
