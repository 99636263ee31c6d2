"""Repositories in S3: a real S3 server on the loopback (moto), and a real tritonserver."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from pytest_triton.text.cache_folder import cache_dir

pytestmark = pytest.mark.server

SECRET = "verysecret/verysecret"
KEY = "AKIAVERYSECRETKEY00"
TENSORS = """\
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
GPU = f'backend: "onnxruntime"\ninstance_group [ {{ kind: KIND_GPU }} ]\n{TENSORS}'
CPU = f'backend: "python"\ninstance_group [ {{ kind: KIND_CPU }} ]\n{TENSORS}'


class Store:
    """A bucket with a repository `models`, and commands that see it as a user of it would."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.cache = folder / "cache"
        self.folder = folder
        self.client: Any = boto3.client("s3", endpoint_url=f"http://{address}")
        self.client.create_bucket(Bucket="bucket")
        self.put("a/config.pbtxt", GPU)
        self.put("a/1/model.onnx", b"x" * 200_000)
        self.put("b/config.pbtxt", CPU)
        self.put("b/1/model.py", "class TritonPythonModel:\n    def execute(self, requests): ...\n")
        self.put("c/config.pbtxt", GPU)

    def put(self, key: str, content: str | bytes) -> None:
        self.client.put_object(Bucket="bucket", Key=f"models/{key}", Body=content)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environ = {
            **os.environ,
            "AWS_ENDPOINT_URL": f"http://{self.address}",
            "PYTEST_TRITON_CACHE": str(self.cache),
            **environment,
        }
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )

    def copies(self) -> dict[str, Path]:
        root = self.cache / "stores"
        return {"/".join(p.relative_to(root).parts[2:]): p for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    releases = cache_dir() / "releases"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # Servers of one process share their buckets: without this, keys of other tests are in ours.
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"").close()
    made = Store(f"{host}:{port}", tmp_path)
    made.cache.mkdir()
    (made.cache / "releases").symlink_to(releases)
    yield made
    server.stop()


def test_repository_in_s3_is_checked_with_small_files_fetched_only(store: Store) -> None:
    arguments = ("pytest", "-p", "no:cacheprovider", "--triton-repo=s3://bucket/models")
    result = store.run(*arguments)
    assert result.returncode == 0, result.stdout
    assert "s3://bucket/models: fetching 4 of 5 files" in result.stdout
    assert "3 models in s3://bucket/models" in result.stdout
    assert "1 model: files assumed" in result.stdout
    assert "15 passed" in result.stdout
    copies = store.copies()
    weights = copies["a/1/model.onnx"].stat()
    assert (weights.st_size, weights.st_blocks) == (200_000, 0), "its name and size alone"
    assert copies["b/config.pbtxt"].read_text() == CPU
    again = store.run(*arguments, "-n2")
    assert "fetching" not in again.stdout
    assert "15 passed" in again.stdout


def test_what_changed_is_fetched_again_and_what_is_gone_goes(store: Store) -> None:
    predict = ("pytest_triton", "predict", "s3://bucket/models", "--gpus", "2")
    assert store.run(*predict).returncode == 0
    store.put("a/config.pbtxt", GPU.replace("KIND_GPU", "KIND_CPU"))
    store.client.delete_object(Bucket="bucket", Key="models/c/config.pbtxt")
    result = store.run(*predict)
    assert "fetching 1 of 4 files" in result.stderr
    assert "CPU x2" in result.stdout
    assert "c/config.pbtxt" not in store.copies()


@pytest.mark.parametrize("key", ["../../evil", "..", "x/../../../../evil", "/evil", "m//evil"])
def test_name_that_would_leave_the_copy_is_never_written(store: Store, key: str) -> None:
    store.put(key, "evil")
    result = store.run("pytest_triton", "audit", "s3://bucket/models")
    assert "3 models: " in result.stdout or "4 models: " in result.stdout  # with `x`
    assert not [path for path in store.folder.rglob("*") if path.name == "evil"]


def test_link_that_was_put_into_the_copy_is_not_followed(store: Store, tmp_path: Path) -> None:
    predict = ("pytest_triton", "predict", "s3://bucket/models")
    store.run(*predict)
    outside = tmp_path / "outside"
    outside.mkdir()
    model = store.copies()["b/config.pbtxt"].parent
    for path in (model / "1/model.py", model / "config.pbtxt"):
        path.unlink()
    (model / "1").rmdir()
    (model / "1").symlink_to(outside)
    (model / "config.pbtxt").symlink_to(outside / "config.pbtxt")
    assert store.run(*predict).returncode == 0
    assert [*outside.iterdir()] == []


def test_values_and_strict_weights_work_on_stores_too(store: Store) -> None:
    store.put("a/config.pbtxt", GPU.replace("KIND_GPU", "KIND_${kind}"))
    predict = ("pytest_triton", "predict", "s3://bucket/models", "--gpus", "2")
    result = store.run(*predict, "--values", "kind=CPU")
    assert ["a", "CPU", "CPU", "x2"] in [line.split() for line in result.stdout.splitlines()]
    strict = store.run(*predict, "--values", "kind=CPU", "--weights", "present")
    assert strict.returncode == 1
    assert "ready on none of this hardware: c" in strict.stderr


@pytest.mark.parametrize(
    ("url", "environment", "said"),
    [
        ("s3://bucket/nothing", {}, "There is nothing at s3://bucket/nothing"),
        ("s3://nobucket/x", {}, "there is no such bucket or folder"),
        ("s3://bucket/models", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "check the URL"),
        ("s3://bucket/models", {"PYTEST_TRITON_CACHE": "/proc/x"}, "can't be written"),
        (f"s3://{KEY}:{SECRET}@bucket/models", {}, "with credentials"),
        ("gs://bucket/models", {}, "gcsfs isn't installed"),
        ("s3://bucket/models/b/1/model.py", {}, "s3://bucket/models/b/1/model.py is a file"),
        ("s3://bucket/models/b", {}, "Did you mean its parent? s3://bucket/models\n"),
    ],
)
def test_store_that_can_not_be_read_is_an_error_without_credentials(
    store: Store, url: str, environment: dict[str, str], said: str
) -> None:
    for command in (("pytest", f"--triton-repo={url}"), ("pytest_triton", "predict", url)):
        result = store.run(*command, **environment)
        text = result.stdout + result.stderr
        assert said in text
        assert "Traceback" not in text
        assert result.returncode not in (0, 5)
        assert KEY not in text
        assert SECRET not in text


def test_real_backends_are_refused_for_a_store(store: Store) -> None:
    result = store.run("pytest", "--triton-repo=s3://bucket/models", "--triton-backends=real")
    assert result.returncode == 4
    assert "of which only small files are fetched" in result.stderr


def test_failing_model_is_shown_and_selected_by_its_url(store: Store) -> None:
    store.put("a/config.pbtxt", GPU.replace("KIND_GPU", "KIND_GPUU"))
    store.put("e/config.pbtxt", f'backend: "onnxruntime"\n{TENSORS}')
    models = ("pytest", "--triton-repo=s3://bucket/models")
    result = store.run(*models)
    assert "cache/stores" not in result.stdout
    assert "no version directory" not in result.stdout
    unreadable = "s3://bucket/models/a/config.pbtxt::test_config"
    fallback = "s3://bucket/models/e/config.pbtxt::test_explicit_placement"
    assert f"FAILED {unreadable}" in result.stdout
    assert f"FAILED {fallback}" in result.stdout
    assert "s3://bucket/models/a/config.pbtxt:2:26: `KIND_GPUU` is not" in result.stdout
    assert "  config    s3://bucket/models/e/config.pbtxt" in result.stdout
    assert "1 failed" in store.run(*models, unreadable).stdout
    assert "1 failed, 4 passed" in store.run(*models, fallback.partition("::")[0]).stdout
    assert "2 failed" in store.run(*models, "--lf").stdout
    audit = store.run("pytest_triton", "audit", "s3://bucket/models")
    assert "s3://bucket/models/e/config.pbtxt:1:1: TRT101" in audit.stdout


FAULTY = {
    "syntax/config.pbtxt": 'backend: "python"\ninstance_group [ { kind KIND_CPU } ]\n',
    "group/config.pbtxt": GPU.replace("KIND_GPU", "KIND_GPU gpus: [ 9 ]"),
    "undeclared/config.pbtxt": f'backend: "onnxruntime"\n{TENSORS}',
    "misnamed/config.pbtx": GPU,
    "beside/config.pbtxt": CPU,
    "beside/model.py": "",
    "inverted/1/config.pbtxt": CPU,
    "nested/x/config.pbtxt": CPU,
    "warm/config.pbtxt": CPU + 'model_warmup [ { name: "w" batch_size: 1 inputs { key: "X" value '
    '{ data_type: TYPE_FP32 dims: [ 4 ] input_data_file: "raw" } } } ]\n',
    "warm/1/model.py": "",
    "warm/raw": "x",
}


def test_no_command_names_the_copy_of_a_faulty_repository(store: Store) -> None:
    for key, content in FAULTY.items():
        store.put(key, content)
    url = "s3://bucket/models"
    audit, predict = ("audit", url), ("predict", url)
    said = ""
    for command in (
        *(("audit", url, "--format", form) for form in ("text", "json", "sarif", "github")),
        (*audit, "--weights", "present"),
        predict,
        (*predict, "--json"),
        (*predict, "--json", "--explain", "warm"),
        (*predict, "--explain", "syntax"),
        ("plan", url),
        ("plan", url, "--json"),
        ("predict", f"{url}/b"),
    ):
        result = store.run("pytest_triton", *command)
        assert "Traceback" not in result.stderr, command
        assert str(store.cache) not in result.stdout + result.stderr, command
        assert "cache/stores" not in result.stdout + result.stderr, command
        said += result.stdout + result.stderr
    assert '"uri": "s3://bucket/models/syntax/config.pbtxt"' in said
    assert '"config": "s3://bucket/models/group/config.pbtxt"' in said
    assert "--triton-job=1-gpu s3://bucket/models/a s3://bucket/models/c" in said
    assert "move s3://bucket/models/beside/model.py to s3://bucket/models/beside/1/" in said
    assert "mkdir s3:" not in said
    assert "mv s3:" not in said


def test_no_report_names_the_copy_of_a_faulty_repository(store: Store) -> None:
    for key, content in FAULTY.items():
        store.put(key, content)
    reports = ("--triton-ledger=ledger.json", "--triton-html=page.html", "--junitxml=junit.xml")
    repo = "--triton-repo=s3://bucket/models"
    result = store.run("pytest", "-p", "no:cacheprovider", repo, *reports)
    assert result.returncode == 1, result.stdout
    texts = {"pytest": result.stdout + result.stderr}
    for name in ("ledger.json", "page.html", "junit.xml"):
        texts[name] = (store.folder / name).read_text()
    for form in ("html", "markdown", "github", "gitlab", "junit", "sarif"):
        report = store.run("pytest_triton", "report", "ledger.json", "--format", form)
        assert report.returncode == 0
        texts[form] = report.stdout
    for name, text in texts.items():
        assert "bucket/models" in text, name
        assert "cache/stores" not in text, name


def test_node_that_is_not_found_is_named_by_its_url(store: Store) -> None:
    repo = "--triton-repo=s3://bucket/models"
    for node in ("none/config.pbtxt::test_config", "a/config.pbtxt::test_none"):
        result = store.run("pytest", repo, f"s3://bucket/models/{node}")
        assert result.returncode == 4
        assert f"not found: s3://bucket/models/{node}" in result.stderr
        assert "cache/stores" not in result.stdout + result.stderr


def test_fix_is_refused_and_not_offered_for_a_store(store: Store) -> None:
    store.put("r/config.pbtxt", GPU.replace("kind: KIND_GPU", "kind: KIND_GPU count: 0"))
    audit = ("pytest_triton", "audit", "s3://bucket/models")
    found = store.run(*audit)
    assert "TRT110" in found.stdout
    assert "--fix" not in found.stdout
    assert '"fixable": true' not in store.run(*audit, "--json").stdout
    before = store.copies()["r/config.pbtxt"].read_text()
    result = store.run(*audit, "--fix")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "--fix can't change s3://bucket/models: it is in an object store" in result.stderr
    assert "(aws s3 sync s3://bucket/models models)" in result.stderr
    assert store.copies()["r/config.pbtxt"].read_text() == before


def test_missing_credentials_are_named_as_such(store: Store) -> None:
    gone = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(store.folder)}
    result = store.run(
        *("pytest_triton", "audit", "s3://bucket/models"),
        **gone,
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert result.returncode == 2
    assert "NoCredentialsError: Unable to locate credentials" in result.stderr


def test_pointers_of_dvc_in_a_store_are_not_pulled_there(store: Store) -> None:
    store.put("d/config.pbtxt", GPU)
    store.put("d/1.dvc", "outs:\n- path: 1\n")
    strict = ("audit", "s3://bucket/models", "--weights", "present")
    said = " ".join(store.run("pytest_triton", *strict).stdout.split())
    assert "only its pointer s3://bucket/models/d/1.dvc is there" in said
    assert "where the repository is uploaded from (dvc pull), and upload it" in said
    store.put("only/a.dvc", "outs:\n- path: a\n")
    empty = store.run("pytest_triton", "audit", "s3://bucket/models/only")
    assert "What to do: Fetch what they stand for (dvc pull), and upload it" in empty.stderr


MANIFEST = """apiVersion: apps/v1
kind: Deployment
metadata: { name: triton }
spec:
  selector: { matchLabels: { app: t } }
  template:
    metadata: { labels: { app: t } }
    spec:
      containers:
      - name: triton
        image: nvcr.io/nvidia/tritonserver:24.10-py3
        args: [ tritonserver, "--model-repository=s3://bucket/models" ]
        resources: { limits: { nvidia.com/gpu: 1 } }
        readinessProbe: { httpGet: { path: /v2/health/ready, port: 8000 } }
