"""The engine inside a web page: no thread, no socket; the page's own loop and the browser's ``fetch``."""
