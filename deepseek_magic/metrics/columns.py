"""What each column of the log means: its unit, what it counts, and whose definition it follows.

Declared once: ``ds.log.explain()`` and ``%deepseek_log --columns`` show it, and the table of docs/metrics.md is held to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ..protocol.options import closest
from ..text.messages import say
from .tables import html_table, text_table


class Meaning(msgspec.Struct, frozen=True):
    """``unit`` is empty where a column has none; ``source`` names the definition that it follows, if any."""

    unit: str
    says: str
    source: str = ""


MEANINGS: Final[Mapping[str, Meaning]] = {
    "run_id": Meaning("", "the kernel's run: the calls of one session have the same"),
    "notebook": Meaning("", "the path of the notebook, where its front end tells it"),
    "call_id": Meaning("", "this call; the same in the journal"),
    "started_at": Meaning("", "when the call began, UTC"),
    "endpoint": Meaning("", "which endpoint answered; custom is an address without a name"),
    "host": Meaning("", "its host, with the port; empty when a tape answered"),
    "model": Meaning("", "the model that was asked for", "OTel gen_ai.request.model"),
    "response_model": Meaning("", "the model that answered, as it calls itself", "OTel gen_ai.response.model"),
    "completion_id": Meaning("", "the host's id of the answer", "OTel gen_ai.response.id"),
    "mode": Meaning("", "how the answer was shown: realtime, balanced, sentence; empty when it was not"),
    "think": Meaning("", "the thinking setting that was sent; empty when it was left to the host"),
    "purpose": Meaning(
        "",
        "why it was sent: ask, tool (a round after functions were run), trial (of a sweep), judge, hedge (the second of two for one answer), ahead (before its turn)",
    ),
    "outcome": Meaning(
        "",
        "complete, truncated (token limit), filtered, interrupted (by you), incomplete (it broke off), "
        "cached (from the journal)",
    ),
    "used": Meaning("", "whether its answer was used; if not, its cost counts, and summaries leave it out"),
    "ahead_s": Meaning("s", "by how long it had begun before its cell's turn came; empty when it had not"),
    "finish_reason": Meaning("", "the host's word for why the answer ended", "OTel gen_ai.response.finish_reasons"),
    "error_type": Meaning("", "the class of the error, when there is one", "OTel error.type"),
    "status": Meaning("", "the HTTP status of the error"),
    "prompt_sha256": Meaning("", "the digest of the request: equal requests, equal digest"),
    "attempts": Meaning("requests", "requests that were sent, the first included"),
    "retries": Meaning("requests", "requests asked again before any text had arrived"),
    "resumes": Meaning("requests", "requests that resumed the same stream by its event id"),
    "continuations": Meaning("requests", "requests that continued the text so far"),
    "restarts": Meaning("requests", "requests that restarted the answer, so that earlier text is void"),
    "seams": Meaning("places", "places where two segments were joined"),
    "waited_s": Meaning("s", "all waiting in the client: the sum of the wait columns"),
    "wait_concurrency_s": Meaning("s", "waiting for other calls to end"),
    "wait_rate_s": Meaning("s", "waiting for the rate limiter"),
    "wait_retry_after_s": Meaning("s", "waiting because the server asked for it"),
    "wait_backoff_s": Meaning("s", "waiting before another attempt"),
    "connect_s": Meaning("s", "opening connections; 0 when one was reused"),
    "ttfb_s": Meaning("s", "from the start to the headers of the first response"),
    "queue_s": Meaning("s", "in the host's queue: from headers to first chunk, if keep-alive comments came"),
    "ttft_s": Meaning(
        "s",
        "from the start to the first piece, reasoning included",
        "vLLM TTFT, OTel gen_ai.client.operation.time_to_first_chunk",
    ),
    "answer_s": Meaning("s", "from the start to the first piece of the answer itself"),
    "thinking_s": Meaning("s", "from the first piece of reasoning to the first piece of answer after it"),
    "generation_s": Meaning("s", "from the first to the last piece, summed over segments"),
    "total_s": Meaning("s", "from the start to the end", "vLLM E2EL, OTel gen_ai.client.operation.duration"),
    "chunks": Meaning("pieces", "pieces of text, reasoning and tool calls that arrived"),
    "chars": Meaning("characters", "length of the answer"),
    "reasoning_chars": Meaning("characters", "length of the reasoning"),
    "body_bytes": Meaning("bytes", "bytes of the body, decompressed"),
    "wire_bytes": Meaning("bytes", "bytes of the body as they were on the wire; TCP and TLS are not counted"),
    "heartbeats": Meaning("comments", "keep-alive comments that came"),
    "chunks_per_s": Meaning("1/s", "pieces a second while generating: (chunks - segments) / generation_s"),
    "tokens_per_s": Meaning(
        "1/s", "tokens a second while generating: (completion_tokens - segments) / generation_s", "vLLM 1 / TPOT"
    ),
    "gap_p50_s": Meaning("s", "median time between two pieces, the pause of a recovery included", "vLLM ITL"),
    "gap_p99_s": Meaning(
        "s", "99th percentile of the time between two pieces; exact up to 4,096, within 1 % beyond", "vLLM ITL"
    ),
    "gap_max_s": Meaning("s", "longest time between two pieces"),
    "gap_n": Meaning("gaps", "how many times between two pieces were counted"),
    "read_every_s": Meaning(
        "s",
        "how finely gaps were measured: many streams that nobody watches are read in turns; 0: each piece as it came",
    ),
    "prompt_tokens": Meaning("tokens", "billed input, all segments", "API, OTel gen_ai.usage.input_tokens"),
    "completion_tokens": Meaning("tokens", "billed output, reasoning included", "API, OTel gen_ai.usage.output_tokens"),
    "reasoning_tokens": Meaning(
        "tokens", "part of the output that is reasoning", "API, OTel gen_ai.usage.reasoning.output_tokens"
    ),
    "cache_hit_tokens": Meaning(
        "tokens", "part of the input that the host had in its cache", "API, OTel gen_ai.usage.cache_read.input_tokens"
    ),
    "cache_miss_tokens": Meaning("tokens", "part of the input that it had not", "API"),
    "tokens_estimated": Meaning("", "whether a segment broke before it reported, so that its part is an estimate"),
    "cost": Meaning("currency", "the price by the dated table; exact as a decimal in ds.log.records"),
    "currency": Meaning("", "the currency of the cost"),
    "cost_estimated": Meaning("", "whether the cost is based on an estimate, or on an unknown tariff"),
    "peak": Meaning("", "whether DeepSeek's peak tariff applied; empty when unknown or mixed"),
    "price_date": Meaning("", "the first day on which the price is attested"),
    "recorded_cost": Meaning("currency", "what an answer from a tape cost when it was recorded; playing it costs 0"),
}


@dataclass(frozen=True, repr=False)
class Explained:
    """Some columns with their meaning; shows itself as a table, in the reader's language."""

    rows: Sequence[tuple[str, str]]
    """Column and type."""

    def __str__(self) -> str:
        return text_table(*self._table(), figures=False)

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": html_table(*self._table(), figures=False)}

    def _table(self) -> tuple[list[str], list[list[str]], str]:
        heads = [say("column"), say("type"), say("unit"), say("what it is"), say("as in")]
        rows = []
        for name, kind in self.rows:
            meaning = MEANINGS[name]
            rows.append([name, kind, say(meaning.unit) if meaning.unit else "", say(meaning.says), meaning.source])
        return heads, rows, say("Empty means unknown; 0 means measured as zero. The clock starts when the call starts.")


def explain(word: str, types: Mapping[str, type]) -> Explained:
    """The column of that name; else those that have ``word`` in their name or meaning; all, if it is empty.

    Raises KeyError with the nearest name where there is none. ``types`` are the columns of a table, in order.
    """
    names = [word] if word in types else [name for name in types if _speaks_of(name, word)]
    if not names:
        raise KeyError(say("There is no column {name}{near}.", name=word, near=closest(word, list(types))))
    return Explained([(name, types[name].__name__) for name in names])


def _speaks_of(name: str, word: str) -> bool:
    said = MEANINGS[name].says
    return any(word.casefold() in text.casefold() for text in (name, said, say(said)))
