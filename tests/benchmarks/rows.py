"""What is measured in processes: one function for each row of the plan, each of which makes a Table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from .measuring import Bench, title
from .report import Goal, Table, median, ratio

CLIENTS: Final = ("ours", "httpx", "httpx_sse", "openai", "langchain", "litellm", "article")
ROUND_TRIP_S: Final = 0.030

THIN_TRIP_S: Final = 0.013
THIN_BYTES_PER_S: Final = 500_000
"""The line of the article's ladder: on it the article's first step asks about as often as the article says (8.2 a second)."""
ARTICLE_CLAIM: Final = 2.8
BASIC: Final = "basic: requests, no session"
_LADDER_GOALS: Final = (("article", False, 1), ("openai", True, 32), ("ours", True, 5), ("ours", True, 32))


def _table(
    bench: Bench,
    peers: tuple[str, ...],
    measure: str,
    base_url: str,
    columns: Mapping[str, str],
    **how: Any,
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The medians and the missing, under the names that the report shows; ``columns``: figure → what it is called."""
    found, missing = bench.in_turns(peers, measure, base_url, **how)
    rows = {
        title(peer): {columns[name]: value for name, value in found[peer].items() if name in columns} for peer in found
    }
    return rows, {title(peer): why for peer, why in missing.items()}


def _cpu(
    bench: Bench,
    id_: str,
    heading: str,
    how: str,
    goals: tuple[tuple[str, float], ...],
    *,
    peers: tuple[str, ...] = CLIENTS,
    **load: Any,
) -> Table:
    column = "CPU µs per chunk"
    rows, missing = _table(bench, peers, "cpu", bench.http, {"us_per_chunk": column}, **load)
    ours = rows.get(title("ours"), {}).get(column)
    against = [
        Goal(
            says=f"CPU per chunk, ours / {title(peer)}",
            value=ratio(ours, rows.get(title(peer), {}).get(column)),
            limit=limit,
        )
        for peer, limit in goals
    ]
    return Table(
        id=id_,
        title=heading,
        how=how,
        columns=(column,),
        rows=rows,
        missing=missing,
        goals=tuple(against),
        relative_to=title("ours"),
    )


def ready(bench: Bench) -> Table:
    """P1."""
    chunks = 1_000 if bench.short else 20_000
    return _cpu(
        bench,
        "P1",
        "CPU per chunk, all data ready",
        f"{chunks:,} chunks of 300 bytes, each an HTTP chunk of its own, sent as fast as they are taken.",
        (("openai", 0.04), ("httpx", 0.4)),
        chunks=chunks,
    )


def paced(bench: Bench) -> Table:
    """P2."""
    chunks = 200 if bench.short else 3_000
    return _cpu(
        bench,
        "P2",
        "CPU per chunk, 1,000 chunks a second",
        f"{chunks:,} chunks, one a millisecond: every one wakes the client.",
        (("openai", 0.45), ("httpx", 0.75)),
        chunks=chunks,
        per_s=1000,
    )


def at_once(bench: Bench) -> Table:
    """P3. The article's loop blocks, so it cannot take part."""
    chunks, streams, per_s = (20, 8, 50) if bench.short else (150, 32, 50)
    return _cpu(
        bench,
        "P3",
        f"CPU per chunk, {streams} answers at once",
        f"{streams} answers of {chunks} chunks at the same time, each {per_s} chunks a second, each chunk taken as it comes. The article's loop "
        "blocks. The last row does nothing with the bytes: waking up is most of what any client costs here.",
        (("openai", 0.15),),
        peers=(*CLIENTS[:-1], "aiohttp", "asyncio"),
        chunks=chunks,
        per_s=per_s,
        at_once=streams,
    )


