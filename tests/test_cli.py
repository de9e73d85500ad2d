"""The command line, as real processes with an empty home."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

from deepseek_magic.cli import main
from tests.ports import free_port
from tests.terminals import end

ROOT = Path(__file__).parents[1]
START_S = 60

no_windows = pytest.mark.skipif(sys.platform == "win32", reason="a test has no terminal there to press Ctrl-C in")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def environment(home: Path, **more: str) -> dict[str, str]:
    # Without VIRTUAL_ENV: IPython warns when the one that is activated is not the one it runs in.
    ours = ("DEEPSEEK_", "JUPYTER", "IPYTHON", "PYTEST", "VIRTUAL_ENV")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return kept | {"HOME": str(home), "PYTHONUNBUFFERED": "1", "DEEPSEEK_MAGIC_LANGUAGE": "en"} | more


def command(*words: str, home: Path, timeout_s: float = START_S, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deepseek_magic", *words],
        cwd=home,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture
def served(home: Path) -> Iterator[str]:
    """The base URL of a `deepseek-magic serve --port 0`, as its first line tells it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deepseek_magic", "serve", "--port", "0"],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(START_S) in (0, 130)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_no_command_is_an_error_that_names_the_commands(home: Path) -> None:
    done = command(home=home)
    assert done.returncode == 2
    for name in ("demo", "serve", "doctor", "cost", "install"):
        assert name in command("--help", home=home).stdout
    assert "A command is missing." in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("serve --port x", "--port needs a number."),
        ("serve --prot 1", "There is no flag --prot (did you mean --port?)."),
        ("doctor --endpoint", "--endpoint needs a value."),
        ("remove", "command needs one of demo, serve, doctor, cost, relay, install."),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        *("--help", "demo --help", "serve --help", "doctor --help", "cost --help", "install --help"),
        *("serve --pace -1", "doctor", "cost none.ipynb"),
    ],
)
def test_the_command_line_speaks_the_readers_language(words: str, home: Path) -> None:
    done = command(*words.split(), home=home, DEEPSEEK_MAGIC_LANGUAGE="zh")
    assert re.search("[\u4e00-\u9fff]", done.stdout + done.stderr)
    assert not re.search(r"(?:\b[a-z]{2,} ){2}[a-z]{2,}\b", done.stdout + done.stderr), done.stdout + done.stderr


def test_the_first_line_of_serve_is_its_base_url_and_it_answers(served: str) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", served)
    asking = urllib.request.Request(f"{served}/models", headers={"Authorization": "Bearer sk-test-1234"})
    with urllib.request.urlopen(asking, timeout=START_S) as answer:
        assert {model["id"] for model in json.load(answer)["data"]} == {"deepseek-flash", "deepseek-v4-pro"}


# doctor


def test_serve_answers_at_the_pace_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr("deepseek_magic.demo.server.serve", lambda **given: asked.update(given))
    assert main(["serve", "--port", "0", "--pace", "0.25"]) == 0
    assert asked["pace"] == 0.25


def test_a_pace_below_nothing_is_refused_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--pace", "-1"]) == 1
    assert capsys.readouterr().err.startswith("--pace cannot be below 0")


def test_a_port_that_another_program_has_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"The demo server cannot have port {port} of this machine")
    assert "Traceback" not in said


def test_serve_lets_the_pages_ask_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr("deepseek_magic.demo.server.serve", lambda **given: asked.update(given))
    pages = ["https://Lessons.example:443/lite/lab/index.html", "http://localhost:8000", "http://[::1]:80", "*"]
    pages.append("https://课.example")
    assert main(["serve", *(word for page in pages for word in ("--allow-origin", page))]) == 0
    written = ("https://lessons.example", "http://localhost:8000", "http://[::1]", "*", "https://xn--kf3a.example")
    assert asked["allow_origins"] == written


