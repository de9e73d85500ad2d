"""Tables that are written from the code while the site is built, so that they cannot drift from it.

Each lands in ``docs/_generated`` and is included by the page that is about it. It is in the language of the site by the
product's own catalogue, so its paragraphs are none of those that the page has translated.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from sphinx.transforms import SphinxTransform
from tables_of_language import said

import deepseek_magic
from deepseek_magic.demo.faults.kinds import KINDS
from deepseek_magic.engine.hosts.endpoints import ENDPOINTS
from deepseek_magic.protocol import errors
from deepseek_magic.protocol.models import ALIASES, MODELS
from deepseek_magic.protocol.options import OPTIONS, OPTIONS_BY_NAME, THEMES, Option
from deepseek_magic.text.messages import Message, localized

FOLDER: Final = "_generated"

CONTINUES: Final = {
    "none": "no, the answer is restarted",
    "deepseek_prefix": "yes, by prefix (`/beta`)",
    "continue_final_message": "yes, `continue_final_message`",
    "trailing_assistant": "yes, a last message of the assistant",
}


def setup(app: Any) -> dict[str, Any]:
    """Sphinx's entry point."""
    app.connect("builder-inited", write_all)
    app.add_transform(LeaveToTheProduct)
    return {"parallel_read_safe": True}


def write_all(app: Any) -> None:
    """Write every table; an unchanged one keeps its time, so that its page is not built again."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    for name, make in TABLES.items():
        target = folder / f"{name}.md"
        if target.exists() and app.builder.format != "html":
            continue  # they are not translated, and may be those of a build that is under way
        text = make()
        if not target.exists() or target.read_text("utf-8") != text:
            target.write_text(text, "utf-8")


class LeaveToTheProduct(SphinxTransform):
    """Keeps what a generated table says out of the translation of its page."""

    default_priority = 5  # before messages are kept, collected and replaced

    def apply(self, **_: Any) -> None:
        """Mark every text below what a generated file has; the cells of its tables do not know where they are from."""
        for node in self.document.findall(nodes.Element):
            if node.source and Path(node.source).parent.name == FOLDER:
                for text in node.findall(nodes.TextElement):
                    if not self.after(text):
                        text["translatable"] = False

    @staticmethod
    def after(text: nodes.TextElement) -> bool:
        """Whether the page itself says it, after a generated file that ends in a section of its own."""
        in_section = isinstance(text, nodes.paragraph) and isinstance(text.parent, nodes.section)
        return in_section and bool(text.source) and Path(text.source).parent.name != FOLDER


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table. The heads are in English here and in the site's language there."""
    heads = [said(head) for head in heads]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def takes(option: Option) -> str:
    """What may be given, with bounds and unit; a switch takes nothing."""
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    if option.kind == "switch":
        return ""
    kind = said({"integer": "a whole number", "number": "a number", "json": "JSON", "text": "text"}[option.kind])
    low, high = option.minimum, option.maximum
    if low is not None:
        kind = said("{kind} above {low}" if option.above_minimum else "{kind} from {low}", kind=kind, low=f"{low:g}")
    if high is not None:
        shown = f"{int(high):,}" if option.kind == "integer" else f"{high:g}"
        kind = said("{kind} to {high}", kind=kind, high=shown)
    return said("{kind} ({unit})", kind=kind, unit=said(option.unit)) if option.unit else kind


def described(option: Option) -> str:
    """What it does, and its default."""
    if not option.default:
        return said(option.help)
    default = said(option.default) if isinstance(option.default, Message) else option.default
    return said("{help}; default: {default}", help=said(option.help), default=default)


def flags() -> str:
    """The flags of ``%%deepseek``, the common ones first."""
    parts = []
    for title, names in THEMES.items():
        options = [OPTIONS_BY_NAME[name] for name in names]
        rows = ([" ".join(f"`{flag}`" for flag in o.flags), described(o), takes(o)] for o in options)
        parts.append(f"### {said(title)}\n\n{table(('flag', 'what it does', 'takes'), rows)}")
    return "\n".join(parts)


