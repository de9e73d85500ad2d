"""What a type checker knows of the public names. mypy reads this file; nobody runs it.

Each name of the public interface is used as a reader of the documentation would, and its type is stated. A change that
breaks a user's annotations breaks this file first.
"""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, assert_type

import deepseek_magic as ds
from deepseek_magic.engine.hosts.health import Balance, Health
from deepseek_magic.engine.journal.reader import Entry
from deepseek_magic.metrics.row import Cell
from deepseek_magic.notebook.cost.table import NotebookCost
from deepseek_magic.notebook.panel.panel import Panel
from deepseek_magic.policy.pricing import Cost
from deepseek_magic.protocol.completion import Kept
from deepseek_magic.protocol.events import Event, Seam, TextDelta, Usage
from deepseek_magic.protocol.experiments.scoring import Scorer
from deepseek_magic.protocol.measured import StreamRecord
from deepseek_magic.protocol.models import Model
from deepseek_magic.protocol.outcome import Outcome
from deepseek_magic.protocol.schema import Schema
from deepseek_magic.protocol.sse import Comment, ServerSentEvent, SSEDecoder


def asking() -> None:
    assert_type(ds.ask("Why?"), ds.Completion)
    assert_type(ds.ask("Why?", model="deepseek-flash", temperature=0.2, think="off"), ds.Completion)
    assert_type(ds.ask("Why?", endpoint="demo", base_url=None, api_key="sk-test-1234", chat="main"), ds.Completion)
    assert_type(ds.ask([{"role": "user", "content": "Why?"}]), ds.Completion)
    assert_type(ds.ask([ds.Message(role="user", content="Why?")]), ds.Completion)
    assert_type(ds.ask("Why?", schema=dict), ds.Completion)
    assert_type(ds.resume(), ds.Completion)
    assert_type(ds.resume("1f3a"), ds.Completion)
    assert_type(ds.__version__, str)


def sweeping() -> None:
    assert_type(ds.plan("Why {x}?", over=[1, 2], grid={"temperature": [0, 1]}, repeats=2), ds.Plan)
    sweep = ds.sweep("Why {x}?", over="inputs.csv", model="deepseek-flash", budget=0.2, concurrency=8, name="tries")
    assert_type(sweep, ds.Sweep)
    assert_type(ds.sweep(sweep.plan, retry=True), ds.Sweep)
    assert_type(sweep.failed, list[dict[str, Cell]])
    assert_type(ds.sweeps["tries"], ds.Sweep)
    assert_type(ds.cost("notebook.ipynb"), NotebookCost)
    assert_type(ds.cost("notebook.ipynb").calls, int)
    assert_type(ds.map([{"text": "a"}], "Why {text}?", into="why", where=[True], schema=dict, budget=0.2), Any)


def scoring(plan: ds.Plan, compared: ds.Comparison) -> None:
    exact = ds.score.exact("{answer}")
    assert_type(exact, Scorer)
    assert_type(ds.score.number("{answer}", within=0.01, name="sum"), Scorer)
    assert_type(ds.score.one_of("yes", "no", expected="{label}"), Scorer)
    assert_type(ds.score.length(max_words=20), Scorer)
    assert_type(ds.score.judge("Is it polite?", choices={"yes": 1, "no": 0}, model="pro", votes=3), Scorer)
    assert_type(ds.score.prefer("Which is clearer?"), Scorer)
    assert_type(ds.score.function(lambda answer, row: answer == row["answer"]), Scorer)
    assert_type(exact.scores("42", {"answer": 42}), dict[str, ds.Score])
    assert_type(ds.Score(1.0, "yes", "because").value, float | None)
    assert_type(plan.digest, str)
    assert_type(next(plan.trials), ds.Trial)
    if plan.outlook is not None:
        assert_type(plan.outlook.cost.expected, Cost | None)
    assert_type(compared.difference, float | None)
    assert_type(compared.verdict, Literal["better", "worse", "cannot tell"])


async def awaiting() -> None:
    assert_type(await ds.asweep("Why {x}?", over=[1, 2]), ds.Sweep)
    assert_type(await ds.aask("Why?"), ds.Completion)


def a_completion(completion: ds.Completion) -> None:
    assert_type(completion.text, str)
    assert_type(completion.reasoning, str)
    assert_type(completion.tool_calls, tuple[ds.ToolCall, ...])
    assert_type(completion.finish_reason, str | None)
    assert_type(completion.outcome, Outcome)
    assert_type(completion.usage, Usage)
    assert_type(completion.model, str | None)
    assert_type(completion.id, str | None)
    assert_type(completion.attempts, int)
    assert_type(completion.seams, tuple[Seam, ...])
    assert_type(completion.error, ds.DeepSeekError | None)
    assert_type(completion.request, ds.Request)
    assert_type(str(completion), str)
    assert_type(completion.cost, Cost | None)
    assert_type(completion.record, StreamRecord | None)
    assert_type(completion.kept, Kept | None)
    assert_type(completion.schema, Schema | None)
    if completion.kept is not None:
        assert_type(completion.kept.cost, Cost | None)
    if completion.record is not None:
        assert_type(completion.record.ttft_s, float | None)
        assert_type(completion.record.paid, Cost | None)
    assert_type(completion.json, Any)  # as json.loads has it: what the model wrote
    assert_type(completion.value, Any)


