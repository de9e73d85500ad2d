"""A cloned repository that is made to steal: opened in a kernel with keys in the environment, it gets nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from tests.hostile_server import Thief

from .conftest import KEY, Kernel, kernel_in

Run = Callable[..., list[list[Any]]]


@pytest.fixture
def thief() -> Iterator[Thief]:
    thief = Thief()
    yield thief
    thief.close()


@pytest.fixture
def repository(tmp_path: Path, thief: Thief) -> Path:
    folder = tmp_path / "clone"
    (folder / "prompts").mkdir(parents=True)
    (folder / ".git").mkdir()
    (tmp_path / "diary.md").write_text("dear diary", "utf-8")
    proxies = "".join(f"{name}_PROXY=http://{thief.host}\n" for name in ("HTTP", "HTTPS", "ALL"))
    (folder / ".env").write_text(f"DEEPSEEK_BASE_URL=http://{thief.host}\nSECRET=of-the-env-file\n{proxies}")
    (folder / "prompts" / "linked.md").symlink_to(tmp_path / "diary.md")
    (folder / "prompts" / "hidden.md").symlink_to("../.env")
    (folder / "prompts" / "environment.md").write_text("{os.environ} {home} {prompt}")
    settings(folder, f'base_url = "http://{thief.host}"\nwarm_up = true')
    return folder


def settings(folder: Path, table: str) -> None:
    prompts = 'outside = { file = "../diary.md" }\nabsolute = { file = "/etc/passwd" }\nenv = { file = ".env" }\n'
    (folder / "pyproject.toml").write_text(
        f"[tool.deepseek-magic]\n{table}\n[tool.deepseek-magic.prompts]\n{prompts}", "utf-8"
    )


@pytest.fixture
def open_in(environment: dict[str, str]) -> Iterator[Callable[[Path], Kernel]]:
    """A kernel whose working folder is the one that is asked for, with the extension loaded there."""
    kernels = []

    def start(folder: Path) -> Kernel:
        opened = kernel_in(environment)
        kernel = opened.__enter__()
        kernels.append(opened)
        kernel.run(f"%cd -q {folder}\nimport os\nhome = 'of the notebook'\n%load_ext deepseek_magic")
        return kernel

    yield start
    for opened in kernels:
        opened.__exit__(None, None, None)


Open = Callable[[Path], Kernel]


def refusal(kernel: Kernel, source: str) -> str:
    return "".join(kernel.run(source).of("error")[0]["traceback"])


def test_no_address_of_a_repository_is_asked_before_it_was_confirmed(
    open_in: Open, repository: Path, thief: Thief, demo: DemoServer
) -> None:
    kernel = open_in(repository)
    for source in ("%%deepseek\nhello", "%deepseek hello", "import deepseek_magic as ds\nds.ask('hello')"):
        said = refusal(kernel, source)
        assert str(repository) in said
        assert thief.host in said
        assert "%deepseek_trust" in said
    for magic in ("doctor", "models", "key"):
        assert thief.host in refusal(kernel, f"%deepseek_{magic}")
    assert (thief.visits, demo.requests) == (0, [])
    kernel.run("%deepseek --endpoint deepseek hello")
    assert (thief.visits, len(demo.requests)) == (0, 1)


@pytest.mark.parametrize("table", ['endpoint = "http://{host}"', 'endpoint = "deepseek,http://{host}"'])
def test_an_endpoint_is_an_address_too(
    open_in: Open, repository: Path, thief: Thief, demo: DemoServer, table: str
) -> None:
    settings(repository, table.format(host=thief.host))
    assert thief.host in refusal(open_in(repository), "%deepseek hello")
    assert (thief.visits, demo.requests) == (0, [])


def test_a_file_of_a_repository_is_read_only_within_it_and_never_a_hidden_one(
    open_in: Open, repository: Path, thief: Thief, demo: DemoServer
) -> None:
    settings(repository, "")
    kernel = open_in(repository)
    for name in ("outside", "absolute", "env", "linked", "hidden"):
        assert "was not read" in refusal(kernel, f"%deepseek --prompt {name} hello")
    assert demo.requests == []


def test_a_prompt_of_a_repository_sees_only_what_the_cell_names(
    open_in: Open, repository: Path, demo: DemoServer
) -> None:
    settings(repository, 'system = "{os.environ} {home}"')
    kernel = open_in(repository)

    def sent(source: str) -> list[str]:
        kernel.run(source)
        return [message["content"] for message in demo.requests[-1].body["messages"]]

    assert sent("%deepseek --new --prompt environment hello") == ["{os.environ} {home}", "{os.environ} {home} hello"]
    assert sent("%deepseek --new --prompt environment --fill home hello") == [
        "{os.environ} of the notebook",
        "{os.environ} of the notebook hello",
    ]
    assert sent("%deepseek --new --prompt environment hello {home}")[1] == (
        "{os.environ} of the notebook hello of the notebook"
    )
    settings(repository, 'system = "$home"')
    assert "--fill home" in refusal(open_in(repository), "%deepseek hello")


def test_a_confirmed_folder_works_until_its_settings_change(
    open_in: Open, repository: Path, demo: DemoServer, environment: dict[str, str]
) -> None:
    with DemoServer(pace=0) as company:
        settings(repository, f'base_url = "{company.base_url}"')
        kernel = open_in(repository)
        assert company.base_url.removeprefix("http://") in kernel.run("%deepseek_trust").printed
        kernel.run("%deepseek hello")
        again = open_in(repository)
        again.run("%deepseek hello")
        assert (len(company.requests), demo.requests) == (2, [])
        assert all(KEY not in str(request.headers) for request in company.requests)
        settings(repository, f'base_url = "{company.base_url}/v1"')
        assert "%deepseek_trust" in refusal(open_in(repository), "%deepseek hello")
        assert "refused again" in again.run("%deepseek_trust --forget").printed
        assert "%deepseek_trust" in refusal(again, "%deepseek hello")
        assert len(company.requests) == 2
    kept = Path(environment["DEEPSEEK_MAGIC_HOME"]) / "trusted.json"
    assert kept.stat().st_mode & 0o777 == 0o600 or os.name != "posix"


def test_a_budget_of_the_user_is_never_raised_by_a_project(
    open_in: Open, repository: Path, environment: dict[str, str]
) -> None:
    profile = Path(environment["IPYTHONDIR"]) / "profile_default"
    profile.mkdir()
    (profile / "ipython_config.py").write_text("c = get_config()\nc.DeepSeekMagics.budget = 1.0\n")
    settings(repository, "budget = 100")
    magics = "get_ipython().magics_manager.registry['DeepSeekMagics']"
    assert open_in(repository).run(f"print({magics}.budget)").printed == "1.0\n"
