"""Running things for a measurement: the server, the worse network, one process for each figure, rounds in turns."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .peers import KEY, PEERS, module_of
from .report import median

ROOT: Final = Path(__file__).parents[2]
LONGEST_S: Final = 300
"""A single figure that takes longer is a defect of the benchmark."""

Medians = dict[str, dict[str, float]]


def environment(home: Path, *, base_url: str, trusted: str) -> dict[str, str]:
    """What a measured process sees: an empty home, our server as DeepSeek, our authority, no proxy, a made-up key."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
    trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), trusted)
    homes = {name: str(home) for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    return {
        **kept,
        **homes,
        **trust,
        "DEEPSEEK_API_KEY": KEY,
        "DEEPSEEK_BASE_URL": base_url,
        "DEEPSEEK_MAGIC_HOME": str(home / "deepseek-magic"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it would be fetched from the internet
        "NO_PROXY": "*",
    }


@contextmanager
def running(module: str, *arguments: object) -> Iterator[str]:
    """A process of this package that says where it listens and ends with its input. Its first line."""
    command = [sys.executable, "-m", f"{__package__}.{module}", *(str(each) for each in arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module} did not start")
        yield line
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(slots=True)
class Bench:
    """One run: its server, its rounds, who takes part."""

    folder: Path
    rounds: int
    short: bool
    peers: Sequence[str]
    apart: Path | None = None
    """The folder of the environments of peers that cannot share one, each under its own name."""
    root: Path = ROOT
    """The checkout whose code is measured."""
    alone: bool = False
    """Whether only our own code takes part."""
    _server: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Everything else happens inside."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a thousand connections need more than is usual
        with running("server", self.folder) as line:
            self._server = json.loads(line)
            yield

    @property
    def http(self) -> str:
        """The server without TLS."""
        return f"http://127.0.0.1:{self._server['http']}"

    def told(self) -> Any:
        """What the server noted: connections accepted (this one included), and when each mark was sent."""
        with urllib.request.urlopen(f"{self.http}/told", timeout=10) as answer:
            return json.load(answer)

    @contextmanager
    def far_away(self, *, round_trip_s: float, bytes_per_s: float = 0) -> Iterator[str]:
        """The server with TLS at the end of a worse network."""
        with running("network", self._server["https"], round_trip_s, bytes_per_s) as port:
            yield f"https://127.0.0.1:{int(port)}"

    @property
    def environment(self) -> dict[str, str]:
        """For the processes that are measured."""
        ours = environment(self.folder, base_url=self.http, trusted=self._server["trusted"])
        return ours | {"PYTHONPATH": str(self.root)}

    def one(
        self,
        peer: str,
        measure: str,
        base_url: str,
        *,
        gzip: bool = False,
        keep: bool = False,
        most: int = 0,
        **how: Any,
    ) -> Any:
        """One figure of one peer in a fresh process. Raises RuntimeError with what it said when it fails."""
        target = {"base_url": base_url, "gzip": gzip, "keep": keep}
        target |= {"most": most} if most else {}  # an older checkout does not know it
        wanted = json.dumps({"peer": peer, "measure": measure, "target": target, **how})
        return json.loads(self.python("-m", f"{__package__}.one", wanted).splitlines()[-1])

    def python_of(self, peer: str) -> str | None:
        """The interpreter of a peer that stands apart; None where it is not installed."""
        python = None if self.apart is None else self.apart / peer / "bin" / "python"
        return str(python) if python is not None and python.exists() else None

    def python(self, *arguments: str, interpreter: str = sys.executable, longest_s: float = LONGEST_S) -> str:
        """What a fresh interpreter prints. Raises RuntimeError when it fails."""
        try:
            ran = subprocess.run(
                [interpreter, *arguments],
                cwd=self.root,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=longest_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"took more than {longest_s:.0f} s") from None
        if ran.returncode:
            raise RuntimeError((ran.stderr.strip() or "no output").splitlines()[-1])
        return ran.stdout

    def in_turns(
        self, peers: Sequence[str], measure: str, base_url: str, *, rounds: int | None = None, **how: Any
    ) -> tuple[Medians, dict[str, str]]:
        """One figure of each peer, see ``turns``."""
        return self.turns(peers, lambda peer: self.one(peer, measure, base_url, **how), rounds=rounds)

    def turns(
        self, peers: Sequence[str], figures_of: Callable[[str], Any], *, rounds: int | None = None
    ) -> tuple[Medians, dict[str, str]]:
        """Each peer once a round, every round beginning with another one; the medians by peer and figure.

        Beside them who is missing, with the reason: a library that is not installed, or the error a peer ended with.
        """
        found: dict[str, list[dict[str, float]]] = {peer: [] for peer in peers if peer in self.peers}
        missing: dict[str, str] = {}
        order = list(found)
        for turn in range(rounds or self.rounds):
            start = turn % max(1, len(order))
            for peer in order[start:] + order[:start]:
                if peer in missing:
                    continue
                try:
                    figures = figures_of(peer)
                except RuntimeError as error:
                    figures = {"missing": str(error)}
                if "missing" in figures:
                    missing[peer] = str(figures["missing"])
                else:
                    found[peer].append(figures)
        medians = {
            peer: {name: median(each[name] for each in rounds_) for name in rounds_[0]}
            for peer, rounds_ in found.items()
            if rounds_ and peer not in missing
        }
        return medians, missing


def title(peer: str) -> str:
    """What a peer is called in the report; its short name when its library is not there to tell."""
    try:
        return str(module_of(peer).TITLE)
    except ImportError:
        return PEERS[peer].removesuffix("_sdk").replace("_", "-")
