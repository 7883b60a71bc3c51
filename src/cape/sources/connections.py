"""Requests to registries: connections, proxies, credentials, and what a failure means.

Owns one request and its answer, with errors that tell what may pass from what stays. What is done with the
bytes, and how often it is tried, is its callers'.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

from cape.sources import reach
from cape.sources.protocol import RegistryUnreachable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

_log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 16
_GONE = frozenset({404, 410})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that another attempt may cure."""


class FileNotServed(RegistryUnreachable):
    """A registry answers, and says that it has no such file."""

    slug = "file-not-served"


class RegistryRefuses(RegistryUnreachable):
    """A registry answers, and wants other credentials than it was given."""

    slug = "registry-refuses"


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a server may take, and how often it is asked again.

    `attempts` counts attempts in a row that brought nothing; an attempt that brought bytes starts the
    count anew. Waits double from `pause_s` up to `longest_pause_s`.
    """

    connect_s: float = 15.0
    silence_s: float = 30.0
    """The longest time without a byte before a server counts as stalled."""
    attempts: int = 5
    pause_s: float = 0.4
    longest_pause_s: float = 8.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row."""
        return float(min(self.longest_pause_s, self.pause_s * 2 ** (failures - 1)))


def usual_patience() -> Patience:
    """What the settings `network.silence` and `network.attempts` say. Raises `BadConfiguration`."""
    from cape.configuration import Configuration

    usual, configuration = Patience(), Configuration.read()
    silence_s = configuration.number("network.silence", usual.silence_s)
    attempts = max(1, int(configuration.number("network.attempts", usual.attempts)))
    return Patience(connect_s=min(silence_s, usual.connect_s), silence_s=silence_s, attempts=attempts)


def offer_credentials(prefix: str, authorisation: str) -> None:
    """Send this `Authorization` with requests to URLs that start with `prefix`, for this process.

    For registries whose clients keep tokens, which have no place in a URL. The longest prefix wins.
    """
    _offered[prefix] = authorisation


_offered: dict[str, str] = {}


def shown_url(url: str) -> str:
    """The URL as messages may show it: without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Passing(Exception):
    """A failure that another attempt may cure: a reset, a time-out, an overloaded server."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@contextmanager
def answer_of(url: str, headers: Mapping[str, str], patience: Patience) -> Iterator[BaseHTTPResponse]:
    """The server's answer with a status of success or 416.

    Raises `Passing` for what may pass, `FileNotServed`, `RegistryUnreachable`.
    """
    if reach.is_forbidden():
        raise reach.offline("this is not here", where=shown_url(url))
    import urllib3  # which opens a socket as it is imported, to see whether there is IPv6

    plain, authorisation = _credentials_apart(url)
    try:
        answer = _manager_for(plain).request(
            "GET",
            plain,
            headers={"Accept-Encoding": "identity", **authorisation, **headers},
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(connect=patience.connect_s, read=patience.silence_s),
            retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=10),
        )
    except urllib3.exceptions.HTTPError as error:
        raise _failure(url, error) from None
    except ValueError as error:
        raise RegistryUnreachable(f"not a URL that can be asked: {error}", where=shown_url(url)) from None
    try:
        _check_status(answer, url)
        yield answer
    finally:
        answer.close()


