"""Holds the import rule: a file imports only from folders above its own in `LAYERS`, or from its own."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = "slac_tf"
LAYERS = (
    "types",
    "utils",
    "planning",
    "environments",
    "networks",
    "latent_models",
    "losses",
    "policies",
    "replay",
    "agents",
    "rollouts",
    "export",
    "runs",
    "training",
    "distributed",
    "results",
    "config",
    "commands",
)
ISOLATED = {"results"}  # knows nothing of the rest
FILES = sorted((ROOT / PACKAGE).rglob("*.py"))


def layer(module):
    """`slac_tf.agents.slac.agent` -> (rank of agents, 'agents/slac'); what agents share stands above their folders."""
    parts = module.split(".")[1:]
    folder = "/".join(parts[:2]) if parts[0] == "agents" else parts[0]
    assert parts[0] in LAYERS, f"{module}: give {parts[0]} a place in LAYERS"
    return LAYERS.index(parts[0]) - 0.5 * (folder == "agents/base"), folder


def imported_modules(source):
    """Modules of the package that a source imports; relative imports are reported by their dots."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield PACKAGE + "." * node.level + (node.module or "")
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(module, source):
    """What `source`, the text of `module`, imports although it must not."""
    rank, folder = layer(module)
    found = []
    for imported in imported_modules(source):
        parts = imported.split(".")
        if parts[0] != PACKAGE:
            continue
        if len(parts) == 1 or parts[1] not in LAYERS:  # the root, what it re-exports, or a relative import
            found.append(imported)
            continue
        imported_rank, imported_folder = layer(imported)
        if imported_folder != folder and (imported_rank >= rank or folder in ISOLATED):
            found.append(imported)
    return found


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT / PACKAGE)) for path in FILES])
def test_file_imports_only_from_folders_above(path):
    relative = path.relative_to(ROOT).with_suffix("")
    if relative.parts == (PACKAGE, "__init__"):
        assert not [name for name in imported_modules(path.read_text()) if name.startswith(PACKAGE)]
    else:
        assert violations(".".join(relative.parts), path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("losses.elbo", "from slac_tf.policies import history_policy", ["slac_tf.policies.history_policy"]),
        ("utils.masks", "def f():\n    import slac_tf.runs.metrics", ["slac_tf.runs.metrics"]),
        ("agents.slac.agent", "from slac_tf.agents.sac import agent", ["slac_tf.agents.sac.agent"]),
        ("commands.play", "import slac_tf", ["slac_tf"]),
        ("commands.play", "from slac_tf import train_eval", ["slac_tf.train_eval"]),
        ("commands.play", "from . import command", ["slac_tf."]),
        ("types", "from slac_tf import utils", ["slac_tf.utils"]),
        ("results.curves", "from slac_tf.utils import images", ["slac_tf.utils.images"]),
        # Allowed: layers above, the own folder, other packages.
        ("losses.elbo", "from slac_tf import types\nfrom slac_tf.networks import conv", []),
        ("agents.slac.agent", "from slac_tf.agents.slac import networks", []),
        ("losses.elbo", "import tensorflow as tf\nfrom slac_tf_other import losses", []),
    ],
)
def test_the_checker_itself(module, source, expected):
    assert violations(f"{PACKAGE}.{module}", source) == expected
