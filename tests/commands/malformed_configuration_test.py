"""A table of malformed gin files and flags: each exits 2 with one line that names what to mend, and leaves nothing."""

import concurrent.futures
import os
import pathlib
import random
import subprocess
import time
from typing import Dict, NamedTuple, Sequence, Union

import pytest

BIN = pathlib.Path(__file__).resolve().parents[2] / "bin"
TASK = ("--gin_file=gin_configs/finger_spin.gin", "--gin_file=gin_configs/debug.gin")
GYMNASIUM = """\
import slac_tf.environments.suite_gymnasium
include 'gin_configs/slac.gin'
include 'gin_configs/debug.gin'
train_eval.load_environment = @load_gymnasium
"""


class Case(NamedTuple):
    """One mistake.

    Attributes:
        arguments: Of the command.
        named: What the line must contain.
        files: What is in the working directory; None is a folder.
        unreadable: One of them.
    """

    arguments: Sequence[str]
    named: Sequence[str]
    files: Dict[str, Union[str, bytes, None]] = {}
    unreadable: str = ""


def file(content, *named):
    """A mistake in a file of its own."""
    return Case(["--gin_file=mine.gin"], ["mine.gin", *named], {"mine.gin": content})


def line(text, *named, agent=None):
    """A mistake in the third line of a file that would train without it."""
    files = {
        "tiny.gin": (f"include 'gin_configs/agents/{agent}.gin'\n" if agent else "")
        + "include 'gin_configs/debug.gin'\n",
        "mine.gin": f"include 'gin_configs/finger_spin.gin'\ninclude 'tiny.gin'\n{text}\n",
    }
    return Case(["--gin_file=mine.gin"], [*named, "(mine.gin, line 3)"], files)


def gymnasium(text, *named):
    """A mistake in the fifth line of a file with a task of Gymnasium."""
    return Case(["--gin_file=mine.gin"], [*named, "(mine.gin, line 5)"], {"mine.gin": f"{GYMNASIUM}{text}\n"})


def binding(text, *named):
    """A mistake in a binding given by hand."""
    return Case([*TASK, f"--gin_bindings={text}"], [f"--gin_bindings={text!r}", *named])


