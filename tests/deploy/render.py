"""What kubectl and helm make of deploy/kubernetes and of the chart."""

import os
import pathlib
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
CHART = ROOT / "deploy/helm/obo-gateway"
HELM = os.environ["HELM"]
# A helm that go builds believes itself beside an old Kubernetes.
VERSION = ("--kube-version", "1.37")
TEMPLATE = (HELM, "template", "test", CHART, "--namespace", "test", *VERSION)


def run(*command):
    """Standard output, or an error with all that the tool said."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def everything():
    """By name: the objects of each overlay, and of the chart with each file of values in its ci/."""
    folders = [KUBERNETES / "base", *sorted((KUBERNETES / "overlays").iterdir())]
    rendered = {
        str(folder.relative_to(ROOT)): documents(run("kubectl", "kustomize", folder)) for folder in folders
    }
    for overlay in ("sidecar-patch", "standalone", "workload-identity"):
        rendered[f"overlays/{overlay} with all components"] = with_components(overlay)
    for values in sorted(CHART.glob("ci/*.yaml")):
        text = run(*TEMPLATE, "--values", values)
        rendered[f"chart with {values.name}"] = documents(text)
    rendered["sidecar.yaml by kubectl patch"] = patched()
    rendered["sidecar.yaml by kubectl patch, of a service without probes and hooks"] = patched(bare=True)
    return rendered


def with_components(overlay):
    """An overlay as somebody would take it: from a folder of their own, with the components."""
    with tempfile.TemporaryDirectory() as folder:
        to = os.path.relpath(KUBERNETES, os.path.realpath(folder))
        components = [f"{to}/components/{path.name}" for path in sorted((KUBERNETES / "components").iterdir())]
        taken = {"resources": [f"{to}/overlays/{overlay}"], "components": components}
        (pathlib.Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(taken))
        return documents(run("kubectl", "kustomize", folder))


# What a service may have, or not, before it is patched.
OWN = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle")


def without_own(deployment):
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        for own in OWN:
            container.pop(own)


def patched(bare=False):
    """The service that is there already, by `kubectl patch` in place of kustomize."""
    folder = KUBERNETES / "overlays/sidecar-patch"
    made = [d for d in documents(run("kubectl", "kustomize", folder)) if d["kind"] == "ConfigMap"]
    for document in documents((folder / "my-api.yaml").read_text()):
        if bare and document["kind"] == "Deployment":
            without_own(document)
        patch = {"Deployment": "sidecar.yaml", "Service": "service.yaml"}[document["kind"]]
        done = subprocess.run(
            ["kubectl", "patch", "--local", "-f", "-", "--patch-file", folder / patch, "-o", "yaml"],
            input=yaml.safe_dump(document), capture_output=True, text=True, check=True,
        )  # fmt: skip
        made += documents(done.stdout)
    return made


def chart_lint():
    found = []
    for values in sorted(CHART.glob("ci/*.yaml")):
        done = subprocess.run(
            [HELM, "lint", "--strict", *VERSION, CHART, "--values", values], capture_output=True, text=True
        )
        if done.returncode:
            found.append(f"{values.name}: {done.stdout}{done.stderr}")
    return found
