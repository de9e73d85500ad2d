"""Pages of the web that go along with a prompt: real servers on this machine, which only a flag allows to ask."""

from __future__ import annotations

import gzip
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_magic.engine.network import webpages
from deepseek_magic.engine.network.webpages import is_public
from deepseek_magic.protocol.errors import ConfigurationError, DeepSeekError
from deepseek_magic.session.context import documents
from deepseek_magic.session.prepared import Prepared

from .conftest import KEY, Site, said, sent

Prepare = Callable[..., Prepared]

ARTICLE = """<!doctype html><html><head><title>Leaves</title><script>alert(1)</script></head><body>
<nav><a href="/">Home</a><a href="/x">Menu</a></nav><article><h1>Why leaves are green</h1>
<p>Leaves are green because chlorophyll absorbs red and blue light, and reflects the green part of the spectrum.</p>
<p>In autumn the chlorophyll is taken back into the tree, and carotenoids, which were there all summer, can be seen.</p>
</article><footer>Copyright, imprint, cookies</footer></body></html>"""


def test_the_readable_text_of_a_page_goes_along(prepare: Prepare, site: Site) -> None:
    url = site.page("/leaves", ARTICLE)
    made = prepare("Why?", url=url, private_urls=True, dry_run=True)
    text = sent(made)
    assert text.startswith(f"Page {url}:\n```\n")
    assert "chlorophyll absorbs red and blue light" in text
    assert "alert(1)" not in text
    assert made.request.prompt == "Why?"
    assert said(made)[-1].startswith(f"Sent along: {url} (")
    assert len(site.asked) == 1


def test_nothing_of_the_user_goes_to_the_page(prepare: Prepare, site: Site) -> None:
    prepare("Why?", url=site.page("/a", "text", "text/plain"), private_urls=True, dry_run=True)
    assert set(site.asked[0][1]) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
    assert KEY not in str(site.asked)


def test_plain_text_json_and_what_is_compressed_are_read(prepare: Prepare, site: Site) -> None:
    json = site.page("/a.json", '{"a": "ä"}', "application/json")
    packed = site.page("/z", gzip.compress("gepackt ü".encode("latin-1")), "text/plain; charset=latin-1", **{"Content-Encoding": "gzip"})  # fmt: skip
    text = sent(prepare("?", url=[json, packed], private_urls=True, dry_run=True))
    assert '{"a": "ä"}' in text
    assert "gepackt ü" in text


@pytest.mark.parametrize(
    "address",
    [
        *("http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/", "http://0.0.0.0:{port}/"),
        *("http://127.1:{port}/", "http://2130706433:{port}/", "http://0x7f000001:{port}/"),
        *("http://[::ffff:127.0.0.1]:{port}/", "http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/"),
        *("http://169.254.169.254/latest/meta-data/", "http://100.64.0.1/", "http://[fe80::1]/", "http://[fd00::1]/"),
        *("http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://224.0.0.1/", "http://255.255.255.255/"),
    ],
)
def test_this_machine_and_private_networks_are_not_asked(prepare: Prepare, site: Site, address: str) -> None:
    site.page("/", "secret", "text/plain")
    with pytest.raises(ConfigurationError, match="is of this machine or of a private network") as caught:
        prepare("?", url=address.format(port=site.port), dry_run=True)
    assert str(caught.value).endswith("--private-urls allows it.")
    assert site.asked == []