def arguments() -> str:
    """The settings that Python alone has."""
    rows = ([f"`{o.name}`", described(o), takes(o)] for o in OPTIONS if not o.flags)
    return table(("argument", "what it does", "takes"), rows)


def endpoints() -> str:
    """Every named endpoint."""
    rows = (
        [
            f"`{e.name}`",
            f"{localized(Message(e.title))}<br>`{e.base_url}`",
            ", ".join(f"`{name}`" for name in e.key_variables) or said("none needed"),
            f"`{e.default_model}`" if e.default_model else said("the server decides"),
            said(CONTINUES[e.continuing]),
            said("{source} ({as_of})", source=said(e.source), as_of=e.as_of) if e.as_of else said(e.source),
        ]
        for e in ENDPOINTS.values()
    )
    return table(("name", "where", "key from", "model", "continues a broken answer", "source"), rows)


def models() -> str:
    """DeepSeek's models by their names of today."""
    short = {full: alias for alias, full in ALIASES.items()}
    rows = (
        [
            f"`{m.id}`",
            f"`{short[m.id]}`" if m.id in short else "",
            f"{m.context_tokens:,}" if m.context_tokens else "",
            f"{m.max_output_tokens:,}" if m.max_output_tokens else "",
            said({True: "yes", False: "no", None: ""}[m.vision]),
            f"{m.concurrency:,}" if m.concurrency else "",
        ]
        for m in MODELS
    )
    return table(("id", "or", "context, tokens", "answer at most, tokens", "sees images", "requests at once"), rows)


def faults() -> str:
    """What the demo can do wrong."""
    return table(("fault", "what happens"), ([f"`{kind.name}`", said(kind.legend)] for kind in KINDS.values()))


def magics() -> str:
    """The own help of every magic but ``%%deepseek``, as ``%name?`` shows it."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "deepseek_magic")
    found = {name: magic for name, magic in shell.magics_manager.magics["line"].items() if name.startswith("deepseek_")}
    parts = []
    for name in sorted(found):
        # The mark of a literal block is for what renders docstrings; here all of it stands in one.
        text = re.sub(r"^::\n+", "", inspect.cleandoc(found[name].__doc__ or ""), flags=re.MULTILINE)
        parts.append(f"### `%{name}`\n\n```text\n{text}\n```\n")
    InteractiveShell.clear_instance()
    return "\n".join(parts)


ERRORS = {
    name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, errors.DeepSeekError)
}


def raised() -> Iterator[tuple[str, str, str]]:
    """Error, sentence and advice of each place in the package that makes one; … stands for what is filled in there."""
    for path in sorted(Path(deepseek_magic.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                hint = next((k.value for k in node.keywords if k.arg == "hint"), None)
                if node.args and (sentence := template(node.args[0])):
                    yield node.func.id, sentence, template(hint) or ""


def template(node: ast.expr | None) -> str | None:
    """The text that an expression makes, as far as it stands in the source; what the demo says as a server stays English."""
    match node:
        case ast.Call(func=ast.Name(id="Message"), args=[ast.Constant(value=str(text)), *_]):
            return re.sub(r"\{[a-z_]+\}", "…", localized(Message(text))).replace("……", "…")
        case ast.Constant(value=str(text)):
            return localized(Message(text))
    return None


def sentences() -> str:
    """Every sentence of an error that stands in the source, by its class."""
    shown = ([f"`{name}`", literal(sentence), literal(hint)] for name, sentence, hint in sorted(set(raised())))
    return table(("error", "you see", "and it says what to do"), shown)


def literal(text: str) -> str:
    """``text`` in which Markdown finds nothing: no flag becomes a dash, no name is emphasised."""
    for mark in "\\`*_{}[]<>$":
        text = text.replace(mark, "\\" + mark)
    return text.replace("--", "\\-\\-").replace("...", "\\.\\.\\.")


TABLES: Final[dict[str, Callable[[], str]]] = {
    "flags": flags,
    "arguments": arguments,
    "endpoints": endpoints,
    "models": models,
    "faults": faults,
    "magics": magics,
    "sentences": sentences,
}
