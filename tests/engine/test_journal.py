"""The journal on a real disk, with real processes that die, collide and run out of room."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from deepseek_magic.engine.journal import writer as journal_writer
from deepseek_magic.engine.journal.file import SCHEMA, default_path
from deepseek_magic.engine.journal.reader import JOURNAL_COLUMNS, Journal
from deepseek_magic.engine.journal.stored import begun, ended
from deepseek_magic.engine.trials.store import SweepStore
from deepseek_magic.metrics.log import COLUMNS
from deepseek_magic.metrics.record import StreamRecord
from deepseek_magic.protocol.chat import ChatMessage, Request
from deepseek_magic.protocol.completion import Accumulator, Completion, ToolCall
from deepseek_magic.protocol.errors import IncompleteStream
from deepseek_magic.protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    Heartbeat,
    ReasoningDelta,
    ResponseStarted,
    Seam,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
    Waiting,
)

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX processes and modes")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
STREAM: list[Event] = [
    AttemptStarted(attempt=1),
    Heartbeat(comment="keep-alive"),
    ResponseStarted(id="id-1", model="deepseek-flash"),
    ReasoningDelta(text="Let me "),
    ReasoningDelta(text="think."),
    TextDelta(text="Hello, "),
    TextDelta(text="wor"),
    Waiting(reason="backoff", seconds=1.0),
    AttemptStarted(attempt=2, strategy="continue"),
    Seam(kind="continued", at_chars=7),
    TextDelta(text="世界!"),
    UsageReport(usage=Usage(prompt_tokens=3, completion_tokens=4)),
]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "home" / "journal.sqlite3")
    yield journal
    journal.close()


def completed(request: Request, events: list[Event] = STREAM) -> Completion:
    answer = Accumulator(request)
    for event in [*events, Finish(reason="stop")]:
        answer.add(event)
    return answer.completion()


def recorded(call_id: str, **changes: object) -> StreamRecord:
    values: dict[str, object] = {"model": "deepseek-flash", "outcome": "complete", "total_s": 1.5, "started_at": AT}
    return StreamRecord(call_id=call_id, cost=Decimal("0.0000123"), **{**values, **changes})  # type: ignore[arg-type]


def ask(journal: Journal, call_id: str, prompt: str = "Say hello", at: datetime = AT) -> Completion:
    """A whole call."""
    request = Request.of(prompt)
    journal.begin(call_id, request, "deepseek", run_id="r1", started_at=at)
    journal.append(call_id, STREAM)
    completion = completed(request)
    journal.end(call_id, completion, recorded(call_id, started_at=at))
    return completion


def run_python(code: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def test_a_call_comes_back_as_it_was(journal: Journal) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    earlier = ChatMessage(role="assistant", content="", tool_calls=({"id": "t", "type": "function"},))
    request = Request.of([ChatMessage(role="user", content="hi"), earlier], stop=["a", "b"], tools=tools)
    completion = Completion(
        request=request,
        text="Hello, 世界!",
        reasoning="hm",
        outcome="complete",
        finish_reason="stop",
        tool_calls=(ToolCall(index=0, id="t", name="f", arguments="{}"),),
        id="id-1",
        model="deepseek-flash",
        usage=Usage(prompt_tokens=3, completion_tokens=4, estimated=True),
        attempts=2,
        seams=(Seam(kind="continued", at_chars=7),),
        anomalies=("missing_done",),
    )
    record = recorded("c1", price_date=AT.date())
    journal.begin("c1", request, "deepseek", run_id="r1", started_at=AT)
    journal.end("c1", completion, record)
    entry = journal.get("c1")
    assert entry is not None
    assert (entry.call_id, entry.run_id, entry.endpoint, entry.started_at) == ("c1", "r1", "deepseek", AT)
    assert entry.ended_at is not None
    assert entry.record == record
    for name in ("request", "text", "reasoning", "outcome", "finish_reason", "tool_calls", "id", "model", "usage"):
        assert getattr(entry.completion, name) == getattr(completion, name), name
    for name in ("attempts", "seams", "anomalies", "error"):
        assert getattr(entry.completion, name) == getattr(completion, name), name
    assert journal.get("c2") is None


def test_an_error_comes_back_as_its_sentence(journal: Journal) -> None:
    request = Request.of("hi")
    journal.begin("c1", request, "deepseek")
    error = IncompleteStream("The answer broke off.", hint="Try again.")
    journal.end("c1", Completion(request=request, error=error), None)
    entry = journal.get("c1")
    assert entry is not None
    assert str(entry.completion.error) == "The answer broke off. Try again."
    assert entry.row()["error"] == "The answer broke off. Try again."


def test_nothing_is_made_before_the_first_call(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "home" / "journal.sqlite3")
    assert journal.rows() == []
    assert journal.search("x") == []
    assert journal.resumable() == []
    assert journal.prune(keep_days=1) == 0
    assert len(journal) == 0
    assert "0 calls" in journal._repr_mimebundle_()["text/plain"]
    assert not (tmp_path / "home").exists()


def test_a_journal_that_is_switched_off_writes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "home" / "journal.sqlite3", enabled=False)
    ask(journal, "c1")
    assert journal.flush()
    assert not (tmp_path / "home").exists()


@POSIX
def test_only_the_owner_may_read_it(journal: Journal) -> None:
    ask(journal, "c1")
    assert journal.flush()
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700
    files = list(journal.path.parent.iterdir())
    assert len(files) >= 2  # the write-ahead log too
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@POSIX
def test_a_file_that_others_could_read_is_closed_to_them(journal: Journal) -> None:
    journal.path.parent.mkdir()
    journal.path.touch(mode=0o644)
    ask(journal, "c1")
    assert journal.flush()
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


@POSIX
def test_a_folder_that_all_may_write_is_closed_and_one_that_is_everybodys_ends_in_a_notice(journal: Journal) -> None:
    folder = journal.path.parent
    folder.mkdir()
    folder.chmod(0o777)
    ask(journal, "c1")
    assert journal.flush()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o1777)
    other = Journal(folder / "other.sqlite3")
    ask(other, "c2")
    other.flush()
    assert f"others may write the folder {folder}" in str(other.notice)
    assert (stat.S_IMODE(folder.stat().st_mode), other.path.exists()) == (0o1777, False)


@POSIX
def test_a_symbolic_link_is_not_followed_and_missing_parents_are_the_owners_alone(tmp_path: Path) -> None:
    target = tmp_path / "of-somebody"
    target.write_text("theirs")
    target.chmod(0o644)
    journal = Journal(tmp_path / "a" / "b" / "journal.sqlite3")
    journal.path.parent.mkdir(parents=True)
    journal.path.symlink_to(target)
    ask(journal, "c1")
    journal.flush()
    assert "is a symbolic link" in str(journal.notice)
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("theirs", 0o644)
    made = Journal(tmp_path / "c" / "d" / "journal.sqlite3")
    ask(made, "c1")
    assert made.flush()
    assert {stat.S_IMODE((tmp_path / each).stat().st_mode) for each in ("c", "c/d")} == {0o700}


def test_it_lies_in_the_magics_home_or_in_the_users_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEEPSEEK_MAGIC_HOME", str(tmp_path / "here"))
    assert Journal().path == tmp_path / "here" / "journal.sqlite3"
    monkeypatch.delenv("DEEPSEEK_MAGIC_HOME")
    assert default_path().parent.name == "deepseek-magic"


def test_a_call_under_way_can_be_read_with_its_seams_applied(journal: Journal) -> None:
    journal.begin("c1", Request.of("hi"), "deepseek")
    journal.append("c1", STREAM[:7])
    assert journal.flush()
    journal.append("c1", STREAM[7:])
    entry = journal.get("c1")
    assert entry is not None
    assert entry.ended_at is None
    assert (entry.completion.text, entry.completion.reasoning) == ("Hello, 世界!", "Let me think.")
    assert (entry.completion.outcome, entry.completion.usage.completion_tokens) == ("incomplete", 4)
    assert entry.row()["chars"] == len("Hello, 世界!")
    assert list(entry.row()) == list(JOURNAL_COLUMNS)
    assert journal.resumable() == []  # it is under way


def test_pieces_are_gone_when_the_call_has_ended(journal: Journal) -> None:
    journal.begin("c1", Request.of("hi"), "deepseek")
    journal.append("c1", STREAM)
    assert journal.flush()
    journal.end("c1", completed(Request.of("hi")), None)
    assert journal.flush()
    with sqlite3.connect(journal.path) as connection:
        assert connection.execute("SELECT count(*) FROM pieces").fetchone() == (0,)
    connection.close()


def test_half_a_tool_call_is_noted_and_never_becomes_a_tool_call(journal: Journal) -> None:
    journal.begin("c1", Request.of("hi"), "deepseek")
    journal.append("c1", [ToolCallDelta(index=0, id="t", name="f", arguments='{"a": ')])
    entry = journal.get("c1")
    assert entry is not None
    assert entry.completion.tool_calls == ()


def test_search_finds_prompts_answers_and_reasoning_literally(journal: Journal) -> None:
    ask(journal, "c1", "What is 100% of it?")
    ask(journal, "c2", "Other_thing", at=AT + timedelta(seconds=1))
    journal.begin("c3", Request.of("open"), "deepseek", started_at=AT + timedelta(seconds=2))
    journal.append("c3", [TextDelta(text="still ru"), TextDelta(text="nning")])

    def found(text: str) -> list[str]:
        return [entry.call_id for entry in journal.search(text)]

    assert found("100% OF") == ["c1"]
    assert found("%") == ["c1"]
    assert found("r_t") == ["c2"]
    assert found("世界") == ["c2", "c1"]
    assert found("let me think") == ["c2", "c1"]
    assert found("running") == ["c3"]
    assert found("nowhere") == []
    assert [entry.call_id for entry in journal.search("世界", limit=1)] == ["c2"]


def test_rows_have_the_columns_of_the_log_and_the_words(journal: Journal) -> None:
    ask(journal, "c1")
    ask(journal, "c2", at=AT + timedelta(seconds=1))
    rows = journal.rows()
    assert [row["call_id"] for row in rows] == ["c1", "c2"]
    assert [row["call_id"] for row in journal.rows(1)] == ["c2"]
    assert list(rows[0])[: len(COLUMNS)] == list(COLUMNS)
    assert (rows[0]["prompt"], rows[0]["text"], rows[0]["cost"]) == ("Say hello", "Hello, 世界!", 0.0000123)


def test_the_data_frames_hold_the_rows(journal: Journal) -> None:
    ask(journal, "c1")
    journal.begin("c2", Request.of("open"), "deepseek", started_at=AT + timedelta(seconds=1))
    rows = journal.rows()
    assert journal.to_arrow().to_pylist() == rows
    assert journal.to_polars().to_dicts() == rows
    assert journal.to_polars().schema["started_at"] == pl.Datetime("us", "UTC")
    assert journal.to_pandas()["text"].tolist() == ["Hello, 世界!", ""]


def test_the_key_is_masked_wherever_it_was_written(tmp_path: Path) -> None:
    key = "sk-test-1234"
    journal = Journal(tmp_path / "home" / "journal.sqlite3", mask=lambda text: text.replace(key, "sk-…"))
    request = Request.of(f"my key is {key}", system=f"it is {key}")
    journal.begin("c1", request, "deepseek")
    journal.append("c1", [TextDelta(text=f"You said {key}.")])
    assert journal.flush()
    error = IncompleteStream(f"401 for {key}")
    journal.end("c1", Completion(request=request, text=f"You said {key}.", reasoning=key, error=error), None)
    journal.close()
    stored = b"".join(file.read_bytes() for file in (tmp_path / "home").iterdir())
    assert key.encode() not in stored
    entry = journal.get("c1")
    assert entry is not None
    assert entry.completion.text == "You said sk-…."


def test_a_prompt_with_half_a_character_is_stored(journal: Journal) -> None:
    request = Request.of("half: \ud83d")
    journal.begin("c1", request, "deepseek")
    journal.end("c1", completed(request), None)
    entry = journal.get("c1")
    assert entry is not None
    assert entry.completion.request == request
    assert journal.notice == ""


def test_old_calls_are_pruned_and_their_text_leaves_the_file(journal: Journal) -> None:
    now = datetime.now(UTC)
    ask(journal, "old", "the old secret", at=now - timedelta(days=40))
    ask(journal, "new", at=now - timedelta(days=20))
    journal.begin("busy", Request.of("x"), "deepseek", started_at=now - timedelta(days=50))
    journal.append("busy", [TextDelta(text="still coming")])
    assert journal.prune(keep_days=30) == 1
    assert {row["call_id"] for row in journal.rows()} == {"new", "busy"}
    busy = journal.get("busy")
    assert busy is not None
    assert busy.completion.text == "still coming"
    journal.close()
    assert b"the old secret" not in b"".join(file.read_bytes() for file in journal.path.parent.iterdir())


@POSIX
def test_a_kernel_killed_in_the_middle_loses_at_most_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    code = """
        import sys, time
        from deepseek_magic.engine.journal.reader import Journal
        from deepseek_magic.protocol.chat import Request
        from deepseek_magic.protocol.events import AttemptStarted, TextDelta
        journal = Journal(sys.argv[1])
        journal.begin("c1", Request.of("count"), "deepseek")
        journal.append("c1", [AttemptStarted()])
        for i in range(10_000):
            journal.append("c1", [TextDelta(text=f"{i} ")])
            print(i, time.monotonic(), flush=True)
            time.sleep(0.01)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    seen = [child.stdout.readline().split() for _ in range(250)]
    killed_s = time.monotonic()
    child.send_signal(signal.SIGKILL)
    seen += [line.split() for line in child.communicate(timeout=10)[0].splitlines()]
    (entry,) = Journal(path).resumable()
    kept = entry.completion.text.split()
    assert kept == [str(i) for i in range(len(kept))]  # no hole, no doubling
    at_risk = [i for i, at_s in seen if killed_s - float(at_s) > 1.0]
    assert len(at_risk) > 50
    assert len(kept) >= len(at_risk)
    assert entry.completion.outcome == "incomplete"


