import os
import subprocess
import sys
from unittest import mock

import pytest

from slac_tf.environments import rendering


@pytest.fixture
def environ():
    """An os.environ without a GL choice, put back afterwards."""
    with mock.patch.dict(os.environ):
        for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM", "LP_NUM_THREADS"):
            os.environ.pop(name, None)
        yield os.environ


def test_a_choice_already_made_is_respected(environ, monkeypatch):
    monkeypatch.setattr(rendering, "probe", lambda backend: pytest.fail("probed"))
    environ["MUJOCO_GL"] = "glfw"
    assert rendering.configure_backend() == "glfw"
    assert "PYOPENGL_PLATFORM" not in environ


def test_the_first_backend_that_renders_wins_and_is_not_probed_again(environ, monkeypatch):
    probed = []

    def probe(backend):
        probed.append(backend)
        return None if backend == "osmesa" else "no device"

    monkeypatch.setattr(rendering, "probe", probe)
    assert rendering.configure_backend() == "osmesa"
    assert rendering.configure_backend() == "osmesa"
    assert probed == ["egl", "osmesa"]
    assert environ["MUJOCO_GL"] == environ["PYOPENGL_PLATFORM"] == "osmesa"
    assert environ["LP_NUM_THREADS"] == "0"


def test_where_nothing_renders_the_message_says_what_to_install(environ, monkeypatch):
    monkeypatch.setattr(rendering, "probe", lambda backend: f"no {backend} here")
    with pytest.raises(OSError) as error:
        rendering.configure_backend()
    message = str(error.value)
    assert "egl (no egl here), osmesa (no osmesa here)" in message
    assert "apt-get install libegl1 libosmesa6" in message
    assert "\n" not in message
    assert "MUJOCO_GL" not in environ


def test_where_nothing_renders_and_nothing_need_rendering_is_switched_off(environ, monkeypatch):
    monkeypatch.setattr(rendering, "probe", lambda backend: "no")
    assert rendering.configure_backend(required=False) == "disable"
    assert environ["MUJOCO_GL"] == "disable"


def test_a_missing_mujoco_is_an_import_error(environ, monkeypatch):
    monkeypatch.setattr(rendering.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="mujoco"):
        rendering.configure_backend()


def test_probe_gives_the_reason_in_one_line(environ):
    reason = rendering.probe("no_such_backend")
    assert "no_such_backend" in reason
    assert "\n" not in reason


def test_probe_renders_with_the_backend_in_use():
    assert rendering.probe(rendering.configure_backend()) is None


def test_nothing_that_binds_to_gl_is_imported():
    code = (
        "import sys; from slac_tf.environments import rendering; "
        'print({"mujoco", "OpenGL", "dm_control"} & set(sys.modules))'
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_quality_settings():
    model = mock.Mock()
    model.vis.global_.offwidth, model.vis.global_.offheight = 640, 48
    model.vis.quality.offsamples = 4
    rendering.apply_quality(model, "default", 64)
    assert (model.vis.global_.offwidth, model.vis.global_.offheight) == (640, 64)  # never less than the image
    assert model.vis.quality.offsamples == 4
    rendering.apply_quality(model, "fast", 64)
    assert (model.vis.global_.offwidth, model.vis.global_.offheight) == (64, 64)
    assert (model.vis.quality.offsamples, model.vis.quality.shadowsize) == (0, 0)
