"""Python code of models is followed as Python runs it: what a device's text is made of is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.audit_examples import audit_files, ids

HEAD = "import os\nimport torch\n\n\nclass TritonPythonModel:\n"
PINNED = ["TRT221"]  # on one GPU, whatever the config says

# Each makes "cuda:1" of `device`; the tests ask Python whether it does.
TEXTS = [
    "device = 'cuda:%d' % 1",
    "device = 'cuda:%s' % (1,)",
    "device = '%s:%i' % ('cuda', 1)",
    "device = 'cuda:{}'.format(1)",
    "device = '{name}:{0}'.format(1, name='cuda')",
    "device = f'cuda:{1}'",
    "device = 'CUDA:1'.lower()",
    "device = ' cuda:1 '.strip()",
    "device = 'xcuda:1'.removeprefix('x')",
    "device = 'cpu,cuda:1'.split(',')[1]",
    "device = 'cpu cuda:1'.split()[-1]",
    "device = 'cuda:' + str(0 + 1)",
    "device = 'cuda:' + str(3 - 2)",
    "device = 'cuda:' + str(1 * 1)",
    "device = 'cuda:' + str(5 % 2)",
    "device = 'cuda:' + str(int('1'))",
    "device = 'cuda:' + str(len(['one']))",
    "device = 'cuda:' + str(len({'one': 1}))",
    "device = 'cuda:'\ndevice += '1'",
    "device = 'cpu' if 1 > 2 else 'cuda:1'",
    "device = 'cuda:1' if 2 >= 2 else 'cpu'",
    "device = 'cuda:1' if 1 < 2 else 'cpu'",
    "device = 'cuda:1' if 2 <= 2 else 'cpu'",
    "device = 'cuda:1' if 1 != 2 else 'cpu'",
    "device = 'cuda:1' if 1 < 2 <= 2 else 'cpu'",
    "device = 'cpu' if 1 < 2 < 2 else 'cuda:1'",
    "device = 'cuda:1' if 'a' in 'abc' else 'cpu'",
    "device = 'cpu' if 'd' in 'abc' else 'cuda:1'",
    "device = 'cuda:1' if not None else 'cpu'",
    "device = 'cpu' if bool(0) else 'cuda:1'",
    "(device := 'cuda:1')",
    "device, *rest = 'cuda:1', 'cpu'",
    "device = [*['cpu'], 'cuda:1'][1]",
    "device = (['cpu'] + ['cuda:1'])[1]",
    "device = {**{'a': 'cpu'}, 'a': 'cuda:1'}['a']",
    "device = ({'a': 'cpu'} | {'a': 'cuda:1'})['a']",
    "device = dict(a='cuda:1')['a']",
    "device = dict([('a', 'cuda:1')])['a']",
    "device = dict([('a', 'cpu'), ('a', 'cuda:1')])['a']",
    "device = list({'a': 'cuda:1'}.values())[0]",
    "device = list({'cuda:1': 1}.keys())[0]",
    "device = {'a': 'cuda:1'}.copy()['a']",
    "devices = []\ndevices.append('cuda:1')\ndevice = devices[0]",
    "devices = ['cpu']\ndevices.extend(['cuda:1'])\ndevice = devices[1]",
    "settings = {}\nsettings.update({'a': 'cuda:1'})\ndevice = settings['a']",
    "settings = {'a': 'cuda:1'}\ndevice = settings.pop('a')",
    "settings = {}\ndevice = settings.pop('a', 'cuda:1')",
    "settings = {}\ndevice = settings.get('a', 'cuda:1')",
    "device = (lambda: 'cuda:1')()",
    "device = (lambda n: f'cuda:{n}')(1)",
    "def place(n=1):\n    return f'cuda:{n}'\ndevice = place()",
    "def place(*all):\n    return all[1]\ndevice = place('cpu', 'cuda:1')",
    "def place(**all):\n    return all['a']\ndevice = place(a='cuda:1')",
    "def place(a, b):\n    return b\ndevice = place(*['cpu', 'cuda:1'])",
    "try:\n    device = 'cuda:1'\nfinally:\n    done = True",
    "device = 'cuda:1'\nwhile False:\n    device = 'cpu'",
    "match 'a':\n    case 'b':\n        device = 'cpu'\n    case 'a':\n        device = 'cuda:1'",
    "match 'a':\n    case _:\n        device = 'cuda:1'",
]


def found(root: Path, body: str, group: str) -> list[str]:
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    code = f"{HEAD}    def initialize(self, args):\n{lines}        self.m = load().to(device)\n\n"
    code += "    def execute(self, requests):\n        return []\n"
    config = f'backend: "python"\ninstance_group [ {{ {group} }} ]\n'
    return ids(audit_files(root, {"m/config.pbtxt": config, "m/1/model.py": code}))


@pytest.mark.parametrize("body", TEXTS)
def test_device_that_python_makes_is_known(body: str, tmp_path: Path) -> None:
    variables: dict[str, Any] = {}
    exec(body, variables)
    assert variables["device"] == "cuda:1"
    assert found(tmp_path / "any", body, "kind: KIND_GPU") == PINNED
    assert found(tmp_path / "1", body, "kind: KIND_GPU gpus: [ 1 ]") == []


# `more` and `name` are not known: `device` may be something else than "cuda:1".
UNCERTAIN = [
    "device = {'a': 'cuda:1', **more}['a']",
    "device = ({'a': 'cuda:1'} | more)['a']",
    "device = ({'a': 'cuda:1'} | {'b': 'cpu', **more})['a']",
    "device = {'a': 'cuda:1', name: 'cpu'}['a']",
    "device = {'a': 'cuda:1', **more}.get('a')",
    "device = dict([('a', 'cuda:1'), (name, 'cpu')])['a']",
    "device = dict([('a', 'cuda:1'), *more])['a']",
    "settings = {'a': 'cuda:1'}\nsettings.update(more)\ndevice = settings['a']",
    "settings = {'a': 'cuda:1'}\nsettings.update({**more})\ndevice = settings['a']",
    "settings = {'a': 'cuda:1'}\nsettings[name] = 'cpu'\ndevice = settings['a']",
]
CERTAIN = [
    "device = {**more, 'a': 'cuda:1'}['a']",
    "device = {**more, 'a': 'cuda:1'}.get('a')",
    "device = dict([(name, 'cpu'), ('a', 'cuda:1')])['a']",
    "device = dict([('b', 'cpu')], a='cuda:1')['a']",
    "settings = {**more}\nsettings.update({'a': 'cuda:1'})\ndevice = settings['a']",
]
UNKNOWN_PARTS = (
    "import json\nmore = json.loads(args['model_config'])['more']\nname = more['name']\n"
)


@pytest.mark.parametrize("body", UNCERTAIN)
def test_device_that_unknown_items_may_replace_is_not_known(body: str, tmp_path: Path) -> None:
    assert found(tmp_path, UNKNOWN_PARTS + body, "kind: KIND_GPU") == []


@pytest.mark.parametrize("body", CERTAIN)
def test_device_that_replaces_unknown_items_is_known(body: str, tmp_path: Path) -> None:
    assert found(tmp_path, UNKNOWN_PARTS + body, "kind: KIND_GPU") == PINNED
