"""Repositories of examples on disk, and their audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_triton.audit import Example, audit
from pytest_triton.audit.deployment_audit import audit_deployments
from pytest_triton.cli.deployed import read_deployed
from pytest_triton.diagnostics.diagnostic import Diagnostic
from pytest_triton.placement.predict import DEFAULT_TRAITS, ServerTraits
from pytest_triton.placement.releases import NEWEST_RELEASE, read_release
from pytest_triton.repository import read_repository

DEPLOYMENT = "compose.yaml"  # in an example; its models are in ./models


def write_files(root: Path, files: Mapping[str, str]) -> list[Path]:
    """Write an example's files; returns its repositories."""
    repositories = []
    for name, text in files.items():
        if name == DEPLOYMENT:
            root.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
            continue
        repository, colon, path = name.partition(":")
        base = root / (repository if colon else "models")
        file = base / (path if colon else name)
        file.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            file.symlink_to(text[3:])
        else:
            file.write_text(text)
        repositories.append(base)
    return list(dict.fromkeys(repositories))


def audit_example(root: Path, example: Example) -> tuple[Diagnostic, ...]:
    if DEPLOYMENT in example.files:
        write_files(root, example.files)
        mapped = {} if "m/config.pbtxt" in example.files else {"/models": root}
        deployed = read_deployed(
            [str(root / DEPLOYMENT)], mapped, example.target, (), NEWEST_RELEASE
        )
        return audit_deployments(deployed.subjects)
    repository = read_repository(write_files(root, example.files))
    server = ServerTraits(version=read_release(example.release)) if example.release else None
    return audit(repository, target=example.target, server=server or DEFAULT_TRAITS)


def audit_files(
    root: Path, files: Mapping[str, str], target: int | None = None
) -> tuple[Diagnostic, ...]:
    return audit_example(root, Example(files, target))


def audit_config(root: Path, text: str, target: int | None = None) -> tuple[Diagnostic, ...]:
    """The findings about a model `m` with this config."""
    return audit_files(root, {"m/config.pbtxt": text, "m/1/.gitkeep": ""}, target)


def ids(findings: tuple[Diagnostic, ...]) -> list[str]:
    return [finding.rule for finding in findings]
