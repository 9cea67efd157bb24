"""deploy/: what can be known of image, manifests and units without a daemon, a cluster or an init system to run them.

No image is built and nothing is applied here. The files that the build would copy are compared with what it needs,
manifests and compose file are held against their schemas, and what they say of the program against the program.
"""

from __future__ import annotations

import configparser
import fnmatch
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from compose_spec.models import ComposeSpecification, Service

from proxy.admin.health import healthz, readyz, startupz
from proxy.cli import main
from proxy.config import Limits, ProxyFile, read_proxy_file
from tests.test_tidy import ROOT, repository_files

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(
    p for p in (DEPLOY / "kubernetes").rglob("*.yaml") if p.name not in ("kustomization.yaml", "pgjanus.yaml")
)
UNITS = sorted(DEPLOY.glob("*.service"))
PORTS = {"6432", "6433", "9432"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def arguments_exist(words: list[str]) -> None:
    """`serve --listen …` is what the program takes: parsed by its own parser, and not run."""
    command = main.get_command(click.Context(main), words[0])
    assert command is not None, words
    command.make_context(words[0], [*words[1:]])


@pytest.fixture(autouse=True)
def _a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGJANUS_DATABASE_URL", "postgresql://postgres@127.0.0.1:1/nowhere")


# The image


def test_the_dockerfile_pleases_its_linter() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_would_hold_the_program(tmp_path: Path) -> None:
    """What is copied into the build is what tests/test_packaging.py builds, installs and runs the wheel from."""
    tracked = {path.relative_to(ROOT).as_posix() for path in repository_files()}
    context = tmp_path / "context"
    ignored = (ROOT / ".dockerignore").read_text().split()
    for word, rest in instructions():
        if word != "COPY" or rest.startswith("--from"):
            continue
        *sources, target = rest.split()
        for source in sources:
            assert not [pattern for pattern in ignored if fnmatch.fnmatch(source, pattern)], source
            for path in (p for p in repository_files() if p.relative_to(ROOT).is_relative_to(source)):
                inner = path.relative_to(ROOT).relative_to(source)
                to = context / target / (inner if inner.parts else path.name)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
    steps = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert steps[0].endswith("-r requirements.lock") and steps[1].endswith("--no-deps .")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {"pyproject.toml", "requirements.lock", project["readme"], *project["license-files"]}
    needed |= {name for name in tracked if name.startswith(("proxy/", "rules/"))}
    assert {path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file()} == needed


def test_the_image_is_two_steps_without_root_and_asked_for_its_health() -> None:
    last = instructions()[max(number for number, (word, _) in enumerate(instructions()) if word == "FROM") :]
    assert [word for word, _ in instructions()].count("FROM") == 2
    found = dict(last)
    assert found["USER"].isdigit() and found["USER"] != "0"
    assert f"--uid {found['USER']} " in found["RUN"]
    assert set(found["EXPOSE"].split()) == PORTS
    assert found["ENTRYPOINT"] == '["pgjanus"]'
    assert f"/{healthz.__name__}'" in found["HEALTHCHECK"] and ":9432/" in found["HEALTHCHECK"]
    assert not [rest for word, rest in last if "pip" in rest or (word == "COPY" and not rest.startswith("--from"))]


# Compose


def test_the_compose_file_keeps_to_its_schema_and_mounts_what_there_is() -> None:
    content = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    parsed = ComposeSpecification.model_validate(content)
    assert parsed.services is not None and set(content["services"]) == {"db", "proxy", "prometheus", "grafana"}
    known = Service.model_fields.keys()
    assert {key for service in content["services"].values() for key in service} <= known, "the schema ignores others"
    with pytest.raises(ValueError, match="ports"):
        ComposeSpecification.model_validate({"services": {"db": {"ports": 7}}})
    arguments_exist(content["services"]["proxy"]["command"])
    for service in content["services"].values():
        for mount in service.get("volumes", ()):
            assert (DEPLOY / mount.split(":")[0]).exists(), mount
    (target,) = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())["scrape_configs"][0][
        "static_configs"
    ]
    assert target["targets"] == ["proxy:9432"]


# Kubernetes


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text()):
            yield path.name, document
    if shutil.which("kubectl"):
        for directory in ("kubernetes", "kubernetes/backfill"):
            command = ["kubectl", "kustomize", str(DEPLOY / directory)]
            made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
            yield from ((directory, document) for document in yaml.safe_load_all(made))


