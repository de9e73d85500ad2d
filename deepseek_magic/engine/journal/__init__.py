"""The journal: every call on disk, written while it streams."""

from .reader import Entry as Entry
from .reader import Journal as Journal