def chunks_of(answer: BaseHTTPResponse) -> Iterator[bytes]:
    """The body in pieces. Raises `Passing` when the connection breaks."""
    import urllib3

    try:
        yield from answer.stream(_CHUNK_BYTES, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Passing(_reason(error)) from None


def _check_status(answer: BaseHTTPResponse, url: str) -> None:
    status = answer.status
    if 200 <= status < 300 or status == 416:
        return
    if status in _GONE:
        raise FileNotServed(f"the registry has no such file (HTTP {status})", where=shown_url(url))
    if status in _PASSING:
        raise Passing(f"HTTP {status}", wait_s=_retry_after(answer))
    fact = f"the registry answered with HTTP {status}"
    if status in (401, 403, 407):
        hint = "the registry wants other credentials than it was given"
        raise RegistryRefuses(fact, where=shown_url(url), hint=hint)
    raise RegistryUnreachable(fact, where=shown_url(url))


def _retry_after(answer: BaseHTTPResponse) -> float:
    """The seconds a server asks us to wait, at most 20; 0 when it does not say."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), 20.0) if text.isdecimal() else 0.0


def _failure(url: str, error: Exception) -> Exception:
    """Our error for one of urllib3's that came before an answer."""
    import urllib3

    cause: BaseException = error
    if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason is not None:
        cause = error.reason
    if isinstance(cause, urllib3.exceptions.ResponseError):
        return RegistryUnreachable("the registry redirects without end", where=shown_url(url))
    if isinstance(cause, urllib3.exceptions.LocationValueError | urllib3.exceptions.URLSchemeUnknown):
        return RegistryUnreachable("not a URL that can be asked", where=shown_url(url))
    if "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return RegistryUnreachable(
            "the registry's certificate is not trusted here",
            where=shown_url(url),
            hint="`SSL_CERT_FILE` may name a file with the certificates to trust",
        )
    if _leads_nowhere(cause) and not reach.has_way_out():
        return reach.offline("this is not here", where=shown_url(url))
    return Passing(_reason(cause))


def _leads_nowhere(cause: BaseException) -> bool:
    """Whether no packet was sent: no name, or no route."""
    import urllib3

    text = str(cause)
    unresolved = isinstance(cause, urllib3.exceptions.NameResolutionError) or "Failed to resolve" in text
    return unresolved or "Network is unreachable" in text or "No route to host" in text


def _reason(error: BaseException) -> str:
    """What broke, in words, without URLs (they may hold secrets)."""
    import urllib3

    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its name could not be resolved"
    if isinstance(error, urllib3.exceptions.ProxyError):
        return "the proxy did not answer"
    text = str(error)
    for known, words in (
        ("Connection refused", "connection refused"),
        ("reset by peer", "connection reset"),
        ("Remote end closed", "connection closed"),
        ("IncompleteRead", "the answer ended early"),
    ):
        if known in text:
            return words
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "it was silent for too long"
    return f"the connection broke ({type(error).__name__})"


def unreachable(url: str, reason: str, attempts: int) -> RegistryUnreachable:
    times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return RegistryUnreachable(
        f"the registry did not answer: {reason} ({times})",
        where=shown_url(url),
        hint="what came so far is kept; try again when the registry can be reached",
    )


def local_file(url: str) -> BinaryIO:
    path = Path(unquote(urlsplit(url).path))
    try:
        return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotServed("there is no such file", where=str(path)) from error
    except OSError as error:
        raise RegistryUnreachable(f"cannot read: {error.strerror}", where=str(path)) from error


def _credentials_apart(url: str) -> tuple[str, dict[str, str]]:
    """The URL without user and password, and the header that carries them."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        offered = [prefix for prefix in _offered if url.startswith(prefix)]
        return url, {"Authorization": _offered[max(offered, key=len)]} if offered else {}
    import urllib3

    header = urllib3.make_headers(basic_auth=unquote(user) if ":" in user else f"{unquote(user)}:")
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": header["authorization"]}


def _manager_for(url: str) -> PoolManager:
    """The connections to use for a URL: direct, or through the proxy that the environment names."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and proxy_bypass(parts.hostname or ""):
        proxy = None
    return _manager(proxy, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=8)
def _manager(proxy: str | None, _certificates: str | None, _directory: str | None) -> PoolManager:
    """A pool of connections. The certificate places are OpenSSL's to read, and part of the key only."""
    import ssl

    import urllib3

    context = ssl.create_default_context()
    if proxy is None:
        return urllib3.PoolManager(num_pools=16, maxsize=8, ssl_context=context)
    address, credentials = _credentials_apart(proxy if "://" in proxy else f"http://{proxy}")
    headers = {"Proxy-Authorization": credentials["Authorization"]} if credentials else None
    try:
        return urllib3.ProxyManager(
            address, num_pools=16, maxsize=8, ssl_context=context, proxy_headers=headers
        )
    except urllib3.exceptions.ProxySchemeUnknown:
        raise RegistryUnreachable(
            "cape speaks to proxies by http and https only", where=shown_url(address)
        ) from None
