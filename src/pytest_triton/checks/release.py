"""The release of Triton that a run is about: who says which one, before any server was asked."""

from __future__ import annotations

from pytest_triton.errors import PytestTritonError
from pytest_triton.options.hosts import ContainerHost, ProcessHost
from pytest_triton.options.settings import Settings
from pytest_triton.placement.releases import (
    NEWEST_KNOWN,
    ChosenRelease,
    NotARelease,
    Version,
    read_release,
    release_of_image,
)

THE_SERVER = "of the server"


def release_of(settings: Settings) -> ChosenRelease:
    """From the option, else from what is known of the server before it runs.

    In this order, so that a further source (what production deploys) has its place among them. One
    that is `assumed` gives way to what the running server says.
    """
    if settings.release is not None:
        return ChosenRelease(settings.release, f"--triton-release ({settings.sources['release']})")
    host = settings.host
    if isinstance(host, ContainerHost):
        return _of_image(host)
    return _of_process(host) if isinstance(host, ProcessHost) else NEWEST_KNOWN


def _of_image(host: ContainerHost) -> ChosenRelease:
    from pytest_triton.servers.container.image import OFFICIAL_IMAGE

    version = release_of_image(host.image or OFFICIAL_IMAGE)
    return NEWEST_KNOWN if version is None else ChosenRelease(version, "of the image, by its tag")


def _of_process(host: ProcessHost) -> ChosenRelease:
    from pytest_triton.servers.process.discovery import find_tritonserver

    try:
        version = release_said(find_tritonserver(host.binary, host.version).version)
    except PytestTritonError:
        return NEWEST_KNOWN  # there is none to run, and who needs one says so
    return NEWEST_KNOWN if version is None else ChosenRelease(version, THE_SERVER)


def release_said(text: str | None) -> Version | None:
    """The release that a server's own version names; None if its rules aren't known."""
    try:
        return None if text is None else read_release(text)
    except NotARelease:
        return None


def header_line(settings: Settings) -> str:
    """`triton release: 2.70.0 (26.06), --triton-release (command line)`."""
    release = release_of(settings)
    if not release.assumed:
        return f"triton release: {release}"
    return (
        f"triton release: {release}, until the server says its own (--triton-release names another)"
    )
