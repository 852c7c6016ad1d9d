"""The examples of docs/distributed.md: their commands have the flags that they are given, and the files parse."""

import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/distributed.md").read_text()
SLURM = ROOT / "docs/examples/slurm.sh"
KUBERNETES = json.loads((ROOT / "docs/examples/kubernetes.json").read_text())


def commands():
    """Each command with its arguments."""
    texts = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
    texts += re.sub(r"\\\n", " ", SLURM.read_text()).splitlines()
    found = []
    for text in texts:
        match = re.search(r"bin/\w+ .*", text)
        if match and not text.startswith("#"):
            found.append(shlex.split(match[0].rstrip('"& ')))
    for item in KUBERNETES["items"]:
        for container in item["spec"].get("template", {}).get("spec", {}).get("containers", []):
            found.append(container["command"])
    return found


@pytest.fixture(scope="module")
def flags():
    """The flags of each command, as its source defines them."""
    common = "".join((ROOT / f"slac_tf/commands/{name}.py").read_text() for name in ("role", "run_flags"))
    found = {}
    for name in ("launch", "replay_server", "learner", "evaluate", "collect", "doctor"):
        source = (ROOT / f"slac_tf/commands/{name}.py").read_text()
        source += common if name != "doctor" else ""
        found[f"bin/{name}"] = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', source))
    return found


def test_every_flag_is_there(flags):
    found = commands()
    assert {command[0] for command in found} == set(flags) - {"bin/doctor"}
    for command in found:
        for argument in command[1:]:
            assert re.match(r"--(\w+)", argument)[1] in flags[command[0]], command


def test_the_slurm_script_parses():
    subprocess.run(["bash", "-n", str(SLURM)], check=True)


def test_the_kubernetes_manifest_is_consistent():
    kinds = [item["kind"] for item in KUBERNETES["items"]]
    assert kinds == ["Service", "StatefulSet", "Job", "Job", "NetworkPolicy"]
    service, server, *jobs, policy = KUBERNETES["items"]
    labels = server["spec"]["template"]["metadata"]["labels"]
    for selector in (service["spec"]["selector"], policy["spec"]["podSelector"]["matchLabels"]):
        assert selector == labels
    allowed = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    for job in jobs:
        assert allowed.items() <= job["spec"]["template"]["metadata"]["labels"].items()
        assert job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [2]


def test_the_table_is_what_the_model_gives():
    output = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/distributed_model.py")], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split("|") for line in output.splitlines() if line.startswith("|")]
    table = [line.split("|") for line in PAGE.splitlines() if line.startswith("|")]
    for row in rows[2:]:
        assert row in table, "|".join(row)
