import copy
import re

import gin
import pytest

from slac_tf.config import configuration
from slac_tf.training import experiment  # noqa: F401  (registers what the files bind

VALID = "import slac_tf.training.experiment\nSchedule.num_env_steps = 3\n"


@gin.configurable
def reads(number=1):
    return number


@gin.configurable
def is_never_called(number=1):
    return number


@pytest.fixture
def write(tmp_path):
    def call(name, text):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return call


@pytest.mark.parametrize(
    "source, expected",
    [
        ("def f(:\n", r"def f\(:, expected Python \(.*/own_module.py, line 1\)"),
        ("{}['a']\n", r"KeyError: 'a' \(.*/mine.gin, line 2\)"),
    ],
)
def test_own_module_that_cannot_be_imported(write, tmp_path, monkeypatch, source, expected):
    monkeypatch.syspath_prepend(tmp_path)
    write("own_module.py", source)
    with pytest.raises(configuration.ConfigurationError, match=expected):
        configuration.load([write("mine.gin", "\nimport own_module\n")], [])


def test_later_file_wins_and_binding_wins_over_files(write):
    first = write("first.gin", "Schedule.num_env_steps = 1\nEvaluationSettings.keep_exports = 1\n")
    second = write("second.gin", "EvaluationSettings.keep_exports = 2\n")
    text = configuration.load([first, second], [])
    assert "Schedule.num_env_steps = 1" in text
    assert "EvaluationSettings.keep_exports = 2" in text
    text = configuration.load([second, first], ["Schedule.num_env_steps = 3"])
    assert "Schedule.num_env_steps = 3" in text
    assert "EvaluationSettings.keep_exports = 1" in text


def test_nothing_is_left_of_an_earlier_load(write):
    configuration.load([write("first.gin", "EvaluationSettings.keep_exports = 7\n")], [])
    assert "keep_exports" not in configuration.load([write("second.gin", VALID)], [])


@pytest.mark.parametrize("file", ["finger_spin.gin", "gin_configs/finger_spin.gin"])
def test_project_file_from_another_working_directory(tmp_path, monkeypatch, file):
    monkeypatch.chdir(tmp_path)
    text = configuration.load([file, "gin_configs/debug.gin"], [])
    assert "load_dm_control.domain_name = 'finger'" in text
    assert re.search(r"Schedule.num_env_steps = 400\n", text)  # debug.gin's


def test_own_file_includes_project_file(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write("mine.gin", "include 'gin_configs/finger_spin.gin'\nSchedule.num_env_steps = 5\n")
    text = configuration.load(["mine.gin"], [])
    assert "load_dm_control.domain_name = 'finger'" in text
    assert "Schedule.num_env_steps = 5\n" in text


def test_environment_of_a_configuration_text():
    text = configuration.load(["finger_spin.gin"], ["RENDER_QUALITY = 'fast'"])
    gin.clear_config()
    environment = configuration.load_text(text)(seed=3)
    try:
        assert environment.task_name == "finger_spin"
        assert environment.action_repeat == 2
    finally:
        environment.close()


def test_environment_of_a_malformed_text():
    with pytest.raises(configuration.ConfigurationError, match=r"config.gin.*no_such_thing"):
        configuration.load_text("no_such_thing.x = 1\n")


def test_bindings_that_nothing_reads(write):
    name = __name__.rpartition(".")[2]
    used = [f"{name}.reads.number = 3", "scope/reads.number = 2", "  reads.number=2"]
    useless = f"scope/{name}.is_never_called.number = 2"
    # The file's binding without effect is fine.
    configuration.load([write("file.gin", "is_never_called.number = 5\n")], used)
    assert reads() == 2
    configuration.check_used(used)
    configuration.load([], [*used, useless])
    assert reads() == 2
    expected = r"^--gin_bindings='.*is_never_called.number = 2' has no effect.*nothing uses is_never_called.number"
    with pytest.raises(configuration.ConfigurationError, match=expected):
        configuration.check_used([*used, useless])


def test_macros_that_nothing_reads():
    bindings = ["NUMBER = 2", "reads.number = %NUMBER", "import slac_tf.training.experiment", "NUMBR = 3"]
    configuration.load([], bindings)
    assert reads() == 2
    configuration.check_used(bindings[:-1])
    with pytest.raises(configuration.ConfigurationError, match="nothing uses NUMBR, expected NUMBER"):
        configuration.check_used(bindings)


# A parameter that has moved from one configurable to another, maybe with a shorter name.
@pytest.mark.parametrize(
    "wrong, expected",
    [
        ("reads.numbr", "number"),  # its own first
        ("reads.steps_to_go", "Plan.steps_to_go"),
        ("reads.step_to_go", "Plan.steps_to_go"),
        ("reads.overlap_everything", "RolloutDriver.overlap or Plan.overlap"),
        ("reads.log_interval_minutes", "Plan.log_minutes or Other.log_minutes"),
        ("reads.nothing_like_it", "one of number"),
    ],
)
def test_parameter_that_another_configurable_has(monkeypatch, wrong, expected):
    registry = gin.config._REGISTRY
    monkeypatch.setattr(gin.config, "_REGISTRY", copy.deepcopy(registry))

    @gin.configurable(module="slac_tf.plans")
    class Plan:
        def __init__(self, steps_to_go=1, overlap=True, log_minutes=1):
            pass

    @gin.configurable(module="slac_tf.plans")
    class Other:
        def __init__(self, log_minutes=1):
            pass

    @gin.configurable(module="no_part_of_it")
    def foreign(nothing_like_that=1):
        pass

    with pytest.raises(configuration.ConfigurationError, match=rf"'{wrong.split('.')[1]}', expected {expected}$"):
        configuration.load([], [f"{wrong} = 3"])


def test_imports_are_not_asked_for_an_effect():
    configuration.load([], [])
    configuration.check_used(["import slac_tf.training.experiment"])


@pytest.mark.parametrize(
    "message, place",
    [
        ("reads.number: 3, expected more", "a.gin, line 2"),
        ("number=3: expected more", "a.gin, line 2"),
        ("other: 3, expected more", ""),
        ("is_never_called.number: 3", "--gin_bindings='is_never_called.number = %MACRO'"),
        ("set MACRO = 3", "b.gin, line 1"),
    ],
)
def test_place_of_the_binding_that_an_error_names(write, tmp_path, monkeypatch, message, place):
    monkeypatch.chdir(tmp_path)
    write("b.gin", "MACRO = 1\nreads.number = 1\n")
    write("a.gin", "include 'b.gin'\nreads.number = 3\n")
    bindings = ["is_never_called.number = %MACRO"] if "never" in message else []
    configuration.load(["a.gin"], bindings)
    assert reads() == 3
    if bindings:
        place = "b.gin, line 1"  # the value stands there
    found = configuration.describe(ValueError(message), ["a.gin"], bindings)
    assert found == (f"{message} ({place})" if place else message)


def test_one_line():
    text = "first\n  second\n  In call to configurable 'train_eval' (<function at 0x1>)"
    assert configuration.one_line(ValueError(text)) == "first second"
    assert configuration.one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