@POSIX
def test_what_the_last_half_second_brought_is_written_at_exit(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    code = """
        import sys
        from deepseek_magic.engine.journal.reader import Journal
        from deepseek_magic.protocol.chat import Request
        from deepseek_magic.protocol.events import TextDelta
        journal = Journal(sys.argv[1])
        journal.begin("c1", Request.of("count"), "deepseek")
        journal.append("c1", [TextDelta(text="the last words")])
    """
    done = run_python(code, str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (entry,) = Journal(path).resumable()
    assert entry.completion.text == "the last words"


def test_kernels_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    code = """
        import sys
        from deepseek_magic.engine.journal.reader import Journal
        from deepseek_magic.protocol.chat import Request
        from deepseek_magic.protocol.completion import Completion
        from deepseek_magic.protocol.events import TextDelta
        journal, name = Journal(sys.argv[1]), sys.argv[2]
        for i in range(60):
            request = Request.of(f"{name} {i}")
            journal.begin(f"{name}-{i}", request, "deepseek")
            journal.append(f"{name}-{i}", [TextDelta(text="x")])
            if i % 3 == 0:
                journal.flush()
            journal.end(f"{name}-{i}", Completion(request=request, text=f"{name} {i}", outcome="complete"))
        assert journal.flush(20), journal.notice
        print(journal.notice)
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(path)]
    children = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "abc"]
    assert [child.communicate(timeout=60)[0].strip() for child in children] == ["", "", ""]
    journal = Journal(path)
    assert len(journal) == 180
    assert all(row["text"] == row["prompt"] for row in journal.rows())
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_file_locked_for_a_while_delays_writing_and_loses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite3")
    ask(journal, "c1")
    assert journal.flush()
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started_s = time.monotonic()
    ask(journal, "c2")
    assert time.monotonic() - started_s < 0.5  # the caller does not wait for the lock
    assert not journal.flush(1.5)
    other.execute("ROLLBACK")
    other.close()
    assert journal.flush(10)
    assert len(journal) == 2
    assert journal.notice == ""
    journal.close()


def test_a_file_locked_for_ever_gives_the_journal_up_with_one_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "GIVE_UP_S", 0.0)
    path = tmp_path / "journal.sqlite3"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("BEGIN IMMEDIATE")
    journal = Journal(path)
    ask(journal, "c1")
    assert not journal.flush(20)
    ask(journal, "c2")
    assert not journal.flush(1)
    other.close()
    assert "another program holds it locked" in str(journal.notice)


@pytest.mark.parametrize("obstacle", ["a file where a folder should be", "a folder", "no database"])
def test_a_place_that_cannot_be_written_ends_in_one_notice(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "there" / "journal.sqlite3"
    if obstacle == "a folder":
        path.mkdir(parents=True)
    elif obstacle == "no database":
        path.parent.mkdir()
        path.write_bytes(b"this is not a database, it only lies where one should be" * 100)
    else:
        path.parent.write_text("a file")
    journal = Journal(path)
    ask(journal, "c1")
    assert not journal.flush(10)
    ask(journal, "c2")
    assert "cannot be written" in str(journal.notice)


def test_where_no_thread_can_be_had_the_journal_is_given_up_with_one_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    journal = Journal(tmp_path / "journal.sqlite3")
    monkeypatch.setattr(threading.Thread, "start", start)
    ask(journal, "c1")
    assert "cannot be written (can't start new thread)" in str(journal.notice)
    ask(journal, "c2")
    journal.close()
    assert len(journal) == 0


@POSIX
def test_a_full_disk_ends_in_one_notice_and_not_in_the_answer(tmp_path: Path) -> None:
    code = """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # no file may grow beyond this
        from deepseek_magic.engine.journal.reader import Journal
        from deepseek_magic.protocol.chat import Request
        from deepseek_magic.protocol.events import TextDelta
        journal = Journal(sys.argv[1])
        journal.begin("c1", Request.of("hi"), "deepseek")
        for i in range(20):
            journal.append("c1", [TextDelta(text="x" * 20_000)])
            journal.flush()
        print(journal.notice)
        print("answered")
    """
    done = run_python(code, str(tmp_path / "journal.sqlite3"))
    assert done.stderr == ""
    notice, answered = done.stdout.splitlines()
    assert "cannot be written" in notice
    assert answered == "answered"


@POSIX
def test_a_folder_that_is_read_only_ends_in_one_notice(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    code = """
        import os, sys
        from deepseek_magic.engine.journal.reader import Journal
        from deepseek_magic.engine.journal import writer as journal_writer
        from deepseek_magic.protocol.chat import Request
        import deepseek_magic.metrics.log
        if os.geteuid() == 0:
            os.setuid(65534)  # root may write everywhere
        journal = Journal(sys.argv[1])
        journal.begin("c1", Request.of("hi"), "deepseek")
        journal.flush()
        print(journal.notice)
    """
    done = run_python(code, str(locked / "journal.sqlite3"))
    assert done.stderr == ""
    (notice,) = done.stdout.splitlines()
    assert "cannot be written" in notice


def test_any_other_fault_of_the_journal_ends_in_one_notice_too(tmp_path: Path) -> None:
    def broken(text: str) -> str:
        raise KeyError("a bug")

    journal = Journal(tmp_path / "home" / "journal.sqlite3", mask=broken)
    ask(journal, "c1")
    assert not journal.flush(10)
    assert journal.notice


def test_a_journal_of_a_newer_version_is_left_alone(journal: Journal) -> None:
    ask(journal, "c1")
    journal.close()
    connection = sqlite3.connect(journal.path)
    connection.execute(f"PRAGMA user_version = {len(SCHEMA) + 1}")
    connection.close()
    newer = Journal(journal.path)
    ask(newer, "c2")
    assert not newer.flush()
    assert "a newer version made it" in str(newer.notice)
    connection = sqlite3.connect(journal.path)
    assert connection.execute("SELECT call_id FROM calls").fetchall() == [("c1",)]
    connection.close()


def test_a_call_of_another_machine_counts_as_dead_when_it_is_silent(journal: Journal) -> None:
    journal.begin("c1", Request.of("hi"), "deepseek")
    assert journal.flush()
    journal.close()
    reader = Journal(journal.path)
    for seen_at, dead in ((datetime.now(UTC), False), (datetime.now(UTC) - timedelta(minutes=1), True)):
        connection = sqlite3.connect(journal.path, isolation_level=None)
        connection.execute("UPDATE calls SET host = 'elsewhere', seen_at = ?", (seen_at.isoformat(),))
        connection.close()
        assert bool(reader.resumable()) is dead


def test_a_silent_call_says_that_it_lives_so_that_no_other_kernel_takes_it_for_dead(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "LEASE_S", 0.0)
    journal.begin("c1", Request.of("hi"), "deepseek")
    assert journal.flush()
    connection = sqlite3.connect(journal.path, isolation_level=None)
    connection.execute("UPDATE calls SET host = 'elsewhere', seen_at = ?", (AT.isoformat(),))
    connection.close()
    elsewhere = Journal(journal.path)
    assert elsewhere.resumable()
    assert journal.flush()
    assert not elsewhere.resumable()


def test_a_stream_of_many_small_deltas_is_held_as_its_text() -> None:
    import tracemalloc

    stream = journal_writer._Stream()
    tracemalloc.start()
    try:
        for i in range(60_000):
            stream.add([TextDelta(text=f"w{i % 10} ")])
        assert tracemalloc.get_traced_memory()[0] < 60_000 * 3 * 4 + 100_000  # at most four bytes a character
    finally:
        tracemalloc.stop()
    (merged,) = stream.drain()
    assert isinstance(merged, TextDelta)
    assert len(merged.text) == 180_000


def test_the_view_escapes_what_the_model_wrote(journal: Journal) -> None:
    ask(journal, "c1", "<script>alert(1)</script>\x1b[31m")
    bundle = journal._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"]
    assert "\x1b" not in bundle["text/plain"] + bundle["text/html"]
    assert "1 call in" in bundle["text/plain"]


def test_a_journal_of_the_first_shape_is_brought_to_the_newest_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    with sqlite3.connect(path) as old:
        old.executescript(SCHEMA[0])
        old.execute("PRAGMA user_version = 1")
        columns = (
            "call_id, host, pid, started_at, seen_at, ended_at, endpoint, request, prompt, text, reasoning, completion"
        )
        request = '{"messages": [{"role": "user", "content": "hi", "tool_calls": []}], "options": {}}'
        values = (
            "old",
            "h",
            1,
            AT.isoformat(),
            AT.isoformat(),
            AT.isoformat(),
            "deepseek",
            request,
            "hi",
            "yes",
            "",
            "{}",
        )
        old.execute(f"INSERT INTO calls ({columns}) VALUES ({', '.join('?' * len(values))})", values)
    old.close()
    journal = Journal(path)
    assert journal.saved_chats(but_run="me") == []
    request = Request.of("new")
    journal.begin("c1", request, "deepseek", base_url="https://a")
    journal.end("c1", completed(request), recorded("c1", prompt_sha256=request.digest()))
    assert [entry.completion.text for entry in journal.search("e")] == ["Hello, 世界!", "yes"]
    found = journal.answer_to(Request.of("new"), "https://a")
    assert found is not None
    assert found.call_id == "c1"
    assert journal.answer_to(Request.of("new"), "https://b") is None
    journal.close()


def test_a_journal_of_the_third_shape_is_brought_to_the_newest_and_an_old_kernel_writes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("PRAGMA journal_mode = WAL")
    for script in SCHEMA[:3]:
        old.executescript(script)
    old.execute("PRAGMA user_version = 3")
    request, at = Request.of("asked by the old kernel"), AT.isoformat()
    _, values = begun("c1", request, "deepseek", "https://a", "r0", AT, at)[0]
    names = "call_id, run_id, host, pid, started_at, seen_at, endpoint, base_url, request, prompt"
    old.execute(f"INSERT INTO calls ({names}) VALUES ({', '.join('?' * 10)})", values[:10])
    journal = Journal(path)
    assert SweepStore(journal).heads() == []  # reading changes nothing
    ask(journal, "c2")
    assert journal.flush(30)
    for sql, row in ended("c1", completed(request), recorded("c1"), at):  # its connection is open, and stays of use
        old.execute(sql, row)
    old.execute("INSERT INTO chats VALUES ('r0', 'main', '', ?, '[]')", (at,))
    old.close()
    assert {row["call_id"] for row in journal.rows()} == {"c1", "c2"}
    assert journal.get("c1").completion.text == completed(request).text  # type: ignore[union-attr]
    assert journal.stored("PRAGMA user_version")[0][0] == len(SCHEMA)
    assert {row[0] for row in journal.stored("SELECT name FROM sqlite_master WHERE type = 'table'")} >= {
        *("calls", "pieces", "chats", "sweeps", "trials", "scores", "accounts", "holds")
    }
    journal.close()


def test_an_answer_that_nobody_was_given_is_never_the_one_to_resume(journal: Journal) -> None:
    """The loser of two requests is as unfinished as an answer that was stopped, and newer than the one that was used."""
    request = Request.of("Say hello")
    broken = replace(completed(request), outcome="incomplete")
    later = AT + timedelta(seconds=2)
    journal.begin("used", request, "deepseek", started_at=AT, purpose="ask")
    journal.begin("lost", request, "deepseek", started_at=later, purpose="hedge")
    journal.end("used", broken, recorded("used", outcome="incomplete", purpose="ask"))
    journal.end("lost", broken, recorded("lost", outcome="interrupted", purpose="hedge", used=False, started_at=later))
    assert [entry.call_id for entry in journal.resumable()] == ["used"]
    assert [(row["purpose"], row["used"]) for row in journal.rows()] == [("ask", True), ("hedge", False)]
    assert journal.spent().calls == 2


def test_why_a_call_was_sent_is_known_although_it_never_ended(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.begin("c1", Request.of("hi"), "deepseek", purpose="hedge")
    (row,) = journal.rows()
    assert (row["purpose"], row["used"]) == ("hedge", None)
    monkeypatch.setattr(Journal, "_is_alive", lambda *_: False)
    assert journal.resumable() == []


def test_an_answer_that_was_given_to_somebody_after_all_is_there_to_resume_and_its_end_says_the_rest(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request.of("hi")
    journal.begin("c1", request, "deepseek", purpose="ahead")
    journal.append("c1", [TextDelta(text="Hel")])
    journal.taken("c1")
    monkeypatch.setattr(Journal, "_is_alive", lambda *_: False)
    (entry,) = journal.resumable()
    assert (entry.call_id, entry.completion.text, entry.taken) == ("c1", "Hel", True)
    journal.end("c1", completed(request), recorded("c1", purpose="ahead", used=False))
    journal.taken("c1")
    found = journal.get("c1")
    assert found is not None
    assert (found.is_used, found.taken, found.completion.outcome) == (False, False, "complete")


def test_a_file_that_knows_no_purposes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    with sqlite3.connect(path) as old:
        for script in SCHEMA[:5]:
            old.executescript(script)
        old.execute("PRAGMA user_version = 5")
        _, values = begun("c1", Request.of("hi"), "deepseek", None, None, AT, AT.isoformat())[0]
        names = "call_id, run_id, host, pid, started_at, seen_at, endpoint, base_url, request, prompt"
        old.execute(f"INSERT INTO calls ({names}) VALUES ({', '.join('?' * 10)})", values[:10])
    old.close()
    (row,) = Journal(path).rows()
    assert (row["call_id"], row["purpose"]) == ("c1", None)


def test_what_is_asked_of_the_file_is_answered_when_it_is_on_disk_with_all_that_came_before(journal: Journal) -> None:
    ask(journal, "c1")
    answer = journal.transact(lambda file: file.execute("SELECT count(*) FROM calls").fetchone()[0])
    assert answer.result(30) == 1
    with sqlite3.connect(journal.path) as other:
        assert other.execute("SELECT count(*) FROM calls").fetchone()[0] == 1
    other.close()


def test_a_work_that_fails_takes_back_what_it_wrote_and_nothing_else(journal: Journal) -> None:
    def work(file: sqlite3.Connection) -> None:
        file.execute("DELETE FROM calls")
        raise ValueError("no")

    ask(journal, "c1")
    with pytest.raises(ValueError, match="no"):
        journal.transact(work).result(30)
    assert [row["call_id"] for row in journal.rows()] == ["c1"]


def test_who_waits_for_a_journal_that_was_given_up_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    journal = Journal(tmp_path / "home" / "journal.sqlite3")
    with pytest.raises(journal_writer.JournalLost, match="cannot be written"):
        journal.transact(lambda file: None).result(30)
    with pytest.raises(journal_writer.JournalLost):
        journal.transact(lambda file: None).result(30)
