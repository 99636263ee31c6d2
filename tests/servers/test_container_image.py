"""How an image is fetched: from a real registry, one of a few lines, on the loopback."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest

from pytest_triton.options.settings import ContainerOptions
from pytest_triton.servers.container import image as container_image
from pytest_triton.servers.container.image import ImageUnavailable, get_image
from support.builders import RepositoryBuilder

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_PASSWORD = "Basic " + base64.b64encode(b"somebody:secret").decode()


class Registry(ThreadingHTTPServer):
    """Serves one image, `team/triton:1`: https://distribution.github.io/distribution/spec/api/"""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.private = False
        self.stalls = False
        self.release = threading.Event()
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            member = tarfile.TarInfo(f"file-{time.time_ns()}")  # or the daemon would know it
            member.size = 1 << 20
            archive.addfile(member, io.BytesIO(bytes(member.size)))
        packed = gzip.compress(layer.getvalue())
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Env": ["TRITON_SERVER_VERSION=9.8.7", "PATH=/bin"],
                "Entrypoint": ["/opt/tritonserver/bin/tritonserver"],
            },
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer.getvalue())]},
        }
        text = json.dumps(config).encode()
        kinds = (
            "application/vnd.docker.container.image.v1+json",
            ("application/vnd.docker.image.rootfs.diff.tar.gzip"),
        )
        parts = [
            {"mediaType": kind, "size": len(data), "digest": _digest(data)}
            for kind, data in zip(kinds, (text, packed), strict=True)
        ]
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": parts[0]}
        self.manifest = json.dumps({**manifest, "layers": parts[1:]}).encode()
        self.blobs = {_digest(data): data for data in (text, packed)}

    @property
    def image(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}/team/triton:1"


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        registry = self.server
        if registry.private and self.headers.get("Authorization") != _PASSWORD:
            self._answer(401, b"{}", ("WWW-Authenticate", 'Basic realm="team"'))
        elif self.path == "/v2/":
            self._answer(200, b"{}")
        elif "/manifests/" in self.path and "/team/triton/" in self.path:
            self._answer(200, registry.manifest, ("Content-Type", _MANIFEST))
        elif self.path.rpartition("/")[2] in registry.blobs:
            if registry.stalls:
                registry.release.wait(60)
            self._answer(200, registry.blobs[self.path.rpartition("/")[2]])
        else:
            self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')

    do_HEAD = do_GET  # noqa: N815  # the standard library's way to name it

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Docker-Content-Digest", _digest(body))):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def registry(docker_image: str) -> Iterator[Registry]:
    serving = Registry()
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield serving
    serving.release.set()
    serving.shutdown()
    serving.server_close()
    thread.join()


@pytest.fixture
def client(registry: Registry) -> Iterator[docker.DockerClient]:
    made = docker.from_env()
    yield made
    for image in made.images.list(registry.image.rpartition(":")[0]):
        made.images.remove(image.id, force=True)
    made.close()


def test_missing_image_is_fetched_with_progress_and_known_by_its_digest(
    registry: Registry, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_image, "_STEP", 0.0)
    said: list[str] = []
    image = get_image(client, registry.image, ContainerOptions(), said.append)
    assert image.digest == _digest(registry.manifest)
    assert (image.version, image.runs_server) == ("9.8.7", True)
    assert image.note == f"image {registry.image} ({image.digest})"
    assert said[0].startswith(f"fetching {registry.image}")
    assert any("MB" in line for line in said[1:-1])
    assert said[-1].startswith(f"fetched {registry.image} in ")
    del said[:]
    assert get_image(client, registry.image, ContainerOptions(), said.append) == image
    assert said == [], "what is there isn't fetched again"
    get_image(client, registry.image, ContainerOptions(pull="always"), said.append)
    assert said


def test_fetch_that_stalls_ends_in_time(registry: Registry, client: docker.DockerClient) -> None:
    registry.stalls = True
    with pytest.raises(ImageUnavailable, match="could not be fetched in 1 s") as raised:
        get_image(client, registry.image, ContainerOptions(pull_timeout=1), lambda line: None)
    assert "--triton-pull-timeout" in str(raised.value)


def test_private_image_is_fetched_with_dockers_own_credentials(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.private = True
    host = registry.image.partition("/")[0]
    for login, works in (({}, False), ({host: {"auth": _PASSWORD.partition(" ")[2]}}, True)):
        (tmp_path / "config.json").write_text(json.dumps({"auths": login}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        client = docker.from_env()
        try:
            if works:
                assert get_image(client, registry.image, ContainerOptions(), print).version
                client.images.remove(registry.image)
            else:
                with pytest.raises(ImageUnavailable, match="docker login") as raised:
                    get_image(client, registry.image, ContainerOptions(), print)
                assert host in raised.value.fix
        finally:
            client.close()


def test_name_that_the_registry_does_not_know_is_reported(
    registry: Registry, client: docker.DockerClient
) -> None:
    name = registry.image.replace("triton:1", "tryton:1")
    with pytest.raises(ImageUnavailable, match="correct the name of the image"):
        get_image(client, name, ContainerOptions(), lambda line: None)


def test_run_of_pytest_shows_the_fetch_while_it_goes_on(
    registry: Registry,
    client: docker.DockerClient,
    pytester: pytest.Pytester,
    repository: RepositoryBuilder,
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    asked = [f"--triton-repo={repository.path}", f"--triton-image={registry.image}"]
    result = pytester.runpytest(*asked)
    result.stdout.fnmatch_lines(
        [
            f"triton: real run on tritonserver (container, {registry.image}) *",
            f"triton: fetching {registry.image} *",
            f"triton: fetched {registry.image} in * s",
            "*Cause: no tritonserver: there is no tritonserver in the image.",
        ]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
