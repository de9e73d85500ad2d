"""deepseek-magic: ``ds.sweep`` as it comes, with the journal, a score, the frame and the table that a notebook shows."""

from __future__ import annotations

import deepseek_magic as ds

from ..work import Work


def run(work: Work) -> list[str | None]:
    table = [{"q": q, "answer": a} for q, a in zip(work.questions, work.answers, strict=True)]
    sweep = ds.sweep("{q}", over=table, scores=ds.score.exact("{answer}"), think="off", concurrency=work.at_once)
    sweep._repr_mimebundle_()
    frame = sweep.to_pandas()
    return [text if isinstance(text, str) else None for text in frame["text"]]
