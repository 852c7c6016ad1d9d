"""The replay server as a process of its own: windows, counts of agent steps, and what the others say to each other."""

import errno
import pathlib
import socket
import time
from typing import Dict, Optional

import gin
import tensorflow as tf
from absl import logging

from slac_tf import types
from slac_tf.distributed import liveness, process_ids, protocol
from slac_tf.replay import memory, server, tables
from slac_tf.runs import checkpoints, run_dir
from slac_tf.training import settings as settings_lib

_POLL_SECONDS = 0.2


def check_port(port: int) -> None:
    """Refuses a port that is in use: two Reverb servers on one port start without a word, and clients reach either.

    Args:
        port: The port.

    Raises:
        ValueError: If it is in use.
    """
    with socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a dead server are no obstacle
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise ValueError(f"--port={port}: in use, expected one that is free: end what listens there") from error


class ReplayServer:
    """Restores itself from its own checkpoints, below the run's directory, and writes them."""

    def __init__(
        self,
        built: types.BuiltAgent,
        settings: settings_lib.Settings,
        root: pathlib.Path,
        *,
        config: str,
        seed: int,
        port: int,
    ):
        """Starts the server.

        Args:
            built: The agent, for the tables' signatures.
            settings: The run's.
            root: The run's directory; everything is kept in `replay` in it.
            config: All gin bindings as text.
            seed: The run's.
            port: To listen on.

        Raises:
            run_dir.RunDirectoryError: If the directory holds a run of another configuration, or is in use.
            listening.ListeningError: If the server could be reached by others.
            ValueError: If the port is in use, the checkpoint has other settings, or train steps are not owed for agent
                steps.
        """
        check_port(port)
        self._announced = process_ids.announce(port)
        if built.on_policy:
            raise ValueError(
                "an agent that trains on its own newest steps alone, expected one that trains from replay, such as "
                "SLAC: train this one with bin/train_eval"
            )
        if settings.schedule.updates_per_episode is not None:
            raise ValueError(
                f"Schedule.updates_per_episode: {settings.schedule.updates_per_episode}, expected None with collectors "
                "of their own: they count agent steps; bind Schedule.updates_per_agent_step"
            )
        memory.check_memory(built.agent.collect_data_spec, settings.replay.capacity)
        self._directory = run_dir.RunDir(root / "replay")
        self._directory.open(config, gin.operative_config_str(), seed, settings_lib.may_change())
        self._interval_seconds = settings.intervals.checkpoint_seconds
        self._saver = checkpoints.Checkpoints(self._directory.checkpoints, tf.Module())
        source = self._newest(root)
        self._server = server.ReplayServer(
            built.agent.collect_data_spec,
            sequence_length=built.sequence_length,
            capacity=settings.replay.capacity,
            directory=self._directory.replay,
            restore_from=source,
            priority_exponent=None if built.prioritization is None else built.prioritization.exponent,
            reachable_from_network=settings.replay.reachable_from_network,
            port=port,
            more_tables=[
                tables.steps(settings.distributed.max_lead_agent_steps),
                *protocol.tables(),
            ],
        )
        self._saved: Dict[str, int] = {}
        client = self._server.client
        lead = client.server_info()[tables.STEPS].rate_limiter_info.max_diff
        wanted = settings.distributed.max_lead_agent_steps
        if lead != wanted:
            raise ValueError(  # Reverb would go on with the stored settings without a word
                f"Distributed.max_lead_agent_steps: {wanted}, expected {lead:.0f} as in {source}: set it back, or "
                "start in another --root_dir"
            )
        for name in protocol.PASSING:
            client.reset(name)
        record = protocol.run_record(run_dir.with_seed(config, seed), built)
        client.insert([protocol.encoded(record)], {protocol.RUN: 1.0})
        logging.info("the replay server is up on port %d, with %d sequences", port, self._server.size)

    def _newest(self, root: pathlib.Path) -> Optional[pathlib.Path]:
        """What to restore: its own checkpoint, or one that `bin/train_eval` left there."""
        own = self._saver.newest()
        checkpoints.take_up(self._directory.checkpoints, own)
        found = own or checkpoints.newest(run_dir.RunDir(root).checkpoints)
        return None if found is None or not (found.replay / "DONE").exists() else found.replay

    def serve(self, stop: liveness.StopRequest) -> None:
        """Serves until a signal asks to stop; then writes a last checkpoint.

        Args:
            stop: Becomes true then.

        Raises:
            storage.StorageError: If a checkpoint cannot be written.
        """
        stop.works()
        last = time.monotonic()
        while not stop:
            time.sleep(_POLL_SECONDS)
            if time.monotonic() - last >= self._interval_seconds:
                self._save()
                last = time.monotonic()
        self._save()

    def _save(self) -> None:
        limiter = self._server.client.server_info()[tables.STEPS].rate_limiter_info
        counts = {"agent_step": limiter.insert_stats.completed, "taken": limiter.sample_stats.completed}
        if counts == self._saved:
            return
        begin = time.monotonic()
        state = {**counts, "pretrain_step": 0, "num_sequences": self._server.size}
        place = self._saver.save(counts["agent_step"], state, self._server)
        self._saved = counts
        logging.info("checkpoint %s, %.1f s", place, time.monotonic() - begin)
