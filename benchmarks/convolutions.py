"""What `slac_tf/networks/cpu_layers.py` is worth, as a whole and by its parts, in a train step at the paper's shapes.

    .venv/bin/python benchmarks/convolutions.py --dtype=bfloat16

Variants of the step take turns in one process. What is compared is the CPU time of one thread, which other programs
of the machine change little; each figure is the median of a variant's ratios to the step of the same round with all
parts, beside the quartiles of these ratios.
"""

import contextlib
import statistics
import time
from typing import Any, Dict, List
from unittest import mock

from absl import app, flags

from slac_tf.commands import command

_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "What convolutions compute in.")
_ROUNDS = flags.DEFINE_integer("rounds", 15, "Steps of each variant.", lower_bound=3)


def _variants() -> Dict[str, Dict[str, Any]]:
    """Names of the CPU layers' module and what takes their place, by variant."""
    import tensorflow as tf

    from slac_tf.utils import images

    none = {tf.float32: 0, tf.bfloat16: 0}
    small, few, leaky = {"_SMALL_MAP": none}, {"_FEW_CHANNELS": 0}, {"leaky_relu": tf.nn.leaky_relu}
    scaled = {"pixels": images.to_float}
    return {
        "all": {},
        "without the kernels' gradients on small maps": small,
        "without the output layer as blocks": few,
        "without the leaky ReLU's gradient": leaky,
        "with each pixel scaled": scaled,
        "nothing but the biases' gradients": {**small, **few, **leaky, **scaled},
        "Keras' layers": {
            "Conv2D": tf.keras.layers.Conv2D,
            "Conv2DTranspose": tf.keras.layers.Conv2DTranspose,
            "Dense": tf.keras.layers.Dense,
            **leaky,
            **scaled,
        },
    }


def main(_: List[str]) -> None:
    """Builds every variant, lets them take turns and prints a line for each."""
    command.configure_process()
    import tensorflow as tf
    from parts import paper_scale

    from slac_tf.networks import cpu_layers

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    made = {}
    for name, replaced in _variants().items():
        with contextlib.ExitStack() as stack:
            for attribute, other in replaced.items():
                stack.enter_context(mock.patch.object(cpu_layers, attribute, other))
            built = paper_scale.build([f"build_convolution_policy.dtype = '{_DTYPE.value}'"])
            batch = paper_scale.experience(built)
            float(built.agent.train(batch).loss)  # traces the step, after which nothing is looked up in the module
        made[name] = (built, batch)
    times: Dict[str, List[float]] = {name: [] for name in made}
    for _ in range(_ROUNDS.value):
        for name, (built, batch) in made.items():
            begin = time.process_time()
            float(built.agent.train(batch).loss)
            times[name].append(time.process_time() - begin)
    print(f"{_DTYPE.value}: {statistics.median(times['all']):.3f} s of CPU a step with all")
    for name, found in times.items():
        ratios = [one / whole for one, whole in zip(found, times["all"])]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{name:45s} {middle:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    app.run(main)
