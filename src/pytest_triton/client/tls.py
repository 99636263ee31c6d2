"""How to be let in: TLS files and headers for a server that somebody else runs.

Credentials stay in the environment: values that are handed around, compared and shown know only
the names of the variables, and the texts read from them never show themselves.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from pytest_triton.errors import PytestTritonError

_SHORTEST = 4  # characters of a credential that is looked for in texts


class BadCredentials(PytestTritonError):
    """A TLS file or a header's environment variable can't be used."""


class Secret(str):
    """A text that doesn't show itself, neither in errors nor among the locals of a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True)
class Access:
    """What a server wants before it answers.

    `ca` is a PEM file with the authorities to trust (None: those of this machine), `certificate`
    and `key` are the client's own. `headers` are pairs of a header and the environment variable
    that has its value.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def header_values(self, environ: Mapping[str, str] = os.environ) -> dict[str, Secret]:
        """Raises BadCredentials, naming the variable, if one isn't set or can't be a header."""
        values = {}
        for header, variable in self.headers:
            value = environ.get(variable, "").strip()
            if not value or not value.isprintable() or not value.isascii():
                state = "isn't set" if not value else "has characters that a header can't have"
                raise BadCredentials(
                    f"The environment variable {variable}, for the header {header}, {state}.",
                    fix=f"export {variable}, with the whole value, such as 'Bearer ...'",
                )
            values[header] = Secret(value)
        return values

    def context(self, protocol: str) -> ssl.SSLContext:
        """A client's TLS context that verifies the server. Raises BadCredentials.

        `protocol` is what is spoken inside: `h2` or `http/1.1`.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("the CA file", self.ca, error) from error
        self.add_certificate(context)
        context.set_alpn_protocols([protocol])
        return context

    def add_certificate(self, context: ssl.SSLContext) -> None:
        """Let the context show the client's certificate, if there is one. Raises BadCredentials."""
        if self.certificate is None:
            if self.key is not None:
                raise BadCredentials(
                    f"There is a key ({self.key}) without a certificate", fix="name both"
                )
            return
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("the client's certificate", self.certificate, error) from error

    def hide(self, text: str) -> str:
        """The text without any of the credentials, should a server or proxy have repeated them."""
        hidden: str = _without(text, self._secrets())
        return hidden

    def hide_in(self, answer: object) -> object:
        """An answer's JSON without them, in any text and key of it."""
        return _without(answer, self._secrets()) if self.headers else answer

    def _secrets(self) -> list[str]:
        """The credentials in all forms that are looked for, the longest first."""
        found: set[str] = set()
        for _, variable in self.headers:
            value = os.environ.get(variable, "").strip()
            plain = {value, *value.split()[1:]}  # the token of `Bearer token`, repeated alone
            for word in tuple(plain):  # the user and password of `Basic ...`
                plain.update(_decoded(word))
            found.update(word for word in plain if len(word) >= _SHORTEST)
        for word in tuple(found):
            found.update(_encoded(word))
        return sorted(found, key=len, reverse=True)


OPEN = Access()
"""What lets everybody in."""


def _without(answer: Any, secrets: list[str]) -> Any:
    if isinstance(answer, str):
        for secret in secrets:
            answer = answer.replace(secret, "***")
        return answer
    if isinstance(answer, list):
        return [_without(one, secrets) for one in answer]
    if isinstance(answer, dict):
        return {_without(k, secrets): _without(v, secrets) for k, v in answer.items()}
    return answer


def _decoded(word: str) -> set[str]:
    """What a word says in base64, if that is text: `user:password`, and the password alone."""
    try:
        text = base64.b64decode(word, validate=True).decode("ascii")
    except ValueError:
        return set()
    return {text, text.partition(":")[2]} if text.isprintable() else set()


def _encoded(word: str) -> set[str]:
    """The forms in which others may repeat a word: quoted for URLs and JSON, and in base64.

    In base64 three bytes become four characters, so that a word in a longer text looks different
    by where it stands; of what its neighbours decide, nothing is looked for.
    """
    forms = {quote(word, safe=""), quote_plus(word), json.dumps(word)[1:-1]}
    for before in range(3):
        padded = base64.b64encode(b"\0" * before + word.encode()).decode()
        start = (before * 8 + 5) // 6
        end = (before + len(word)) * 8 // 6
        standard = padded[start:end]
        forms |= {standard, standard.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= _SHORTEST}


def _no_password() -> str:
    raise ssl.SSLError("the key is encrypted, and a password can't be asked for")


def _unusable(what: str, file: Path | None, error: Exception) -> BadCredentials:
    return BadCredentials(
        f"{what} {file} can't be used: {getattr(error, 'strerror', None) or error}",
        fix="name a readable PEM file",
    )