def test_the_manifests_keep_to_their_schemas() -> None:
    found = list(documents())
    assert {d["kind"] for _, d in found} >= {"Deployment", "Service", "PodDisruptionBudget", "Job"}
    for _, document in found:
        kubernetes_validate.validate(document, "1.31", strict=True)
    wrong = {**found[0][1], "spec": {**found[0][1]["spec"], "replica": 3}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.31", strict=True)


def test_the_kustomizations_name_every_manifest_and_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    named = []
    for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml"):
        content = yaml.safe_load(path.read_text())
        named += [path.parent / name for name in content["resources"]]
        assert [image["newTag"] for image in content["images"]] == [version]
    assert sorted(named) == MANIFESTS


def test_pods_run_what_there_is_without_rights() -> None:
    served = {f"/{handler.__name__}" for handler in (healthz, readyz, startupz)}
    for name, document in documents():
        if document["kind"] not in ("Deployment", "Job"):
            continue
        pod = document["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        arguments_exist(container["args"])
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == int(dict(instructions())["USER"])
        secured = container["securityContext"]
        assert secured["readOnlyRootFilesystem"] and secured["capabilities"] == {"drop": ["ALL"]}
        assert container["env"][0]["name"] == "PGJANUS_DATABASE_URL" and "valueFrom" in container["env"][0]
        probes = [
            container[f"{kind}Probe"]["httpGet"]
            for kind in ("startup", "readiness", "liveness")
            if f"{kind}Probe" in container
        ]
        assert len(probes) == (3 if document["kind"] == "Deployment" else 0)
        assert {probe["path"] for probe in probes} <= served


def test_a_pod_is_given_the_time_that_it_needs_to_end() -> None:
    settings = read_proxy_file(DEPLOY / "kubernetes/pgjanus.yaml")
    (pod,) = (d["spec"]["template"]["spec"] for n, d in documents() if n == "deployment.yaml")
    before = int(re.findall(r"sleep\((\d+)\)", str(pod["containers"][0]["lifecycle"]))[0])
    assert before + settings.limits.drain_timeout_s < pod["terminationGracePeriodSeconds"]


def test_the_service_leads_to_the_deployment() -> None:
    by_kind = {d["kind"]: d for n, d in documents() if n.endswith(".yaml")}
    labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert by_kind["Service"]["spec"]["selector"] == labels
    assert by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    ports = {
        port["name"]: port["containerPort"]
        for port in by_kind["Deployment"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    assert {str(port) for port in ports.values()} == PORTS
    assert {port["targetPort"] for port in by_kind["Service"]["spec"]["ports"]} == {"old", "new"}


# systemd


def unit(path: Path) -> dict[str, list[str]]:
    """The [Service] section; a key may be there more than once."""
    found: dict[str, list[str]] = {}
    section = path.read_text().replace("\\\n", " ").partition("[Service]")[2].partition("[Install]")[0]
    for line in section.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_runs_what_there_is_and_may_do_nothing_else(path: Path) -> None:
    service = unit(path)
    program, *words = shlex.split(service["ExecStart"][0])
    assert program.endswith("/pgjanus")
    arguments_exist(words)
    assert service["User"] == ["pgjanus"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["ProtectSystem"] == ["strict"]
    yes = {key for key, values in service.items() if values == ["true"]}
    assert {"NoNewPrivileges", "PrivateTmp", "PrivateDevices", "MemoryDenyWriteExecute", "RestrictNamespaces"} <= yes
    if path.stem == "pgjanus":
        assert float(service["TimeoutStopSec"][0]) > Limits().drain_timeout_s


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_understands_a_unit_where_there_is_systemd(path: Path, tmp_path: Path) -> None:
    """Everywhere else this looks at the form alone. `notify-reload` is for systemd 253 and later."""
    copy = tmp_path / path.name
    copy.write_text(path.read_text().replace("/usr/local/bin/pgjanus", sys.executable))
    sections = configparser.ConfigParser(strict=False, interpolation=None)
    sections.read(copy)
    assert set(sections) == {"DEFAULT", "Unit", "Service", "Install"}
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    done = subprocess.run(
        [analyze, "verify", "--man=no", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert [line for line in done.stderr.splitlines() if path.stem in line and "notify-reload" not in line] == []
    rated = subprocess.run(
        [analyze, "security", "--offline=true", copy], capture_output=True, text=True, timeout=60, check=True
    )
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", rated.stdout)
    assert exposure is not None and float(exposure[1]) < 2.0


# The rest


def test_the_settings_file_holds_every_setting_with_its_default() -> None:
    content = yaml.safe_load((DEPLOY / "pgjanus.yaml").read_text())
    assert ProxyFile.model_validate(content) == ProxyFile()
    assert content.keys() == ProxyFile.model_fields.keys()
    assert content["limits"].keys() == Limits.model_fields.keys()


def test_pgbouncer_leads_to_both_shapes() -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(DEPLOY / "pgbouncer/pgbouncer.ini")
    assert {re.search(r"port=(\d+)", value)[1] for value in settings["databases"].values()} == {"6432", "6433"}  # type: ignore[index]
    assert settings["pgbouncer"]["listen_port"] not in PORTS
