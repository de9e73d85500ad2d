"""deepseek-magic: ``ds.sweep`` as it comes, with the journal, a score, the frame and the table that a notebook shows."""

from __future__ import annotations

import deepseek_magic as ds

from ..work import Work


def run(work: Work) -> list[str | None]:
    return shown(asked(work))


def asked(work: Work) -> ds.Sweep:
    """The sweep, when all is answered, journalled and scored."""
    table = [{"q": q, "last": a.split()[-1]} for q, a in zip(work.questions, work.answers, strict=True)]
    return ds.sweep("{q}", over=table, scores=ds.score.contains("{last}"), think="off", concurrency=work.at_once)


def shown(sweep: ds.Sweep) -> list[str | None]:
    """The answers, out of the frame, once the table was drawn."""
    sweep._repr_mimebundle_()
    frame = sweep.to_pandas()
    return [text if isinstance(text, str) else None for text in frame["text"]]