async def a_client(request: ds.Request) -> None:
    async with ds.Client(
        "deepseek",
        api_key="sk-test-1234",
        recovery=ds.RecoveryPolicy(attempts=5, resumes=5, continuations=3, base_s=1.0, cap_s=10.0, jitter=0.25),
        limits=ds.LimitPolicy(requests_per_s=None, low_water=0.20, concurrency=4),
        timeouts=ds.Timeouts(connect_s=30, read_s=120, queue_s=620, total_s=None),
        transport=None,
        keep_warm_s=45,
    ) as client:
        assert_type(client, ds.Client)
        stream = client.stream("Why?", max_tokens=100)
        async for event in stream:
            assert_type(event, Event)
            if isinstance(event, TextDelta):
                assert_type(event.text, str)
        async for batch in stream.batches():
            assert_type(batch, list[Event])
        assert_type(stream.completion, ds.Completion)
        assert_type(await client.complete(request), ds.Completion)
        assert_type(await client.check(), Health)
        assert_type(await client.models(), list[Model])
        assert_type(await client.balance(), Balance)
    ds.Client("http://127.0.0.1:8642")
    ds.Client(ds.Endpoint(name="mine", title="Mine", base_url="http://127.0.0.1:8642", needs_key=False))


def the_log() -> None:
    assert_type(ds.log[-1], dict[str, Cell])
    assert_type(len(ds.log), int)
    assert_type(ds.log.records, tuple[StreamRecord, ...])
    ds.log.to_pandas()
    ds.log.to_polars()
    ds.log.to_arrow()
    ds.log.to_csv("calls.csv")
    ds.log.to_jsonl("calls.jsonl")
    ds.log.summary()
    ds.log.summary(window_s=60.0)
    ds.log.plot()


def the_journal() -> None:
    ds.journal.to_pandas()
    assert_type(ds.journal.search("why"), list[Entry])
    entry = ds.journal.get("1f3a")
    assert_type(entry, Entry | None)
    if entry is not None:
        assert_type(entry.completion, ds.Completion)
        assert_type(entry.started_at, datetime)


def values(request: ds.Request) -> None:
    ds.BufferPolicy(mode="balanced", min_chunks=5, start_chunks=8, max_chunks=15, realtime_chunks=2, max_delay_s=0.25)
    assert_type(request.digest(), str)
    assert_type({request: 1}, dict[ds.Request, int])


def the_panel() -> None:
    assert_type(ds.panel(), Panel)


def forecast(city: str) -> str:
    return city


def tools() -> None:
    tool = ds.Tool(name="f", description="", parameters={"type": "object"}, call=lambda arguments: arguments)
    answer = ds.ask("Why?", tools=[forecast, tool], confirm="once", confirm_wait=60)
    assert_type(answer.tool_runs, tuple[ds.ToolRun, ...])


def tapes() -> None:
    with ds.record("lesson.tape", overwrite=True) as recording:
        assert_type(recording.count, int)
        assert_type(recording.path, Path)
    with ds.replay("lesson.tape", pace=0, otherwise="ask") as replay:
        assert_type(replay.taken, int)


def errors() -> None:
    try:
        ds.ask("Why?")
    except (ds.AuthenticationError, ds.InsufficientBalance, ds.InvalidRequest, ds.RateLimited, ds.ServerError) as error:
        status: ds.APIStatusError = error
        assert_type(status.status, int)
    except (ds.ConnectTimeout, ds.ReadTimeout, ds.Disconnected) as error:
        transport: ds.TransportError = error
        assert_type(transport.completion, ds.Completion | None)
    except ds.RuleBroken as broken:
        assert_type(broken.rule, str)
    except ds.BudgetExceeded as over:
        assert_type(over.cap - over.spent - over.held, Decimal)
    except (ds.MissingKey, ds.NotOnTape, ds.ConfigurationError) as error:
        assert_type(error.localized(), str)
    except (ds.NotConfirmed, ds.ToolsEnded) as unrun:
        assert_type(unrun.completion, ds.Completion | None)
    except (ds.ProtocolError, ds.IncompleteStream) as error:
        base: ds.DeepSeekError = error
        assert_type(base.localized(), str)


def decoding() -> None:
    decoder = SSEDecoder()
    assert_type(decoder.feed(b"data: 1\n\n"), list[ServerSentEvent | Comment])
    assert_type(decoder.last_event_id, str)
    assert_type(decoder.retry_ms, int | None)
    item = ServerSentEvent(event="message", data="1", id="", retry=None)
    assert_type(item.data, str)