def first_token(bench: Bench) -> Table:
    """P4."""
    calls = 2 if bench.short else 5
    columns = {"cold_ms": "cold, ms", "warm_ms": "warm, ms", "connections": "connections opened"}
    with bench.far_away(round_trip_s=ROUND_TRIP_S) as url:
        rows, missing = _table(bench, CLIENTS, "first_token", url, columns, calls=calls)
        made = []
        for _ in range(bench.rounds):
            before = bench.told()["connections"]
            made.append(bench.one("ours", "prewarmed", url)["prewarmed_ms"])
        before = bench.told()["connections"]
        bench.one("ours", "first_token", url, calls=calls)
        opened = bench.told()["connections"] - before - 1  # asking for the number is a connection, too
    ours, httpx = rows[title("ours")], rows.get(title("httpx"), {})
    early = f"{title('ours')}, connected beforehand"
    rows[early] = {"warm, ms": median(made)}
    warm, floor = ours["warm, ms"], httpx.get("warm, ms")
    return Table(
        id="P4",
        title="Time to the first token, TLS, 30 ms round trip",
        how=f"Cold: client made, certificates read, connected, asked. Warm: the median of {calls} more calls of that client. "
        "Imports are not counted. The server answers at once.",
        columns=("cold, ms", "warm, ms"),
        rows=rows,
        missing=missing,
        goals=(
            Goal(says="warm, ours − bare httpx, ms", value=None if floor is None else warm - floor, limit=1),
            Goal(
                says="first call when connected beforehand / cold",
                value=ratio(median(made), ours["cold, ms"]),
                limit=0.35,
            ),
            Goal(says=f"connections opened by {calls + 1} calls", value=opened, limit=1),
        ),
    )


def ladder(bench: Bench) -> Table:
    """P5."""
    requests, many = (4, 8) if bench.short else (40, 128)
    steps: tuple[tuple[str, str, bool, int], ...] = (
        (BASIC, "article", False, 1),
        ("+ compression", "article", True, 1),
        ("+ pool (session)", "article_session", False, 1),
        ("all: session, compressed", "article_session", True, 1),
        ("openai, 5 at once", "openai", True, 5),
        ("openai, 32 at once", "openai", True, 32),
        ("bare httpx, 5 at once", "httpx", True, 5),
        ("bare httpx, 32 at once", "httpx", True, 32),
        ("deepseek-magic, one after another", "ours", True, 1),
        ("deepseek-magic, 5 at once", "ours", True, 5),
        ("deepseek-magic, 32 at once", "ours", True, 32),
    )
    if bench.short:  # the steps that goals are made of
        steps = tuple(step for step in steps if step[1:] in _LADDER_GOALS)
    columns = ("requests/s", "× basic", "requests/s, first token after 250 ms", "× basic, first token after 250 ms")
    found: dict[str, list[tuple[float, ...]]] = {step[0]: [] for step in steps}
    missing: dict[str, str] = {}
    with bench.far_away(round_trip_s=THIN_TRIP_S, bytes_per_s=THIN_BYTES_PER_S) as url:
        for _ in range(bench.rounds):
            for name, peer, gzip, streams in steps:
                figures = []
                for wait_s in (0.0, 0.25):
                    count = (requests if streams == 1 else many) // (3 if wait_s and streams == 1 else 1)
                    how = {"requests": count, "chunks": 50, "at_once": streams, "wait_s": wait_s, "gzip": gzip}
                    one, none = bench.in_turns((peer,), "throughput", url, rounds=1, **how)
                    if none:
                        missing[name] = "; ".join(none.values())
                    figures += [each["requests_per_s"] for each in one.values()]
                if len(figures) == 2:
                    found[name].append(tuple(figures))
    basic = found[BASIC]
    rows: dict[str, dict[str, float]] = {}
    for name, rounds in found.items():
        if rounds and basic:
            plain, waited = (median(column) for column in zip(*rounds, strict=True))
            base, base_waited = (median(column) for column in zip(*basic, strict=True))
            rows[name] = dict(zip(columns, (plain, plain / base, waited, waited / base_waited), strict=True))
    times = {name: row[columns[1]] for name, row in rows.items()}
    ours, openai = times.get("deepseek-magic, 32 at once"), times.get("openai, 32 at once")
    return Table(
        id="P5",
        title="The article's ladder",
        how=f"Answers of 50 chunks (15 kB) over TLS, {THIN_TRIP_S * 1e3:g} ms round trip, a line of {THIN_BYTES_PER_S // 1000} kB/s "
        "that all connections share, everything warm; compressed answers come in one piece. The article's last step is said to give "
        f"×{ARTICLE_CLAIM}. That holds where the network is the cost; a first token after 250 ms leaves less of it (right).",
        columns=columns,
        rows=rows,
        missing=missing,
        goals=(
            Goal(says="5 at once / basic", value=times.get("deepseek-magic, 5 at once"), limit=10, at_most=False),
            Goal(says="32 at once / basic", value=ours, limit=35, at_most=False),
            Goal(says="32 at once / openai, 32 at once", value=ratio(ours, openai), limit=2.5, at_most=False),
        ),
    )


