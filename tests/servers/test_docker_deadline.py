"""Docker daemons that don't answer, or never to the end.

They are fakes: no real one does so, but for one that is stuck.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import docker.errors
import pytest
import requests

from pytest_triton import TritonContainer
from pytest_triton.__main__ import main
from pytest_triton.cli import clean, image
from pytest_triton.options.hosts import ContainerHost
from pytest_triton.options.values import LogPlace
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.servers.attached.log import AttachedLog
from pytest_triton.servers.container import docker_deadline
from pytest_triton.servers.container.docker_deadline import AnswerTime, within
from pytest_triton.servers.container.engine import NoDocker, Otherwise, no_docker
from pytest_triton.servers.container.server import ContainerServer
from pytest_triton.servers.spec import ServerSpec
from support.fake_servers import HEAD, Answer, drip, fake_server, is_silent, never_ends

MODELS = Path(__file__).parents[2] / "example_project/models"
COMMANDS = {"clean": clean, "image": image}
VERSION = {"ApiVersion": "1.44", "MinAPIVersion": "1.24", "Version": "25"}


def drips(connection: socket.socket, request: bytes) -> None:
    connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
    drip(connection, b"{" + b" " * 99999)


def drips_later(connection: socket.socket, request: bytes) -> None:
    if b"/version" not in request.split(b"\r\n")[0]:
        drips(connection, request)
    body = json.dumps(VERSION).encode()
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def shouts_later(connection: socket.socket, request: bytes) -> None:
    if b"/version" not in request.split(b"\r\n")[0]:
        never_ends(connection, request)
    drips_later(connection, request)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (is_silent, "no answer within 1.5 s|Read timed out"),
        (drips, "no answer within 1.5 s"),
        (drips_later, "no answer within 1.5 s"),
        (shouts_later, "the answer is larger than 64 MB"),
    ],
)
def test_daemon_without_a_proper_answer_meets_the_timeout(
    folders_left: None, monkeypatch: pytest.MonkeyPatch, answer: Answer, said: str
) -> None:
    with fake_server(answer) as address:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{address}")
        with pytest.raises(NoDocker, match=said) as raised:
            TritonContainer(MODELS, timeout=1.5 if "larger" not in said else 30).start()
    assert ("more time (timeout=...)" in raised.value.fix) is ("larger" not in said)


def test_read_that_times_out_within_dockers_own_error_asks_for_more_time() -> None:
    error = docker.errors.DockerException("Error while fetching server API version: ...")
    error.__cause__ = requests.ReadTimeout("Read timed out. (read timeout=1.5)")
    assert "; or, if it is that slow, wait; " in no_docker(error, Otherwise(slow="wait")).fix
    error.__cause__ = requests.ConnectionError("refused")
    assert "slow" not in no_docker(error, Otherwise(slow="wait")).fix


def test_all_answers_to_a_start_have_one_deadline_together(
    folders_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def slow(connection: socket.socket, request: bytes) -> None:
        line = request.split(b"\r\n")[0]
        if b"/version" not in line:
            asked.append(line)
            time.sleep(0.4)
        body = b"[]" if b"/containers/json" in line else json.dumps({**VERSION, "Id": "x"}).encode()
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with fake_server(slow) as address:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{address}")
        container = TritonContainer(MODELS, timeout=1.0)
        with pytest.raises(NoDocker, match=r"took more than 1 s, all together"):
            container.start()
    assert len(asked) <= 5, "three of 0.4 s, and those of the clean-up"


def test_questions_within_a_question_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr(docker_deadline, "time", clock)
    answers = AnswerTime(5)
    answers.start()
    answers.within(lambda: answers.within(lambda: None))  # looks at 0 and 3, at 1 and 2
    assert answers.left == 2
    answers.end_start()
    assert answers.within(lambda: answers.left) == math.inf


def test_what_a_late_call_raises_is_raised_and_what_it_returns_is_returned() -> None:
    assert within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)
    assert within(5, lambda: time.sleep(0.01)) is None


def test_context_that_is_not_there_is_an_error(
    folders_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "nosuch")
    with pytest.raises(NoDocker, match="DOCKER_CONTEXT names 'nosuch'"):
        TritonContainer(MODELS)
    with pytest.raises(NoDocker, match="DOCKER_CONTEXT names 'nosuch'"):
        clean.run(argparse.Namespace(others=False, json=False))


@pytest.mark.parametrize("config", ['{"proxies": 5}', '{"proxies": {"default": []}}'])
def test_config_of_docker_that_is_of_the_wrong_types_is_an_error(
    folders_left: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str
) -> None:
    (tmp_path / "config.json").write_text(config)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(NoDocker, match="Docker's own configuration can't be used"):
        TritonContainer(MODELS)


@pytest.mark.parametrize("arguments", [["clean"], ["clean", "--others"], ["image", "--remove"]])
def test_command_without_docker_advises_only_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "start Docker (systemctl start docker), or name its daemon in DOCKER_HOST" in error
    parser = argparse.ArgumentParser()
    COMMANDS[arguments[0]].add_arguments(parser)
    flags = {flag for one in parser._actions for flag in one.option_strings}
    assert set(re.findall(r"--[a-z][a-z-]*", error)) <= flags


@pytest.mark.parametrize(
    ("gpus", "advice"),
    [
        ("none", "Without Docker: --triton-server=process"),
        ("1", "simulated ones: --triton-gpus=sim:1"),
        ("all", "simulated ones: --triton-gpus=sim:1"),
        ("0,1", "simulated ones: --triton-gpus=sim:2"),
        ("40", "simulated ones: --triton-gpus=sim:16"),
    ],
)
def test_run_without_docker_names_what_it_can_do_instead(
    folders_left: None, monkeypatch: pytest.MonkeyPatch, gpus: str, advice: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    hardware = HardwareRequest.parse(gpus)
    with pytest.raises(NoDocker) as raised:
        ContainerServer(ServerSpec((MODELS,), hardware, host=ContainerHost()))
    assert raised.value.fix.endswith(advice)
    assert "--triton-server=process" in raised.value.fix


def test_log_of_a_container_without_docker_advises_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    log = AttachedLog(LogPlace("triton"), 1.0)
    with pytest.raises(NoDocker, match=r"write the container's log to a file .*\(--triton-log\)"):
        log.start("triton", "2.51.0")
