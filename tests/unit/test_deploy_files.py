"""The files of docs/deploy: every command in them is one, with options that there are."""

import json
import re
import shlex
from pathlib import Path

import pytest

from nbstream import cli

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "docs" / "deploy"
yaml = pytest.importorskip("yaml")


def relay_of(*words):
    """Return how the command line understands a relay's command."""
    args = cli._parser().parse_args(words)
    assert args.command == "relay"
    return args


def test_the_unit_starts_a_service():
    """Its command has TLS, and systemd waits longer than the relay drains."""
    text = (PLACE / "nbstream-relay.service").read_text("utf-8")
    _, *words = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1])
    args = relay_of(*words)
    assert args.tokens
    assert args.upstreams
    assert args.tls_cert
    assert args.tls_key
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[1]) > args.drain_s + 5


def test_the_container_is_not_root_and_the_cluster_waits_for_it():
    """Entry point and arguments together are a command; the pod is given longer than the relay drains."""
    text = (PLACE / "Containerfile").read_text("utf-8")
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for name in line.split()]
    assert all((ROOT / name).exists() for name in copied), "it is built from a checkout"
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    forced = re.findall(r'^"(\S+)" = "nbstream/', project, re.MULTILINE)
    assert forced
    assert {"pyproject.toml", "README.md", "LICENSE", "src", *forced} <= set(copied)
    assert '"/build[redis]"' in text
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)
    _, *words = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[1])
    usual = json.loads(re.search(r"^CMD (.*)$", text, re.MULTILINE)[1])
    assert relay_of(*words, *usual).behind_proxy
    deployment, service = yaml.safe_load_all((PLACE / "kubernetes.yaml").read_text("utf-8"))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    args = relay_of(*words, *container["args"])
    assert pod["terminationGracePeriodSeconds"] > args.drain_s + 5
    port = int(args.bind.rpartition(":")[2])
    assert [one["containerPort"] for one in container["ports"]] == [port]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]


def test_the_hub_hands_each_user_his_own_token(tmp_path):
    """The hook of the values gives a user his token and his group's store and relay, and nothing to one without."""
    values = yaml.safe_load((PLACE / "jupyterhub-values.yaml").read_text("utf-8"))
    code = values["hub"]["extraConfig"]["nbstream"]
    mounted = values["hub"]["extraVolumeMounts"][0]["mountPath"]
    assert f'"{mounted}/groups.json"' in code
    groups = {
        name: {"relay": f"https://{name}.example.org", "store": f"redis://{name}/0", "tokens": {user: f"{user}.secret"}}
        for name, user in (("physics", "alice"), ("biology", "carol"))
    }
    (tmp_path / "groups.json").write_text(json.dumps(groups), "utf-8")

    class Bag:
        def __init__(self, **fields):
            self.__dict__.update(fields)

    config = Bag(Spawner=Bag())
    exec(code.replace(mounted, str(tmp_path)), {"c": config})
    found = {}
    for name in ("alice", "bob", "carol"):
        spawner = Bag(user=Bag(name=name), environment={})
        config.Spawner.pre_spawn_hook(spawner)
        found[name] = spawner.environment
    assert found["bob"] == {}
    for name, group in (("alice", "physics"), ("carol", "biology")):
        assert found[name] == {
            "NBSTREAM_RELAY": f"https://{group}.example.org", "NBSTREAM_RELAY_TOKEN": f"{name}.secret",
            "NBSTREAM_STORE": f"redis://{group}/0",
        }, "nobody has the address of another group's store"  # fmt: skip
