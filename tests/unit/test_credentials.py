"""Credentials in what is shown of arguments and URLs."""

from __future__ import annotations

import pytest

from pytest_triton.placement.command_line import BadArguments, CommandLine
from pytest_triton.text.credentials import without_credentials, without_user


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://KEY:SE/C@RET@bucket/models", "s3://***@bucket/models"),
        ("https://token@host/x", "https://***@host/x"),
        ("s3://https://minio:9000/bucket/models", "s3://https://minio:9000/bucket/models"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("redis,password=a-b", "redis,password=***"),
        ("x,api_key=1,host=h", "x,api_key=***,host=h"),
        ("AWS_SECRET_ACCESS_KEY: abc", "AWS_SECRET_ACCESS_KEY: ***"),
        ("--backend-config=x,tokenizer_dir=/t", "--backend-config=x,tokenizer_dir=/t"),
        ("--grpc-server-key=/tls/key.pem", "--grpc-server-key=/tls/key.pem"),
    ],
)
def test_credential_in_a_text_is_hidden(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def test_url_without_its_user_is_left_as_it_is() -> None:
    assert without_user("s3://KEY:SECRET@bucket/models") == "s3://bucket/models"
    assert without_user("/models") == "/models"
    assert without_user("s3://bucket/models") == "s3://bucket/models"


SECRET = [
    "--cache-config=redis,password=hunter2",
    "--http-restricted-api=health:x-key=hunter2",
    "--grpc-restricted-protocol=health,metadata:k=hunter2=",
    "--model-repository=s3://k:hunter2@b/m",
]


@pytest.mark.parametrize("argument", SECRET)
@pytest.mark.parametrize("words", [1, 2])
def test_flag_with_a_credential_is_shown_without(argument: str, words: int) -> None:
    flag, _, value = argument.partition("=")
    line = CommandLine.parse([argument] if words == 1 else [flag, value])
    assert "hunter2" not in "".join(line.shown) + "".join(one.shown for one in line.given)
    assert "***" in line.shown[0]
    assert line.arguments == (argument,)
    assert line.private == line
    assert line.public.given == ()


def test_flags_without_credentials_are_public() -> None:
    words = (
        "--model-repository=/models",
        "--cache-config=local,size=104857600",
        "--strict-readiness=on",
    )
    line = CommandLine.parse(words)
    assert line.shown == line.arguments == line.public.arguments == words
    assert line.private.given == ()


@pytest.mark.parametrize(
    "argument",
    [
        "--cache-confg=redis,password=hunter2",
        "--exit-on-error=redis,password=hunter2",
        "--disable-auto-complete-config=password=hunter2",
        "-cache-config=redis,password=hunter2",
        "s3://k:hunter2@b/m",
        "--cache-config redis,password=hunter2",
    ],
)
def test_argument_that_is_refused_is_shown_without_its_credential(argument: str) -> None:
    with pytest.raises(BadArguments) as raised:
        CommandLine.parse([argument])
    assert "hunter2" not in str(raised.value)
