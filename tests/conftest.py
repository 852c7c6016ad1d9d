import gin
import pytest


@pytest.fixture(autouse=True)
def no_gin_bindings_left():
    """One test's gin bindings are not the next one's."""
    yield
    gin.clear_config()
