import pytest
import windows

from slac_tf.replay import reader, server, writer


@pytest.fixture
def make_server(tmp_path):
    """Makes servers of windows of 4 steps; the first one's directory is `server_0`."""
    servers = []  # who waits for one that was garbage collected waits for ever

    def make(**kwargs):
        directory = tmp_path / f"server_{len(servers)}"
        settings = dict(sequence_length=windows.SEQUENCE_LENGTH, capacity=1000, directory=directory)
        servers.append(server.ReplayServer(windows.data_spec(), **{**settings, **kwargs}))
        return servers[-1]

    yield make


@pytest.fixture
def make_writer():
    def make(of_server, **kwargs):
        settings = dict(sequence_length=windows.SEQUENCE_LENGTH)
        return writer.WindowWriter(of_server.address, windows.data_spec(), **{**settings, **kwargs})

    return make


@pytest.fixture
def make_reader():
    def make(of_server, **kwargs):
        return reader.BatchReader(of_server.address, windows.data_spec(), **kwargs)

    return make
