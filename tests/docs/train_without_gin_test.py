"""The example that trains without gin, as its file has it."""

import importlib.util
import math
import pathlib

import pytest

PATH = pathlib.Path(__file__).resolve().parents[2] / "examples" / "train_without_gin.py"


@pytest.mark.expensive
def test_it_trains_and_goes_on(tmp_path):
    spec = importlib.util.spec_from_file_location("train_without_gin", PATH)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    result = example.main(tmp_path, num_env_steps=1020)  # 500 random agent steps, 10 of training
    assert result.exit_code == 0 and math.isfinite(result.stochastic_return)
    example.main(tmp_path, num_env_steps=1030)
    rows = (tmp_path / "eval.csv").read_text().splitlines()
    assert rows[-1].startswith("finger_spin,0,1030,515,15,")
