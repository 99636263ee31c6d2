"""How to be let in: TLS files and headers for a server that somebody else runs.

Credentials stay in the environment: values that are handed around, compared and shown know only
the names of the variables, and the texts read from them never show themselves.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
                    cure=f"export {variable}, with the whole value, such as 'Bearer ...'",
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
                    f"There is a key ({self.key}) without a certificate", cure="name both"
                )
            return
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("the client's certificate", self.certificate, error) from error

    def hide(self, text: str) -> str:
        """The text without any of the credentials, should a server or proxy have repeated them."""
        for _, variable in self.headers:
            for word in (os.environ.get(variable, "").strip(), *_words(variable)):
                if len(word) >= _SHORTEST:
                    text = text.replace(word, "***")
        return text


OPEN = Access()
"""What lets everybody in."""


def _words(variable: str) -> list[str]:
    """The token of `Bearer token`, which may be repeated alone."""
    return os.environ.get(variable, "").split()[1:]


def _no_password() -> str:
    raise ssl.SSLError("the key is encrypted, and a password can't be asked for")


def _unusable(what: str, file: Path | None, error: Exception) -> BadCredentials:
    return BadCredentials(
        f"{what} {file} can't be used: {getattr(error, 'strerror', None) or error}",
        cure="name a readable PEM file",
    )