def memory(bench: Bench) -> Table:
    """P6."""
    chunks = 2_000 if bench.short else 60_000
    column, longer = "growth, MB", f"growth, MB, {chunks * 10:,} chunks"
    clients = ("ours", "openai") if bench.short else CLIENTS
    rows, missing = _table(bench, clients, "memory", bench.http, {"grown_mb": column}, rounds=1, chunks=chunks)
    ours = title("ours")
    more, _ = bench.in_turns(("ours",), "memory", bench.http, rounds=1, chunks=chunks * 10)
    rows[ours][longer] = more["ours"]["grown_mb"]
    keepers = ("openai",) if bench.short else ("openai", "httpx_sse", "article", "ours")
    kept, _ = bench.in_turns(keepers, "memory", bench.http, rounds=1, keep=True, chunks=chunks)
    for peer, figures in kept.items():
        rows[f"{title(peer)}, every object kept"] = {column: figures["grown_mb"]}
    texts_mb = chunks * 9 * 3 / 1e6
    return Table(
        id="P6",
        title="Memory",
        how=f"Growth of the resident memory at its peak while an answer of {chunks:,} chunks ({chunks * 3 / 1000:.0f} kB of text) "
        "comes, after a short one. The text is kept; below, all that the library makes is kept as well.",
        columns=(column, longer),
        rows=rows,
        missing=missing,
        goals=(
            Goal(says=f"growth, MB, {chunks:,} chunks", value=rows[ours][column], limit=4),
            Goal(
                says=f"growth from {chunks:,} to {chunks * 10:,} chunks beyond the text, MB",
                value=rows[ours][longer] - rows[ours][column] - texts_mb,
                limit=1,
            ),
            Goal(
                says="ours / openai with every object kept",
                value=ratio(rows[ours][column], rows.get(f"{title('openai')}, every object kept", {}).get(column)),
                limit=0.4,
            ),
        ),
    )


_TIMED: Final = "import time, sys; {before}; start = time.perf_counter(); {code}; print(time.perf_counter() - start)"
_KERNEL: Final = (
    "import IPython, ipywidgets; from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()"
)
_LOAD: Final = "s.run_line_magic('load_ext', 'deepseek_magic')"
_IMPORTS: Final = {
    "import deepseek_magic": ("pass", "import deepseek_magic"),
    "%load_ext, ipywidgets there": (_KERNEL, _LOAD),
    "%load_ext and the first answer": (_KERNEL, _LOAD + "; import deepseek_magic as ds; ds.ask('chunks=5')"),
    "import httpx": ("pass", "import httpx"),
    "import openai": ("pass", "import openai"),
    "import langchain_deepseek": ("pass", "import langchain_deepseek"),
    "import litellm": ("pass", "import litellm"),
}


def imports(bench: Bench) -> Table:
    """P7."""
    measured = [name for name in _IMPORTS if not bench.alone or "deepseek_magic" in "".join(_IMPORTS[name])]
    found: dict[str, list[float]] = {name: [] for name in measured}
    missing: dict[str, str] = {}
    # The first turn only writes what Python compiles; the short form asks for a figure, not for a good one.
    for turn in range(1) if bench.short else range(-1, 5):
        for name in measured:
            before, code = _IMPORTS[name]
            try:
                printed = bench.python("-W", "ignore", "-c", _TIMED.format(before=before, code=code))
            except RuntimeError as error:
                missing[name] = str(error)
                continue
            if turn >= 0:
                found[name].append(float(printed.splitlines()[-1]) * 1e3)
    rows = {name: {"ms": min(values)} for name, values in found.items() if values}

    def ms(name: str) -> float | None:
        return rows.get(name, {}).get("ms")

    return Table(
        id="P7",
        title="Import and loading",
        how="Each in a fresh process, compiled files there, the fastest of five: importing is the same work each time, and what "
        "comes on top is the neighbours'. The first answer is one of five chunks from the local server: it "
        "pays for httpx, the certificates, the journal's file and the engine's thread.",
        columns=("ms",),
        relative_to="import httpx",
        rows=rows,
        missing=missing,
        goals=(
            Goal(says="import deepseek_magic, ms", value=ms("import deepseek_magic"), limit=25),
            Goal(says="%load_ext, ms", value=ms("%load_ext, ipywidgets there"), limit=120),
            Goal(says="%load_ext and the first answer, ms", value=ms("%load_ext and the first answer"), limit=250),
        ),
    )