def test_every_address_of_a_name_is_looked_at_and_asked_by_number(
    prepare: Prepare, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers the check with one address and the connection with another gets nowhere."""
    site.page("/", "secret", "text/plain")
    answers = [["93.184.216.34", "127.0.0.1"], ["127.0.0.1"]]
    resolve = socket.getaddrinfo

    def rebinding(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "rebind.example":
            return resolve(host, port, *args, **kwargs)
        found = answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(ConfigurationError, match=r"rebind\.example is of this machine .* \(127\.0\.0\.1\)"):
        prepare("?", url=f"http://rebind.example:{site.port}/", dry_run=True)
    assert site.asked == []
    # Looked up once for what is connected to: with the flag the page is had by the second answer, and no third is asked for.
    text = sent(prepare("?", url=f"http://rebind.example:{site.port}/", private_urls=True, dry_run=True))
    assert "secret" in text
    assert answers == []
    assert site.asked[0][1]["Host"] == f"rebind.example:{site.port}"


def test_a_redirect_to_a_private_address_is_not_followed(
    prepare: Prepare, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = Site()
    secret = inside.page("/", "secret", "text/plain")
    url = site.page("/go", "", status=302, Location=secret)
    public = iter([True])  # the first one passes for a server of the internet
    monkeypatch.setattr(webpages, "is_public", lambda address: next(public, False))
    with pytest.raises(ConfigurationError, match="is of this machine or of a private network"):
        prepare("?", url=url, dry_run=True)
    assert [path for path, _ in site.asked] == ["/go"]
    assert inside.asked == []
    inside.server.shutdown()
    inside.server.server_close()


def test_redirects_are_followed_to_where_they_end(prepare: Prepare, site: Site) -> None:
    site.page("/end", "here", "text/plain")
    site.page("/b", "", status=301, Location="end")
    url = site.page("/a", "", status=302, Location="/b")
    assert "here" in sent(prepare("?", url=url, private_urls=True, dry_run=True))
    loop = site.page("/loop", "", status=302, Location="/loop")
    with pytest.raises(ConfigurationError, match="it was redirected more than 5 times"):
        prepare("?", url=loop, private_urls=True, dry_run=True)


REFUSED = {
    "404": ("/no", None, "the server answered 404 (Not Found)"),
    "500": ("/broken", {"status": 500}, "the server answered 500 (Internal Server Error)"),
    "a picture": ("/p", {"kind": "image/png"}, "it is no text but image/png"),
    "a PDF": ("/d", {"kind": "application/pdf"}, "it is no text but application/pdf"),
    "an archive": ("/z", {"kind": "application/octet-stream"}, "it is no text but application/octet-stream"),
    "brotli": ("/br", {"Content-Encoding": "br"}, "it is compressed in a way that was not asked for (br)"),
    "broken gzip": ("/gz", {"Content-Encoding": "gzip"}, "its compressed data is damaged"),
}


@pytest.mark.parametrize(("path", "page", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_one_sentence(
    prepare: Prepare, site: Site, path: str, page: dict[str, Any] | None, why: str
) -> None:
    if page is not None:
        site.page(path, "x", **page)
    with pytest.raises(ConfigurationError) as caught:
        prepare("?", url=f"{site.url}{path}", private_urls=True, dry_run=True)
    assert str(caught.value).startswith(f"The page {site.url}{path} was not fetched: {why}.")


def test_a_page_has_a_limit_also_once_it_is_unpacked(
    prepare: Prepare, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webpages, "MAX_PAGE_BYTES", 1_000_000)
    plain = site.page("/long", "x" * 1_000_001, "text/plain")
    bomb = site.page("/bomb", gzip.compress(b"x" * 50_000_000), "text/plain", **{"Content-Encoding": "gzip"})
    for url in (plain, bomb):
        with pytest.raises(ConfigurationError, match="it is larger than 1 MB"):
            prepare("?", url=url, private_urls=True, dry_run=True)


@pytest.mark.parametrize(
    "address", ["ftp://a.example/x", "file:///etc/passwd", "a.example", "https://", "http://a b/", "http://a\n.b/", "http://[x/"]
)  # fmt: skip
def test_only_addresses_of_pages_are_asked(prepare: Prepare, address: str) -> None:
    with pytest.raises(ConfigurationError, match="it is no address that begins with https:// or http://"):
        prepare("?", url=address, dry_run=True)


@pytest.mark.parametrize("host", ["a" * 300 + ".com", "a..example", "\u4e2d" * 80])
def test_a_name_that_no_host_can_have_is_refused(prepare: Prepare, host: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"The page .* was not fetched: (no host can have its name|it is no address)"
    ):
        prepare("?", url=f"http://{host}/", dry_run=True)


def test_a_redirect_to_no_address_is_refused(prepare: Prepare, site: Site) -> None:
    url = site.page("/odd", "", status=302, Location="http://[::1")
    with pytest.raises(ConfigurationError, match="/odd was not fetched: it was redirected to what is no address"):
        prepare("?", url=url, private_urls=True, dry_run=True)


def test_an_address_with_a_password_is_refused_without_it(prepare: Prepare) -> None:
    with pytest.raises(ConfigurationError, match="it holds a name or a password") as caught:
        prepare("?", url="https://me:hunter22@a.example/", dry_run=True)
    assert "hunter22" not in str(caught.value)


def test_a_name_that_is_none_and_a_port_where_nobody_listens_are_said(prepare: Prepare) -> None:
    with pytest.raises(DeepSeekError, match=r"The name nowhere\.invalid could not be resolved"):
        prepare("?", url="https://nowhere.invalid/", dry_run=True)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DeepSeekError, match=rf"Nothing is listening at 127\.0\.0\.1:{port}"):
        prepare("?", url=f"http://127.0.0.1:{port}/", private_urls=True, dry_run=True)


def test_a_proxy_is_asked_only_where_private_addresses_may_be(
    prepare: Prepare, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.page("http://a.example:80/x", "by proxy", "text/plain")  # as httpcore asks a proxy
    monkeypatch.setenv("http_proxy", site.url)
    with pytest.raises(ConfigurationError, match="a proxy would be asked for it"):
        prepare("?", url="http://a.example/x", dry_run=True)
    assert "by proxy" in sent(prepare("?", url="http://a.example/x", private_urls=True, dry_run=True))


def test_a_page_without_text_and_a_missing_package_are_said(
    prepare: Prepare, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = site.page("/empty", "<html><body><script>render()</script></body></html>")
    with pytest.raises(ConfigurationError, match="no text was found in it; pages that scripts write are empty"):
        prepare("?", url=url, private_urls=True, dry_run=True)
    monkeypatch.setitem(__import__("sys").modules, "trafilatura", None)
    with pytest.raises(
        ConfigurationError, match=r"trafilatura is not installed\. pip install 'deepseek-magic\[context\]'"
    ):
        documents.of_html(b"<p>x</p>", url, None)


@pytest.mark.parametrize("charset", ["punycode", "idna", "hex", "unicode_escape", "no-such"])
def test_only_encodings_of_texts_are_used(prepare: Prepare, site: Site, charset: str) -> None:
    url = site.page("/c", "The word is naïve-\\u0041.", f"text/plain; charset={charset}")
    assert "naïve-\\u0041." in sent(prepare("?", url=url, private_urls=True, dry_run=True))
    assert documents.decoded(b"a", charset) is None


@pytest.mark.parametrize(("limit", "most"), [("MAX_TAGS", 101), ("MAX_HTML_CHARS", 2_000)])
@pytest.mark.parametrize("charset", ["; charset=utf-8", ""])
def test_of_a_very_long_page_the_beginning_is_read_and_it_is_said(
    prepare: Prepare, site: Site, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, charset: str
) -> None:
    monkeypatch.setattr(documents, limit, most)
    page = "".join(f"<p>This is paragraph {number} of many.</p>" for number in range(100))
    url = site.page("/long", page, f"text/html{charset}")
    made = prepare("?", url=url, private_urls=True, dry_run=True)
    assert "paragraph 40 of" in sent(made)
    assert "paragraph 60 of" not in sent(made)
    assert f"Only the beginning of the page {url} was read, because it is very long." in said(made)


def test_an_address_shows_its_blanks_without_ink(prepare: Prepare, site: Site) -> None:
    site.page("/a%E3%85%A4b", "word", "text/plain")
    made = prepare("?", url=f"{site.url}/a\u3164b", private_urls=True, dry_run=True)
    assert sent(made).startswith(f"Page {site.url}/a[U+3164]b:\n```\nword")
    assert f"Sent along: {site.url}/a[U+3164]b (" in said(made)[-1]


def test_secrets_of_a_page_are_left_out_too(prepare: Prepare, site: Site) -> None:
    url = site.page("/s", f"the key is {KEY}", "text/plain")
    made = prepare("?", url=url, private_urls=True, dry_run=True)
    assert KEY not in made.request.encoded().decode()
    assert f"1× in {url}." in said(made)[0]


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)
    assert ipaddress.ip_address(address)
