"""Each overlay applied as a person would, and the sidecar by one patch on a Deployment that runs."""

import base64
import os
import re
import secrets

import yaml
from kube import ROOT, Failed

KUBERNETES = "deploy/kubernetes"
# By overlay: how many pods of each Deployment become ready, and behind which port of which Service how many stand.
OVERLAYS = {
    "base": ({"api": 2}, {"api": ({8080}, 2)}),
    "overlays/workload-identity": ({"api": 2}, {"api": ({8080}, 2)}),
    "overlays/network-policy": ({"api": 2}, {"api": ({8080}, 2)}),
    "overlays/monitoring": ({"api": 2}, {"api": ({8080}, 2), "obo-gateway-admin": ({9090}, 2)}),
    "overlays/sidecar-patch": ({"my-api": 2}, {"my-api": ({8080}, 2)}),
    "overlays/standalone": (
        {"obo-gateway": 3, "obo-gateway-redis": 1}, {"obo-gateway": ({8080}, 3), "obo-gateway-redis": ({6379}, 1)},
    ),
}  # fmt: skip


def secret_of_redis(kube, namespace):
    """By the command that the head of standalone's kustomization gives, with what openssl would print as its input."""
    head = (ROOT / KUBERNETES / "overlays/standalone/kustomization.yaml").read_text()
    command = re.search(r"^# openssl rand -base64 32 \| kubectl (create secret .*)$", head, re.M)[1].split()
    made = base64.b64encode(secrets.token_bytes(32)) + b"\n"
    kube.kubectl("-n", namespace, *command, text=made.decode())
    kept = kube.one(namespace, "secret", "obo-gateway-redis")["data"]
    if {name: base64.b64decode(value) for name, value in kept.items()} != {"key": made}:
        raise Failed(f"the key of Redis is not what was given: {list(kept)}")


def applied(kube, overlay):
    namespace = kube.namespace(overlay.split("/")[-1])
    if overlay.endswith("standalone"):
        secret_of_redis(kube, namespace)
    text = kube.kustomize(f"{KUBERNETES}/{overlay}")
    kube.apply(namespace, text)
    pods, services = OVERLAYS[overlay]
    # The autoscaler raises its Deployment to its least number by and by.
    kube.until(f"{pods} pods of {overlay}", lambda: kube.rolled_out(namespace) == pods)
    for service, wanted in services.items():
        kube.until(f"{wanted} behind {service}", lambda: kube.endpoints(namespace, service) == wanted)
    # A second time it is what is there already.
    same = kube.kubectl("-n", namespace, "diff", "--server-side", "-f", "-", text=text, check=False)
    if same.returncode:
        raise Failed(f"applied twice it is not the same: {same.stdout}{same.stderr}")
    return f"{len(list(yaml.safe_load_all(text)))} objects; pods ready: {said(pods)}"


def in_flight(kube):
    """standalone with the component that has the autoscaler go by requests in flight, where it runs already."""
    folder = kube.folder / "in-flight"
    folder.mkdir()
    to = os.path.relpath(ROOT / KUBERNETES, os.path.realpath(folder))
    taken = {"resources": [f"{to}/overlays/standalone"], "components": [f"{to}/components/autoscale-in-flight"]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(taken))
    kube.apply("standalone", kube.kubectl("kustomize", folder).stdout)
    metrics = [metric["type"] for metric in kube.one("standalone", "hpa", "obo-gateway")["spec"]["metrics"]]
    if metrics != ["Resource", "Pods"]:
        raise Failed(f"the autoscaler goes by {metrics}")
    return "the autoscaler goes by CPU and by requests in flight"


def said(pods):
    return ", ".join(f"{count} of {name}" for name, count in pods.items())


def budget(kube):
    """The disruption budget of standalone lets one pod of three go, and the spread put each into a zone of its own."""
    budget = kube.until(
        "the disruption budget",
        lambda: [b for b in kube.get("standalone", "pdb") if b["status"].get("expectedPods") == 3],
    )[0]  # fmt: skip
    if budget["status"]["disruptionsAllowed"] != 1:
        raise Failed(f"the disruption budget: {budget['status']}")
    nodes = {pod["spec"]["nodeName"] for pod in kube.get("standalone", "pods", "-l", "app.kubernetes.io/name=obo-gateway")}
    if len(nodes) != 3:
        raise Failed(f"three pods on {nodes}")
    return "one of three pods may go at a time, and each is in a zone of its own"


def bare(text):
    """The Deployment without probes and hooks."""
    documents = list(yaml.safe_load_all(text))
    for document in documents:
        for container in document["spec"].get("template", {}).get("spec", {}).get("containers", []):
            for own in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
                container.pop(own)
    return yaml.safe_dump_all(documents)


def patched(kube, namespace, change=lambda text: text):
    """The commands of docs/guides/kubernetes.md, on a Deployment that runs already, with probes and hooks of its own or none."""
    kube.namespace(namespace)
    folder = ROOT / KUBERNETES / "overlays/sidecar-patch"
    kube.apply(namespace, change((folder / "my-api.yaml").read_text()))
    kube.rolled_out(namespace)
    kube.until("my-api as it was", lambda: kube.endpoints(namespace, "my-api") == ({3000}, 2))
    own = "-n", namespace
    kube.kubectl(*own, "create", "configmap", "obo-gateway", f"--from-file={folder / 'gateway.toml'}")
    kube.kubectl(*own, "patch", "deployment", "my-api", "--patch-file", folder / "sidecar.yaml")
    kube.kubectl(*own, "rollout", "status", "deployment", "my-api", "--timeout=60s")
    if kube.endpoints(namespace, "my-api")[0] != {3000}:
        raise Failed("the Service left the service before it was told to")
    kube.kubectl(*own, "patch", "service", "my-api", "--patch-file", folder / "service.yaml")
    kube.until("my-api behind the gateway", lambda: kube.endpoints(namespace, "my-api") == ({8080}, 2))
    spec = kube.one(namespace, "deployment", "my-api")["spec"]["template"]["spec"]
    if spec["initContainers"][0]["restartPolicy"] != "Always" or "startupProbe" in spec["containers"][0]:
        raise Failed(f"the pod: {spec}")
    # By the generation: kubectl's own word depends on whether somebody wrote a status in between.
    before = kube.one(namespace, "deployment", "my-api")
    kube.kubectl(*own, "patch", "deployment", "my-api", "--patch-file", folder / "sidecar.yaml")
    after = kube.one(namespace, "deployment", "my-api")
    if before["metadata"]["generation"] != after["metadata"]["generation"]:
        raise Failed(f"patched once more: {before['spec']} became {after['spec']}")
    return "2 pods with the gateway; the Service goes from 3000 to 8080; a second patch changes nothing"