def everything_on(bench: Bench) -> Table:
    """P10."""
    many, few = (1_000, 200) if bench.short else (20_000, 3_000)
    peers = ("ours_bare", "ours", "ours_journal", "ours_ask")
    columns = ("all ready, CPU µs per chunk", "paced, CPU µs per chunk")
    rows, missing = _table(bench, peers, "cpu", bench.http, {"us_per_chunk": columns[0]}, chunks=many)
    slow, _ = _table(bench, peers, "cpu", bench.http, {"us_per_chunk": columns[1]}, chunks=few, per_s=1000)
    for name, figures in slow.items():
        rows.setdefault(name, {}).update(figures)
    on, off = rows.get(title("ours_journal"), {}), rows.get(title("ours_bare"), {})
    return Table(
        id="P10",
        title="What recovery, deadlines, limiter, metrics and journal cost when nothing breaks",
        how="The same answers as in P1 and P2. The last row is what a cell does: another thread, and the way back from it.",
        columns=columns,
        rows=rows,
        missing=missing,
        goals=tuple(
            Goal(
                says=f"{column.partition(',')[0]}: everything on / off",
                value=ratio(on.get(column), off.get(column)),
                limit=1.15,
            )
            for column in columns
        ),
        relative_to=title("ours_bare"),
    )


_LOCALIZED: Final = """
import json, sys, timeit
from deepseek_magic.text.catalogue import catalogue
from deepseek_magic.text.messages import Message
template = "The API answered with {status}: {said}."
chinese = catalogue("zh")[template].replace("{status}", "429")
def us(do, count):
    return min(timeit.repeat(do, number=count, repeat=7)) / count * 1e6
found = {}
for length in (100, 1_000, 10_000):
    said = ("Rate limit reached: {limit}; try again in 2 s. " * length)[:length]
    message = Message(template, status=429, said=said)
    assert message.localized("zh") == chinese.replace("{said}", said)
    count = int(sys.argv[1])
    found[length] = us(lambda: message.localized("zh"), count), us(lambda: chinese.replace("{said}", said), count)
print(json.dumps(found))
"""


def localizing(bench: Bench) -> Table:
    """P15."""
    columns = ("localized, µs", "copied alone, µs")
    rounds: list[dict[str, tuple[float, float]]] = []
    missing: dict[str, str] = {}
    for _ in range(bench.rounds):
        try:
            rounds.append(json.loads(bench.python("-c", _LOCALIZED, "200" if bench.short else "20000")))
        except RuntimeError as error:
            missing["deepseek-magic"] = str(error)
    beyond: dict[int, float] = {}
    rows: dict[str, dict[str, float]] = {}
    for length in (100, 1_000, 10_000) if rounds else ():
        both = [found[str(length)] for found in rounds]
        rows[f"{length:,} characters"] = {
            name: median(values) for name, values in zip(columns, zip(*both, strict=True), strict=True)
        }
        beyond[length] = median([localized - copied for localized, copied in both])
    return Table(
        id="P15",
        title="A message in Chinese, by the length of what the server said",
        how="One message with a server's text of so many characters, shown in Chinese; beside it, in the same process, the "
        "same text put into the same sentence by str.replace. Each figure is the fastest of seven repeats.",
        columns=columns,
        rows=rows,
        missing=missing,
        goals=(
            Goal(
                says="growth from 100 to 10,000 characters beyond copying, µs",
                value=beyond[10_000] - beyond[100] if beyond else None,
                limit=1,
            ),
        ),
    )


ROWS: Final[Mapping[str, Callable[[Bench], Table]]] = {
    "P1": ready,
    "P2": paced,
    "P3": at_once,
    "P4": first_token,
    "P5": ladder,
    "P6": memory,
    "P7": imports,
    "P10": everything_on,
    "P15": localizing,
}