"""
MAPPED = "s3://bucket/models=s3://bucket/models"


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "workers"])
def test_repository_of_a_deployment_is_read_in_its_store(store: Store, workers: list[str]) -> None:
    (store.folder / "k.yaml").write_text(MANIFEST)
    arguments = ("pytest", "-p", "no:cacheprovider", "--triton-deployment=k.yaml", *workers)
    asked = store.run(*arguments)
    assert f"read it there: --triton-deployment-repo={MAPPED}" in asked.stdout
    result = store.run(*arguments, f"--triton-deployment-repo={MAPPED}")
    assert result.returncode == 0, result.stdout
    assert (result.stdout + result.stderr).count("fetching 4 of 5 files") == 1
    assert "16 passed" in result.stdout
    assert str(store.cache) not in result.stdout


def test_commands_read_the_repository_of_a_deployment_in_its_store(store: Store) -> None:
    (store.folder / "k.yaml").write_text(MANIFEST)
    given = ("--deployment", "k.yaml", f"--deployment-repo={MAPPED}")
    audit = store.run("pytest_triton", "audit", *given)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert "3 models: " in audit.stdout
    plan = store.run("pytest_triton", "plan", *given)
    assert f"--triton-deployment-repo={MAPPED}" in plan.stdout
    (store.folder / "new.yaml").write_text(MANIFEST.replace("gpu: 1", "gpu: 2"))
    diff = ("pytest_triton", "diff", "--deployment", "k.yaml", "new.yaml")
    for more in ((), ("--rehearse",)):
        changed = store.run(*diff, f"--deployment-repo={MAPPED}", *more)
        assert "GPUs: 1 GPU -> 2 GPUs" in changed.stdout, changed.stderr
    shown = audit.stdout + plan.stdout + changed.stdout + audit.stderr + changed.stderr
    assert str(store.cache) not in shown