CASES = {
    # Flags
    "no_flags": Case([], ["no --gin_file given", "expected for example --gin_file=gin_configs/"]),
    "positional": Case([*TASK, "fast"], ["'fast' is no flag, expected only flags"]),
    "unknown_flag": Case([*TASK, "--gin_fil=mine.gin"], ["'gin_fil'. Did you mean: gin_file"]),
    "negative_seed": Case([*TASK, "--seed=-1"], ["--seed=-1", "non-negative integer"]),
    "text_for_a_seed": Case([*TASK, "--seed=one"], ["--seed=one", "integer"]),
    # Files
    "missing_file": Case(["--gin_file=fingr_spin.gin"], ["--gin_file=fingr_spin.gin: no such file", "finger_spin.gin"]),
    "wrong_path": Case(["--gin_file=configs/hopper.gin"], ["configs/hopper.gin: no such file", "holds", "hopper.gin"]),
    "folder": Case(["--gin_file=folder"], ["--gin_file=folder: no such file"], {"folder": None}),
    "unreadable_file": Case(
        ["--gin_file=mine.gin"], ["--gin_file=mine.gin", "Permission denied"], {"mine.gin": ""}, unreadable="mine.gin"
    ),
    "binary_file": file(b"\x7fELF\x02\x01\x01\x00\xff\xfe", "expected gin text"),
    "empty_file": file("", "nothing binds train_eval.load_environment", "expected a task's file"),
    "missing_include": file("\ninclude 'not_here.gin'\n", "not_here.gin", "(mine.gin, line 2)"),
    "include_loop": Case(
        ["--gin_file=mine.gin"],
        ["include lines lead back", "(other.gin, line 2)"],
        {"mine.gin": "include 'other.gin'\n", "other.gin": "\ninclude 'mine.gin'\n"},
    ),
    # What gin cannot read
    "no_equal_sign": line("build_slac.gamma 0.9", "build_slac.gamma 0.9, expected name.parameter = value"),
    "two_equal_signs": line("build_slac.gamma = = 0.9", "build_slac.gamma"),
    "no_value": line("build_slac.gamma =", "build_slac.gamma =, expected name.parameter = value"),
    "open_bracket": file("HIDDEN_SIZES = (256,\n", "line 2", "bracket or quotes are not closed", "expected gin text"),
    "open_quotes": line("RENDER_QUALITY = 'fast", "RENDER_QUALITY = 'fast, expected name.parameter = value"),
    "unquoted_text": line("load_dm_control.domain_name = finger", "begins with finger", "text needs quotes"),
    "not_a_number": line("build_slac.gamma = nan", "begins with nan", "no Python value"),
    # Names
    "unknown_name": line("build_slack.gamma = 0.9", "'build_slack', expected build_slac"),
    "unknown_module": line("import slac_tf.agents.slack", "slac_tf.agents.slack"),
    "unknown_package": line("import no_such_package", "no_such_package"),
    "misspelt_parameter": line("train_eval.num_env_step = 9", "'num_env_step', expected Schedule.num_env_steps"),
    "unknown_reference": line("train_eval.build_agent = @build_slack", "'@build_slack', expected build_slac"),
    "unknown_latent_model": line("build_slac.latent_model = @TwoLayrModel", "'@TwoLayrModel', expected TwoLayerModel"),
    "undefined_macro": line("build_slac.gamma = %GAMMA", "%GAMMA is no macro that is bound", "GAMMA = "),
    "macro_of_nothing": line("build_slac.gamma = %", "build_slac.gamma = %, expected"),
    "macro_of_itself": line("BATCH_SIZE = %BATCH_SIZE", "BATCH_SIZE: the macro's value leads back", "expected a value"),
    # Types
    "text_for_a_number": line("build_slac.gamma = '0.9'", "build_slac.gamma: '0.9', expected a number from 0 to 1"),
    "none_for_a_number": line("Schedule.num_env_steps = None", "num_env_steps: None, expected an integer"),
    "fraction_for_a_count": line("Schedule.num_env_steps = 1e5", "num_env_steps: 100000.0, expected an integer"),
    "bool_for_a_number": line("BATCH_SIZE = True", "build_slac.batch_size: True, expected an integer"),
    "number_for_overlap": line("RolloutDriver.overlap = 1", "RolloutDriver.overlap: 1, expected True or False"),
    "number_for_a_bool": line("train_eval.xla = 1", "train_eval.xla: 1, expected True or False"),
    "number_for_sizes": line("HIDDEN_SIZES = 256", "build_slac.hidden_sizes: 256, expected integers", "(256, 256)"),
    "text_for_a_reference": line("train_eval.build_agent = 'slac'", "build_agent: 'slac', expected a reference: @"),
    "called_reference": line("build_slac.latent_model = @TwoLayerModel()", "latent_model", "'action_size'", "expected"),
    "other_reference": line(
        "build_slac.latent_model = @load_dm_control", "latent_model", "load_dm_control()", "another"
    ),
    "number_for_a_folder": line("InitialModel.root_dir = 3", "InitialModel.root_dir: 3, expected a run's directory"),
    # Ranges
    "infinite": line("Schedule.updates_per_agent_step = 1e999", "inf, expected a number of at least 0"),
    "infinite_rate": line("build_slac.model_learning_rate = 1e999", "model_learning_rate: inf, expected a number"),
    "negative_rate": line("build_slac.critic_learning_rate = -3e-4", "-0.0003, expected a number of at least 0"),
    "gamma": line("build_slac.gamma = 1.01", "build_slac.gamma: 1.01, expected a number from 0 to 1"),
    "zero_batch": line("BATCH_SIZE = 0", "build_slac.batch_size: 0, expected an integer of at least 1"),
    "negative_size": line("Z1_SIZE = -4", "TwoLayerModel.z1_size: -4, expected an integer of at least 1"),
    "negative_layer": line("HEAD_SIZES = (16, -1)", "TwoLayerModel.hidden_sizes: (16, -1), expected integers"),
    "no_sequence": line("build_slac.sequence_length = 0", "build_slac.sequence_length: 0, expected an integer"),
    "no_variance": line("build_slac.decoder_variance = 0", "decoder_variance: 0, expected a number above 0"),
    "no_evaluation": line("EvaluationSettings.interval_env_steps = 0", "interval_env_steps: 0, expected an integer"),
    "unknown_dtype": line("build_convolution_policy.dtype = 'float16'", "'float16', expected one of", "'bfloat16'"),
    "negative_rate_of_sac": line(
        "build_sac.actor_learning_rate = -1", "actor_learning_rate: -1, expected", agent="sac_pixels"
    ),
    "fraction_of_frames": line("StackedFrames.length = 1.5", "length: 1.5, expected an integer", agent="mpo"),
    "no_horizon": line("PLAN_HORIZON = 0", "CemSettings.horizon: 0, expected an integer", agent="planet"),
    "one_atom": line("build_d4pg.num_atoms = 1", "build_d4pg.num_atoms: 1, expected at least 2", agent="d4pg"),
    "no_particles": line("NUM_PARTICLES = 0", "ParticleBelief.num_particles: 0, expected an integer", agent="dvrl"),
    # The environment
    "unknown_domain": line("load_dm_control.domain_name = 'fingr'", "domain_name='fingr'", "mean 'finger'"),
    "unknown_task": line("load_dm_control.task_name = 'spinn'", "task_name='spinn'", "mean 'spin'"),
    "number_for_a_domain": line("load_dm_control.domain_name = 3", "domain_name=3"),
    "unknown_id": gymnasium("load_gymnasium.env_id = 'Hoper-v4'", "env_id='Hoper-v4'", "mean 'Hopper-v4'"),
    "no_mujoco_task": gymnasium("load_gymnasium.env_id = 'CartPole-v1'", "'CartPole-v1'", "expected a MuJoCo task"),
    "id_of_no_module": gymnasium("load_gymnasium.env_id = 'nothing:Ant-v4'", "'nothing:Ant-v4'", "expected a MuJoCo"),
    "number_for_an_id": gymnasium("load_gymnasium.env_id = 4", "env_id=4: expected a name in quotes"),
    "no_action_repeat": line("load_dm_control.action_repeat = 0", "action_repeat=0: expected an integer"),
    "fraction_repeated": line("load_dm_control.action_repeat = 1.5", "action_repeat=1.5: expected an integer"),
    "unknown_camera": line("load_dm_control.camera_id = 9", "camera_id=9: expected", "'cam0'"),
    "unknown_quality": line("RENDER_QUALITY = 'best'", "render_quality='best': expected one of", "'fast'"),
    "text_for_a_size": line("load_dm_control.image_size = '64'", "image_size='64': expected an integer"),
    "no_observations": line("OBSERVATIONS = ()", "observations=(): expected one or more of", "'pixels'"),
    "misspelt_observation": line("OBSERVATIONS = ('pixel',)", "('pixel',): expected one or more of", "'pixels'"),
    # What does not fit together
    "slac_without_pixels": line("OBSERVATIONS = ('state',)", "['state'], expected 'pixels'"),
    "small_frames": line("load_dm_control.image_size = 32", "[32, 32, 3], expected [64, 64, 3]"),
    "longer_than_an_episode": line(
        "build_slac.sequence_length = 501", "sequence_length: 501", "expected at most 500", "finger_spin"
    ),
    "longer_than_an_episode_for_planet": line(
        "SEQUENCE_LENGTH = 501", "sequence_length: 501", "expected at most 500", "finger_spin", agent="planet"
    ),
    "more_elites": line("PLAN_ELITES = 9", "CemSettings.elites: 9, expected at most candidates 8", agent="planet"),
    "longer_history": line("build_slac.history_length = 4", "history_length: 4, expected 1 to sequence_length = 3"),
    "larger_model_batch": line("build_slac.model_batch_size = 9", "model_batch_size: 9, expected 1 to batch_size 4"),
    "little_initial_data": line(
        "Schedule.initial_collect_agent_steps = 3", "initial_collect_agent_steps: 3, expected at least 4"
    ),
    "replay_of_no_batch": line("ReplaySettings.capacity = 3", "capacity: 3", "expected at least batch_size 4"),
    "too_much_memory": line("ReplaySettings.capacity = 1000000000", "capacity: 1000000000", "GiB", "at most"),
    "model_of_no_run": line("InitialModel.root_dir = 'logs'", "InitialModel.root_dir: logs", "expected the directory"),
    "nothing_to_freeze": line("InitialModel.freeze = True", "InitialModel.freeze: True, expected False"),
    # By hand
    "binding_of_what_is_not_in_use": binding(
        "build_sac.gamma = 0.9", "no effect", "nothing uses", "expected build_slac.gamma"
    )._replace(
        arguments=[*TASK, "--gin_bindings=import slac_tf.agents.sac.builder"] + ["--gin_bindings=build_sac.gamma = 0.9"]
    ),
    "misspelt_macro": binding("RENDER_QUALTIY = 'fast'", "no effect", "nothing uses", "expected RENDER_QUALITY"),
    "unquoted_text_by_hand": binding("load_dm_control.domain_name = finger", "begins with finger", "text needs quotes"),
    "no_equal_sign_by_hand": binding("build_slac.gamma", "expected name.parameter = value"),
    "open_bracket_by_hand": binding("HIDDEN_SIZES = [1, 2", "multi-line statement"),
    "wrong_value_by_hand": binding("build_slac.gamma = 2", "build_slac.gamma: 2, expected a number from 0 to 1"),
}


