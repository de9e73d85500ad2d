"""inspect-ai: a task of samples with a target, ``generate`` and a scorer; every sample stands in the log that it writes."""

from __future__ import annotations

from pathlib import Path

from inspect_ai import Task, eval, eval_set, task
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import get_model
from inspect_ai.scorer import exact
from inspect_ai.solver import generate

from ... import peers
from ..work import Work


def run(work: Work) -> list[str | None]:
    both = zip(work.questions, work.answers, strict=True)
    samples = [Sample(input=q, target=a, id=place + 1) for place, (q, a) in enumerate(both)]

    @task
    def trials() -> Task:
        return Task(dataset=samples, solver=generate(), scorer=exact())

    model = get_model(f"openai-api/deepseek/{peers.MODEL}", base_url=work.base_url, api_key=peers.KEY, memoize=False)
    how = {
        "model": model,
        "max_connections": work.at_once,
        "display": "none",
        "log_dir": str(Path(work.folder, "logs")),
    }
    if work.mortal:  # what it has for runs that may die: the same call again goes on
        _, logs = eval_set(trials(), **how)
        log: EvalLog = read_eval_log(logs[0].location)
    else:
        (log,) = eval(trials(), fail_on_error=False, **how)
    texts = {sample.id: sample.output.completion for sample in log.samples or () if sample.error is None}
    return [texts.get(place + 1) for place in range(work.trials)]
