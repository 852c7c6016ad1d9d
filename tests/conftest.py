import gc

import gin
import pytest

from slac_tf.commands import command

command.configure_process()


@pytest.fixture(autouse=True)
def no_gin_bindings_left():
    """One test's gin bindings are not the next one's."""
    yield
    gin.clear_config()


@pytest.fixture(scope="module", autouse=True)
def what_stays_is_not_looked_through_again():
    """A run collects garbage after each evaluation, which takes as long as there is much that earlier tests left."""
    yield
    gc.collect()
    gc.freeze()