def write(case, directory):
    """Writes a case's files; skips it where none is unreadable."""
    if case.unreadable and os.geteuid() == 0:
        pytest.skip("root reads all files")
    for name, content in case.files.items():
        if content is None:
            (directory / name).mkdir()
        else:
            (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    if case.unreadable:
        (directory / case.unreadable).chmod(0)


def check(case, code, out, err, directory):
    assert code == 2, err
    assert out == ""
    assert err.endswith("\n") and err.count("\n") == 1, err
    assert err.startswith("train_eval: ")
    assert "Traceback" not in err
    assert len(err) < 1000, err
    for part in case.named:
        assert part in err, f"no {part!r} in {err}"
    assert {path.name for path in directory.iterdir()} == set(case.files)


@pytest.mark.parametrize("name", CASES)
def test_one_line(command, tmp_path, monkeypatch, name):
    write(CASES[name], tmp_path)
    monkeypatch.chdir(tmp_path)
    check(CASES[name], *command("train_eval", *CASES[name].arguments), tmp_path)


@pytest.mark.expensive
def test_rows_as_a_user_runs_them(tmp_path):
    """A process for each of some rows, others each time: a process takes seconds to import what it needs."""
    seed = random.randrange(10**6)
    print(f"random.Random({seed})")
    names = [name for name, case in CASES.items() if not (case.unreadable and os.geteuid() == 0)]
    names = random.Random(seed).sample(names, 8)
    took, wrong = {}, []

    def run(name):
        case, directory = CASES[name], tmp_path / name
        directory.mkdir()
        write(case, directory)
        begin = time.monotonic()
        ended = subprocess.run(
            [str(BIN / "train_eval"), *case.arguments], cwd=directory, capture_output=True, text=True, timeout=120
        )
        took[name] = time.monotonic() - begin
        try:
            check(case, ended.returncode, ended.stdout, ended.stderr, directory)
        except AssertionError as error:
            wrong.append(f"{name}: {error}")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(run, names))
    slowest = max(took, key=took.get)
    print(f"\n{len(took)} rows, the slowest is {slowest}: {took[slowest]:.1f} s")
    assert not wrong, "\n".join(wrong)
