"""The entry point: builds environment, agent and replay, and trains, or goes on where a run was stopped."""

import pathlib
from typing import Callable, Optional

import gin
import tensorflow as tf
from absl import logging
from tf_agents.specs import tensor_spec

from slac_tf import types
from slac_tf.environments import task_environment
from slac_tf.replay import memory, sequence_replay
from slac_tf.runs import checkpoints, failures, metrics, resources, run_dir, storage
from slac_tf.training import evaluation, transfer
from slac_tf.training import run as run_lib
from slac_tf.training import settings as settings_lib
from slac_tf.utils import checks

_EVAL_SEED_OFFSET = 1_000_003


@gin.configurable
def train_eval(
    root_dir: pathlib.Path,
    seed: int,
    config: str,
    on_built: Callable[[], None],
    *,
    load_environment: Callable[..., task_environment.TaskEnvironment] = gin.REQUIRED,
    build_agent: Callable[..., types.BuiltAgent] = gin.REQUIRED,
    num_env_steps: int = gin.REQUIRED,
    initial_collect_agent_steps: int = 10_000,
    num_pretrain_steps: int = 100_000,
    updates_per_agent_step: float = 1,
    overlap_collection: bool = True,
    replay_capacity: int = 100_000,
    replay_reachable_from_network: bool = False,
    eval_interval_env_steps: int = 10_000,
    num_eval_episodes: int = 10,
    max_episode_agent_steps: int = evaluation.MAX_EPISODE_AGENT_STEPS,
    log_interval_seconds: float = 30,
    summary_interval_train_steps: int = 100,
    checkpoint_interval_seconds: float = 600,
    keep_exports: int = 3,
    xla: bool = False,
    init_model_from: Optional[str] = None,
    init_encoder_only: bool = False,
    freeze_initialized: bool = False,
) -> run_lib.Result:
    """Trains an agent in an environment, or goes on where the run in `root_dir` was stopped.

    Args:
        root_dir: The run's directory.
        seed: Of Python, NumPy, TensorFlow and the environments. Reverb's sampling cannot be seeded.
        config: All gin bindings as text; kept in the directory and compared when a run is resumed.
        on_built: Called when everything is built, before anything is written.
        load_environment: Called with `seed`, twice: to train and to evaluate.
        build_agent: Called with a time step spec, an action spec and the counter of train steps.
        num_env_steps: Simulator steps to train for, the random ones and action repeats counted.
        initial_collect_agent_steps: Agent steps of uniformly random actions before training.
        num_pretrain_steps: Gradient steps of the agent's representation alone, on the random data.
        updates_per_agent_step: Train steps for each agent step after that.
        overlap_collection: Whether the next agent step is simulated and rendered while the agent trains. Its
            action is then chosen before those train steps, not after them; order and numbers stay the same.
        replay_capacity: Sequences in replay, about as many agent steps.
        replay_reachable_from_network: Whether others may reach the replay server, which has no authentication:
            see SECURITY.md.
        eval_interval_env_steps: Simulator steps between evaluations; one more comes before and at the end.
        num_eval_episodes: Episodes of each policy in an evaluation.
        max_episode_agent_steps: The longest that an episode of an evaluation may be; one that has not ended then is
            an error, for without an end it has no return. Collection has no such limit.
        log_interval_seconds: Between log lines.
        summary_interval_train_steps: Train steps between scalars in TensorBoard and lines in metrics.jsonl.
        checkpoint_interval_seconds: Between checkpoints.
        keep_exports: Exported policies to keep, the newest.
        xla: Whether TensorFlow may compile clusters of operations with XLA on a GPU. It leaves the CPU as it is,
            where XLA makes the convolutions two to three times slower.
        init_model_from: Directory of another run, whose latent model this one starts from; parts of other
            shapes (for example of another action size) are left out, which is said.
        init_encoder_only: Whether to take the encoder alone.
        freeze_initialized: Whether what is taken stays as it is.

    Returns:
        How it ended.

    Raises:
        ValueError: If settings do not fit.
        run_dir.RunDirectoryError: If `root_dir` holds another run.
        failures.RunFailedError: If a loss is NaN or infinite, or the environment fails.
        storage.StorageError: If something could not be written.
        listening.ListeningError: If the replay server cannot be kept to loopback.
        errors.ReplayError: If the replay server fails. Where it does not answer any more, the process
            ends with exit code 1: nothing else interrupts a call that waits for it.
    """
    settings = settings_lib.Settings(
        num_env_steps=num_env_steps,
        initial_collect_agent_steps=initial_collect_agent_steps,
        num_pretrain_steps=num_pretrain_steps,
        updates_per_agent_step=updates_per_agent_step,
        overlap_collection=overlap_collection,
        replay_capacity=replay_capacity,
        eval_interval_env_steps=eval_interval_env_steps,
        num_eval_episodes=num_eval_episodes,
        max_episode_agent_steps=max_episode_agent_steps,
        log_interval_seconds=log_interval_seconds,
        summary_interval_train_steps=summary_interval_train_steps,
        checkpoint_interval_seconds=checkpoint_interval_seconds,
        keep_exports=keep_exports,
        replay_reachable_from_network=replay_reachable_from_network,
    )
    settings_lib.check(settings)
    checks.references("train_eval", load_environment=load_environment, build_agent=build_agent)
    checks.booleans("train_eval", xla=xla, init_encoder_only=init_encoder_only, freeze_initialized=freeze_initialized)
    if init_model_from is not None and not isinstance(init_model_from, str):
        raise ValueError(f"train_eval.init_model_from: {init_model_from!r}, expected a run's directory, in quotes")
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    if xla:
        tf.config.optimizer.set_jit("autoclustering")
    run_lib.seed_everything(seed)

    directory = run_dir.RunDir(root_dir)
    found = checkpoints.newest(directory.checkpoints)
    # A resumed run has other first states than those that it began with.
    environment = load_environment(seed=seed if found is None else seed + found.state["agent_step"])
    eval_environment = load_environment(seed=seed + _EVAL_SEED_OFFSET)
    built = build_agent(
        tensor_spec.from_spec(environment.time_step_spec()),
        tensor_spec.from_spec(environment.action_spec()),
        tf.Variable(0, dtype=tf.int64, trainable=False, name="train_step"),
    )
    settings_lib.check_sequences(settings, built, environment)
    settings_lib.check_initial_data(settings, built)
    data_spec = built.agent.collect_data_spec
    replay_bytes = memory.check_memory(data_spec, replay_capacity)
    transferred = None
    if init_model_from is None:
        for name, value in (("init_encoder_only", init_encoder_only), ("freeze_initialized", freeze_initialized)):
            if value:
                raise ValueError(
                    f"train_eval.{name}: True, expected False where no train_eval.init_model_from is bound: "
                    "bind that to a run's directory"
                )
    else:
        source = pathlib.Path(init_model_from).expanduser()
        transferred = transfer.start_from(
            source, built, directory, encoder_only=init_encoder_only, freeze=freeze_initialized
        )
    on_built()
    directory.open(config, gin.operative_config_str(), seed)
    if transferred is not None:
        transfer.record(transferred, directory)
    saver = checkpoints.Checkpoints(directory.checkpoints, built.agent, built.representation)
    replay = sequence_replay.SequenceReplay(
        data_spec,
        sequence_length=built.sequence_length,
        capacity=replay_capacity,
        directory=directory.replay,
        restore_from=None if found is None else found.replay,
        trained_step=built.trained_step,
        prioritization=built.prioritization,
        reachable_from_network=replay_reachable_from_network,
    )
    writer = metrics.MetricsWriter(directory)
    evaluator = evaluation.Evaluator(
        eval_environment,
        built,
        directory,
        writer,
        seed=seed,
        config=config,
        num_episodes=num_eval_episodes,
        max_episode_agent_steps=max_episode_agent_steps,
        keep_exports=keep_exports,
    )
    run = run_lib.Run(settings, seed, environment, built, replay, evaluator, writer, saver, directory)
    logging.info(
        "%s, seed %d, in %s | action repeat %d | %s | %d devices | replay of %d sequences, about %.2f GiB when full, "
        "%.2f GiB in all",
        *(environment.task_name, seed, root_dir, environment.action_repeat, type(built.agent).__name__),
        *(len(tf.config.list_physical_devices()), replay_capacity, replay_bytes / 2**30),
        resources.peak_estimate(built, replay_bytes) / 2**30,
    )
    if found is None:
        logging.info("no checkpoint in %s: starting at step 0", directory.checkpoints)
        writer.begin()
    else:
        run.restore(found)
    try:
        with replay.watched(saver.last):
            return run.run()
    except storage.StorageError as error:
        kept = (
            f"{saver.kept()}: make room or mend the disk"
            if directory.config.exists()
            else f"{root_dir} is gone, all or in part: put it back"
        )
        raise storage.StorageError(f"{error}; {kept}, and the same command resumes") from error
    finally:
        run.close()
        failures.closed(eval_environment.close)
