"""The article's loop with its own improvement: one ``requests.Session``, whose connections are kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import requests

from . import Ask, Target
from .article import asking

TITLE = "the article's loop with a session"
PACKAGE = "requests"


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    with requests.Session() as session:
        yield asking(session.post, target)
