"""What deploy/ holds agrees with the code: manifests that Kubernetes takes, settings and commands
that exist, one Dagster configuration.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from drip_pipeline.cli import COMMANDS
from drip_pipeline.settings import CHECKOUT, SETTINGS

DEPLOY = CHECKOUT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
# The oldest release that still gets fixes where people run it, and a newer one.
RELEASES = ("1.29", "1.33")
# What compose files and secrets hold beside the settings: URLs of other roles, images, ports.
BESIDE_SETTINGS = {
    "DRIP_IMAGE", "DRIP_OWNER_DATABASE_URL", "DRIP_INGEST_DATABASE_URL", "DRIP_HTTPS_PORT",
    "DRIP_PROXY_FILES",
}  # fmt: skip
KNOWN = {setting.name for setting in SETTINGS} | BESIDE_SETTINGS


def manifests() -> list[tuple[str, dict[str, Any]]]:
    """Every object of the Kubernetes manifests, with the file it stands in."""
    return [
        (path.name, document)
        for path in sorted(KUBERNETES.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def containers() -> list[dict[str, Any]]:
    pods = [m["spec"]["template"]["spec"] for _, m in manifests() if "template" in m["spec"]]
    return [container for pod in pods for container in pod["containers"]]


def compose() -> dict[str, Any]:
    text = (DEPLOY / "docker" / "compose.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("file", "manifest"), manifests(), ids=lambda given: given if isinstance(given, str) else ""
)
def test_kubernetes_takes_every_manifest(release, file, manifest):
    kubernetes_validate.validate(manifest, release, strict=True)


def test_a_misspelt_key_is_noticed():
    _, manifest = next(m for m in manifests() if m[1]["kind"] == "Deployment")
    broken = copy.deepcopy(manifest)
    broken["spec"]["replica"] = broken["spec"].pop("replicas")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, RELEASES[0], strict=True)


def test_every_container_runs_without_rights_it_does_not_need():
    for container in containers():
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"]
        assert not rights["allowPrivilegeEscalation"]
        assert rights["capabilities"] == {"drop": ["ALL"]}
    for name, service in compose()["services"].items():
        if name != "proxy":
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]


def test_every_resource_that_kustomize_names_is_there():
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))
    named = set(kustomization["resources"])
    assert named == {file for file, _ in manifests()}
    for entry in kustomization["configMapGenerator"][0]["files"]:
        assert (KUBERNETES / entry.partition("=")[2]).is_file()


@pytest.mark.parametrize(
    "path",
    [DEPLOY / "docker" / "compose.yaml", *KUBERNETES.glob("*.yaml"), *DEPLOY.glob("*/example.env")],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_settings_that_are_named_exist(path: Path):
    named = set(re.findall(r"\bDRIP_[A-Z][A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
    assert named <= KNOWN


def test_commands_that_are_run_exist():
    commands = [service.get("command") for service in compose()["services"].values()]
    commands += [container["args"] for container in containers()]
    ours = [c[1] for c in commands if c and c[0] == "drip_pipeline.cli"]
    assert set(ours) == {"db", "receive"}
    assert set(ours) <= set(COMMANDS)


def test_all_deployments_have_the_same_dagster_configuration():
    shipped = (DEPLOY / "dagster" / "dagster.yaml").read_text(encoding="utf-8")
    assert (KUBERNETES / "instance" / "dagster.yaml").read_text(encoding="utf-8") == shipped, (
        "kustomize reads no file outside its folder: copy deploy/dagster/dagster.yaml to"
        " deploy/kubernetes/instance/"
    )


def test_the_proxy_knows_the_services_by_name_and_port():
    text = (DEPLOY / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    targets = set(re.findall(r"proxy_pass http://(\w+):(\d+);", text))
    assert targets == {("webserver", "3000"), ("viewer", "3000"), ("receiver", "8080")}
    assert {name for name, _ in targets} <= set(compose()["services"])
    assert text.count("auth_basic_user_file") == 2


def test_no_secret_stands_in_a_manifest():
    for container in containers():
        for variable in container.get("env", ()):
            assert "value" not in variable, variable["name"]