@pytest.mark.parametrize(
    "page",
    [
        "lessons.example",
        "file:///lesson.html",
        "https://",
        "https://me:secret@lessons.example",
        "https://*.example",
        "https://[::1",
        "https://a.example:port",
    ],
)
def test_what_is_no_origin_is_said_to_be_none(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--allow-origin", page]) == 1
    assert "is no origin of a web page" in capsys.readouterr().err


def test_the_doctor_finds_a_working_endpoint_well(home: Path, served: str) -> None:
    done = command("doctor", home=home, DEEPSEEK_BASE_URL=served, DEEPSEEK_API_KEY="sk-test-1234")
    assert done.returncode == 0, done.stdout + done.stderr
    for subject in ("key", "connection", "first byte", "models", "balance", "deepseek-magic", "ipython", "Python"):
        assert subject in done.stdout
    assert "sk-test-1234" not in done.stdout + done.stderr


def test_the_doctor_finds_that_a_class_is_closed(home: Path, served: str) -> None:
    rules = home / "classroom.toml"
    rules.write_text('[class]\nhours = ["2020-01-01 08:00-09:00"]\n')
    keys = {"DEEPSEEK_BASE_URL": served, "DEEPSEEK_API_KEY": "sk-test-1234"}
    done = command("doctor", home=home, DEEPSEEK_MAGIC_CLASSROOM=str(rules), **keys)
    assert done.returncode == 1
    assert "FAIL  the class        The class is closed now" in done.stdout
    assert "Everything works." not in done.stdout


def test_the_doctor_says_what_to_do_when_there_is_no_key(home: Path) -> None:
    done = command("doctor", home=home)
    assert done.returncode == 1
    assert "DEEPSEEK_API_KEY" in done.stdout
    assert "deepseek-magic demo" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe breaks in another way there")
@pytest.mark.parametrize("words", [("doctor",), ("--help",)])
def test_a_reader_who_has_read_enough_ends_it_quietly(words: tuple[str, ...], home: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = [sys.executable, "-m", "deepseek_magic", *words]
    told = subprocess.run(run, cwd=home, env=environment(home), stdout=writing, stderr=subprocess.PIPE, timeout=START_S)
    os.close(writing)
    assert told.stderr == b""


def test_the_doctor_names_a_server_that_is_not_there(home: Path) -> None:
    base_url = f"http://127.0.0.1:{free_port()}"
    done = command("doctor", "--base-url", base_url, home=home, DEEPSEEK_API_KEY="sk-test-1234")
    assert done.returncode == 1
    assert "FAIL" in done.stdout
    assert base_url.removeprefix("http://") in done.stdout
    assert "Traceback" not in done.stderr
    assert "sk-test-1234" not in done.stdout + done.stderr


def test_the_doctor_examines_each_of_several_endpoints(home: Path, served: str) -> None:
    missing = f"http://127.0.0.1:{free_port()}"
    done = command("doctor", "--endpoint", f"{missing},{served}", home=home)
    assert done.returncode == 1
    assert missing in done.stdout
    assert served in done.stdout
    assert "Calls will be answered, but not by every endpoint" in done.stdout


# install


def ipython(code: str, home: Path, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor", "-c", code],
        cwd=home,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    return done.stdout + done.stderr


HEAVY = "import sys; print(sorted({'httpx', 'httpcore', 'ipywidgets', 'deepseek_magic.session'} & set(sys.modules)))"


def test_install_makes_the_magics_ready_in_every_session_and_imports_nothing_until_then(home: Path) -> None:
    assert command("install", home=home).returncode == 0
    assert ipython(HEAVY, home).strip() == "[]"
    assert "--max-tokens" in ipython("%deepseek --help", home)
    assert "--max-tokens" in ipython("%%deepseek --help\n", home)
    assert "--max-tokens" in ipython("get_ipython().run_line_magic('deepseek', '--help')", home)


def test_tab_knows_the_flags_in_a_session_that_has_used_no_magic_yet(home: Path) -> None:
    command("install", home=home)
    complete = (
        "ip = get_ipython(); print(*(ip.complete(t, t, len(t))[1][:2] for t in ('%deepseek_l', '%%deepseek --thi')))"
    )
    assert ipython(complete, home).strip() == "['%deepseek_log', '%%deepseek_log'] ['--think']"
    assert ipython("%%deepseek?", home).count("--max-tokens") == 1


def test_a_session_after_install_answers_from_its_first_cell_on(home: Path, served: str) -> None:
    command("install", home=home)
    asked = "%deepseek -o answer --think off How are you?\nprint('\\nended', answer.outcome)"
    said = ipython(asked, home, DEEPSEEK_BASE_URL=served, DEEPSEEK_API_KEY="sk-test-1234")
    assert "ended complete" in said


def test_install_knows_every_magic_of_the_extension(home: Path) -> None:
    from deepseek_magic.notebook.lazy import NAMES

    listing = "print(*{n for m in get_ipython().magics_manager.lsmagic().values() for n in m if 'deepseek' in n})"
    assert set(ipython(f"%load_ext deepseek_magic\n{listing}", home).split()) == set(NAMES)


def test_installing_twice_changes_nothing_and_remove_undoes_it(home: Path) -> None:
    (startup,) = _written(command("install", home=home).stdout)
    before = startup.read_bytes()
    assert command("install", home=home).stdout.startswith("Nothing to do")
    assert startup.read_bytes() == before
    assert command("install", "--remove", home=home).returncode == 0
    assert not startup.exists()
    assert command("install", "--remove", home=home).stdout.startswith("Nothing to remove")


def _written(said: str) -> list[Path]:
    return [Path(path) for path in re.findall(r"Wrote (\S+\.py)", said)]


def test_a_session_starts_silently_when_the_package_is_gone(home: Path) -> None:
    command("install", home=home)
    # -S hides the environment's packages no more than an uninstall would; IPython itself must stay.
    gone = "import sys; print('up', 'deepseek_magic.notebook.lazy' in sys.modules)"
    blocked = home / "blocked"
    blocked.mkdir()
    (blocked / "deepseek_magic.py").write_text("raise ImportError('gone')", "utf-8")
    assert ipython(gone, home, PYTHONPATH=str(blocked)).strip() == "up False"


# demo


def test_the_demo_runs_its_tour_headless_and_writes_markdown_answers(home: Path) -> None:
    done = command("demo", "--execute", "--no-browser", home=home, timeout_s=300, DEEPSEEK_API_KEY="sk-mine-1234")
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = home.glob("deepseek-magic-demo/*.executed.ipynb")
    assert str(path) in done.stdout
    executed = nbformat.read(path, as_version=4)
    asking = [
        cell
        for cell in executed.cells
        if cell.cell_type == "code" and "%deepseek" in cell.source and "tags" not in cell.metadata
    ]
    assert len(asking) >= 6
    for cell in asking:
        kinds = [set(out["data"]) for out in cell.outputs if out.output_type in ("display_data", "execute_result")]
        assert [kind for kind in kinds if "text/markdown" in kind], cell.source
    assert "sk-mine-1234" not in path.read_text("utf-8") + done.stdout + done.stderr


def test_the_tour_is_the_readers_and_so_are_the_words_of_its_errors(home: Path) -> None:
    ran = command("demo", "--execute", "--folder", "tour", home=home, timeout_s=240, DEEPSEEK_MAGIC_LANGUAGE="zh")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    failed = [line.partition("Error: ")[2] for line in ran.stdout.splitlines() if "Error: " in line]
    assert failed, ran.stdout
    assert all(re.search("[\u3400-\u9fff]", said) for said in failed), ran.stdout


def test_the_demo_keeps_what_was_worked_on(home: Path) -> None:
    mine = home / "deepseek-magic-demo" / "01_first_steps.ipynb"
    mine.parent.mkdir()
    mine.write_text("my own work", "utf-8")
    assert command("demo", "--execute", home=home, timeout_s=300).returncode == 0
    assert mine.read_text("utf-8") == "my own work"


def test_without_jupyterlab_one_sentence_says_how_to_get_it(home: Path) -> None:
    blocked = home / "blocked"
    (blocked / "jupyterlab").mkdir(parents=True)
    (blocked / "jupyterlab" / "__init__.py").write_text("raise ImportError('gone')", "utf-8")
    done = command("demo", "--no-browser", home=home, PYTHONPATH=str(blocked))
    assert done.returncode == 1
    assert "pip install 'deepseek-magic[demo]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_place_that_cannot_be_written_is_said_in_one_sentence(home: Path) -> None:
    (home / "file").write_text("in the way", "utf-8")
    done = command("demo", "--execute", "--folder", "file/below", home=home)
    assert done.returncode == 1
    assert "--folder" in done.stderr
    assert "Traceback" not in done.stderr


@no_windows
def test_ctrl_c_ends_a_headless_run_and_its_kernel_without_a_traceback(home: Path) -> None:
    import pexpect

    words = ["-m", "deepseek_magic", "demo", "--execute"]
    run = pexpect.spawn(sys.executable, words, cwd=str(home), env=environment(home), timeout=START_S, encoding="utf-8")
    try:
        run.expect("ok +%%deepseek")
        kernels = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True, check=True).stdout
        run.sendintr()
        run.expect(pexpect.EOF)
        run.wait()
        assert run.exitstatus == 130
        assert "Traceback" not in run.before
    finally:
        end(run)
    for kernel in map(int, kernels.split()):
        assert _within(15, lambda pid=kernel: not _runs(pid))


@no_windows
def test_ctrl_c_ends_jupyterlab_its_kernels_and_the_server(home: Path) -> None:
    import pexpect

    port = free_port()
    words = ["-m", "deepseek_magic", "demo", "--no-browser", "--port", str(port)]
    lab = pexpect.spawn(sys.executable, words, cwd=str(home), env=environment(home), timeout=START_S, encoding="utf-8")
    try:
        lab.expect(r"answers at (http://127\.0\.0\.1:\d+)")
        demo_url = lab.match[1]
        lab.expect(rf"http://127\.0\.0\.1:{port}/lab/tree/01_first_steps\.ipynb\?token=(\w+)")
        assert _within(START_S, lambda: _listens(port))  # Jupyter tells its address before it listens
        kernel = _start_kernel(port, lab.match[1])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/lab?token={lab.match[1]}", timeout=START_S) as page:
            assert b'"name": "deepseek-magic"' in page.read()  # the package's own extension, from this checkout
        lab.sendintr()
        lab.expect(pexpect.EOF)
        lab.wait()
        assert lab.exitstatus == 0
    finally:
        end(lab)
    assert not _listens(int(demo_url.rsplit(":", 1)[1]))
    assert not _listens(port)
    assert _within(15, lambda: not _runs(kernel))


def _start_kernel(port: int, token: str) -> int:
    """Start the tour's kernel as the page does, and have it tell its process id."""
    body = {
        "path": "01_first_steps.ipynb",
        "name": "",
        "type": "notebook",
        "kernel": {"name": "python3"},
    }
    asking = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/sessions?token={token}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asking, timeout=START_S) as answer:
        kernel = json.load(answer)["kernel"]["id"]
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return next(int(line.split()[0]) for line in listed.splitlines() if kernel in line)


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
