"""A GL backend that works, and how much work a frame is.

MuJoCo, dm_control and PyOpenGL each read their choice of backend from the environment when they are
imported, and a wrong choice cannot be taken back in the same process. So the backends are tried in a
subprocess, and this module imports none of the three.
"""

import importlib.util
import os
import subprocess
import sys
from typing import Any, Dict, List, Optional

BACKENDS = ("egl", "osmesa")  # in the order in which they are tried; both draw without a display

# Renders one sphere. The reason of a failure goes out as one line; `os._exit` because the clean-up of a
# half-made GL context at interpreter exit prints tracebacks of its own.
_PROBE = """
import os, sys
try:
  import mujoco, numpy
  model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1"/></worldbody></mujoco>')
  data = mujoco.MjData(model)
  mujoco.mj_forward(model, data)
  model.vis.quality.shadowsize = 0
  model.vis.global_.offwidth = model.vis.global_.offheight = 16
  gl = mujoco.GLContext(16, 16)
  gl.make_current()
  context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
  mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
  camera = mujoco.MjvCamera()
  mujoco.mjv_defaultFreeCamera(model, camera)
  scene = mujoco.MjvScene(model, 10)
  mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
  viewport = mujoco.MjrRect(0, 0, 16, 16)
  mujoco.mjr_render(viewport, scene, context)
  pixels = numpy.zeros((16, 16, 3), numpy.uint8)
  mujoco.mjr_readPixels(pixels, None, viewport, context)
  if not pixels.any():
    raise RuntimeError('the frame is black')
except BaseException as error:
  print(type(error).__name__ + ': ' + ' '.join(str(error).split()), file=sys.stderr, flush=True)
  os._exit(1)
os._exit(0)
"""

# What `apply_quality` writes into the model. 'fast' draws without anti-aliasing and without shadows, in a
# buffer no larger than the image: 4 to 10 times as fast in software. Frames of the two do not look alike to
# a network, so one run stays with one quality.
QUALITIES: Dict[str, Dict[str, int]] = {
    "default": {},
    "fast": {"offsamples": 0, "shadowsize": 0},
}


def probe(backend: str) -> Optional[str]:
    """Tries to render with a GL backend, in a subprocess.

    Args:
        backend: What MUJOCO_GL would be set to, such as 'egl', 'osmesa' or 'glfw'.

    Returns:
        None if it renders, else the reason why not, in one line.
    """
    environment = dict(os.environ, MUJOCO_GL=backend)
    environment.pop("PYOPENGL_PLATFORM", None)
    if backend in BACKENDS:
        environment["PYOPENGL_PLATFORM"] = backend
    timeout = 60.0  # seconds; a probe takes one or two, more where the disk is cold
    try:
        result = subprocess.run(
            [sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:.0f} s"
    if result.returncode == 0:
        return None
    if result.returncode < 0:
        return f"killed by signal {-result.returncode}"
    lines = result.stderr.strip().splitlines()
    return lines[-1].strip() if lines else f"exit code {result.returncode}"


def configure_backend(required: bool = True) -> str:
    """Picks a GL backend for this process and its children. Call it before MuJoCo is imported.

    A MUJOCO_GL that is already set is respected; that also makes a second call cheap. Otherwise the first
    of `BACKENDS` that renders is written to MUJOCO_GL and PYOPENGL_PLATFORM.

    Args:
        required: Whether to raise where nothing renders. If False, rendering is switched off instead
            (MUJOCO_GL=disable), which lets the simulation itself run.

    Returns:
        The value of MUJOCO_GL.

    Raises:
        ImportError: If MuJoCo is not installed.
        OSError: If no backend renders and `required`.
    """
    # Software GL starts one thread per core, which then fight TensorFlow's over the same cores.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    backend = os.environ.get("MUJOCO_GL")
    if backend:
        return backend
    if importlib.util.find_spec("mujoco") is None:
        raise ModuleNotFoundError("No module named 'mujoco'", name="mujoco")
    reasons = []
    for backend in BACKENDS:
        reason = probe(backend)
        if reason is None:
            os.environ["MUJOCO_GL"] = backend
            os.environ["PYOPENGL_PLATFORM"] = backend  # MuJoCo refuses to load where the two differ
            return backend
        reasons.append(f"{backend} ({reason})")
    if required:
        raise OSError(
            f"No GL backend renders. Tried {', '.join(reasons)}. "
            "On Debian and Ubuntu, `apt-get install libegl1 libosmesa6` fixes it."
        )
    os.environ["MUJOCO_GL"] = "disable"
    return "disable"


def apply_quality(model: Any, quality: str, image_size: int) -> None:
    """Sets the render quality of a model. Only effective before its first frame is rendered.

    Args:
        model: A `mujoco.MjModel`.
        quality: A key of `QUALITIES`.
        image_size: Side of the square image, in pixels. The offscreen buffer is made at least as large.

    Raises:
        ValueError: If `quality` is not known.
    """
    if not isinstance(quality, str) or quality not in QUALITIES:
        raise ValueError(f"render_quality={quality!r}: expected one of {sorted(QUALITIES)}")
    for name, value in QUALITIES[quality].items():
        setattr(model.vis.quality, name, value)
    screen = model.vis.global_
    if quality == "fast":
        screen.offwidth = screen.offheight = image_size
    else:
        screen.offwidth = max(screen.offwidth, image_size)
        screen.offheight = max(screen.offheight, image_size)


def camera_names(model: Any) -> List[str]:
    """Returns the names of a model's cameras, by id.

    Args:
        model: A `mujoco.MjModel`.
    """
    return [model.camera(i).name for i in range(model.ncam)]
