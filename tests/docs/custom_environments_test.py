"""The environment of docs/custom_environments.md, run as it stands there."""

import importlib
import pathlib
import re

import numpy as np

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "custom_environments.md"


def test_an_environment_is_one_file(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    (tmp_path / "dot_task.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    environment = importlib.import_module("dot_task").load_dot(seed=0, action_repeat=2)
    assert environment.reset().observation["pixels"].shape == (64, 64, 3)
    for _ in range(50):  # a time limit of 100 control steps
        time_step = environment.step(np.ones(2, np.float32))
    assert time_step.is_last() and time_step.discount == 1
