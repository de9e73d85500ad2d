"""Files that are attached to the panel's next question, without a browser: what they are called, and what is kept."""

from __future__ import annotations

from deepseek_magic.notebook.panel.attached import AttachedFiles


def test_files_of_one_name_are_all_kept_and_told_apart() -> None:
    files = AttachedFiles(lambda: None)
    try:
        for text in (b"one", b"two", b"three"):
            files._picked({"new": ({"name": "notes.txt", "content": text},)})
        kept = {name: path.read_bytes() for name, path in files.chosen.items()}
        assert kept == {"notes.txt": b"one", "notes (2).txt": b"two", "notes (3).txt": b"three"}
        shown = [button.description for button in files.box.children[1:]]
        assert shown == ["notes.txt ×", "notes (2).txt ×", "notes (3).txt ×"]
        files._take_out("notes.txt")
        files._picked({"new": ({"name": "notes.txt", "content": b"four"},)})
        assert files.chosen["notes.txt"].read_bytes() == b"four"
        assert len(files.chosen) == 3
    finally:
        files.close()
