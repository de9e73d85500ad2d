"""Where the modules of 0.1 are now: importing one by its old path fails with a sentence that names the new path.

Names that the documentation lists are imported from ``deepseek_magic`` itself, which has not changed.
"""

from __future__ import annotations

import sys

_FOLDERS = {
    ("demo", "demo.api"): "calls checks errors images ratelimit replies shapes tokens",
    ("demo", "demo"): "service:state",
    ("demo", "demo.faults"): "delivery kinds rewrites",
    ("demo", "demo.wire"): "http pace",
    ("engine", "engine"): "relay:failover watch:stop",
    ("engine", "engine.hosts"): "doctor endpoints health keys warmth",
    ("engine", "engine.journal"): "journal_file:file journal_writer:writer saved_chats",
    ("engine", "engine.network"): "inflate",
    ("engine", "session"): "asking cache earlier:previous images project prompts remembered:chats",
    ("notebook", "notebook.magic"): "cells chats completion defaults demo fix flags logs magics manuals past preview "
    "resume service turns",
    ("notebook", "notebook.panel"): "panel_answers:answers panel_calls:calls panel_chats:chats panel_gauges:gauges "
    "panel_magic:magic panel_still:still prompt_box",
    ("notebook", "notebook.panel.tabs"): "as_magic panel_controls:controls panel_history:history panel_lab:lab "
    "panel_sections:sections",
    ("notebook", "notebook.view"): "background broom formats handles live parts seam_marks settled status terminal "
    "views widgets",
    ("notebook", "session"): "files",
    ("policy", "policy.limits"): "buckets concurrency ratelimit_headers",
    ("policy", "text"): "sentences",
    ("protocol", "text"): "blocks extract growing inline language segments:segmenter",
}
"""(old folder, new folder) → the modules that moved from one to the other, with their new name where it changed."""

MOVED = {
    f"{__package__}.{old}.{entry.partition(':')[0]}": f"{__package__}.{new}.{entry.rpartition(':')[2]}"
    for (old, new), entries in _FOLDERS.items()
    for entry in entries.split()
}


class _Finder:
    """The last of the import system's finders: what it is asked for, no other has found."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name in MOVED:
            raise ModuleNotFoundError(f"{name} is now {MOVED[name]}: import it from there.", name=name)


sys.meta_path.append(_Finder)
