"""The rehearsal's libraries for a container, whose system and processor may differ from ours.

On Linux they are this package's own. Elsewhere, and for images of another kind of processor, they
are taken once out of an image that `pytest-triton image` has built, into the cache:

    libraries/SOURCES-MACHINE/libpytest_triton_gpus.so
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.rehearsal.simulation import (
    BACKEND_LIBRARY,
    GPUS_LIBRARY,
    NATIVE_DIRECTORY,
    NativeLibraryMissing,
    sources_digest,
)
from pytest_triton.servers.container import ownership
from pytest_triton.servers.container.image import LIBRARIES_IN_IMAGE, Image
from pytest_triton.servers.process.releases import this_machine
from pytest_triton.text.cache_folder import cache_dir

if TYPE_CHECKING:
    import docker

_LARGEST = 16 << 20  # bytes of an archive with both; ours have 0.2 MB


def libraries_for(
    client: docker.DockerClient, image: Image | None, environ: Mapping[str, str] = os.environ
) -> Path:
    """The folder with libraries that run in the image. Raises NativeLibraryMissing."""
    machine = image.machine if image is not None else this_machine()
    is_ours = sys.platform == "linux" and machine == this_machine()
    if is_ours and _are_in(NATIVE_DIRECTORY):
        return NATIVE_DIRECTORY
    sources = sources_digest()
    cached = cache_dir(environ) / "libraries" / f"{sources}-{machine}"
    if _are_in(cached):
        return cached
    if image is None or image.libraries != sources:
        raise NativeLibraryMissing(
            f"There are no libraries for rehearsals (simulated GPUs, stand-in backends) in a "
            f"container for {machine}.",
            tried=[
                f"{NATIVE_DIRECTORY}: {'none' if is_ours else f'not for Linux on {machine}'}",
                f"{cached}: none",
                f"the image {image.name if image else ''}: "
                + ("built by another pytest-triton" if image and image.libraries else "none"),
            ],
            fix="build an image with them: pytest-triton image; it compiles them in Docker.",
        )
    take_out(client, image, cached)
    return cached


def take_out(client: docker.DockerClient, image: Image, folder: Path) -> None:
    """Copy the libraries out of an image into the new folder, whole or not at all."""
    name = f"pytest-triton-libraries-{uuid.uuid4().hex[:12]}"
    labels = ownership.labels(name, folder)
    del labels[ownership.FOLDER]  # it isn't removed with the container
    container = client.containers.create(image.id, ["true"], name=name, labels=labels)
    try:
        pieces, _ = container.get_archive(LIBRARIES_IN_IMAGE)
        packed = io.BytesIO()
        for piece in pieces:
            packed.write(piece)
            if packed.tell() > _LARGEST:
                raise NativeLibraryMissing(
                    f"{LIBRARIES_IN_IMAGE} in the image {image.name} is larger than any of ours.",
                    fix="build the image anew: pytest-triton image --force",
                )
    finally:
        container.remove(force=True)
    packed.seek(0)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        made.chmod(0o755)  # a server in a container may run as another user
        with tarfile.open(fileobj=packed) as archive:
            for library in (GPUS_LIBRARY, BACKEND_LIBRARY):
                member = archive.extractfile(f"{Path(LIBRARIES_IN_IMAGE).name}/{library}")
                assert member is not None
                (made / library).write_bytes(member.read())
                (made / library).chmod(0o755)
        with contextlib.suppress(OSError):  # another process was first
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _are_in(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (GPUS_LIBRARY, BACKEND_LIBRARY))
