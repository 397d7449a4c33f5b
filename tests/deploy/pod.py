"""The pods of deploy/kubernetes/base and of overlays/sidecar-patch, really run (podman kube play), against the emulator. What is changed for it,
and why: the gateway stands among the containers (this podman knows no native sidecars), the pod has the network of
the test, images are those just built, and the credential is the emulator's secret, since nobody here issues tokens
of service accounts. The service that the patch is for is the demo's backend. Probes are asked by the test: there is no kubelet."""

import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
IDS = {"tenant": "c0a70500-0000-4000-8000-000000000001", "client_id": "a9100000-0000-4000-8000-00000000000a"}
NOBODY = "00000000-0000-0000-0000-000000000000"


def rendered(kubectl, where):
    text = subprocess.run(
        [kubectl, "kustomize", ROOT / "deploy/kubernetes" / where], capture_output=True, text=True, check=True
    ).stdout
    return list(yaml.safe_load_all(text))


def of(kubectl, where, folder):
    """The file for podman."""
    documents = rendered(kubectl, where)
    template = next(d for d in documents if d["kind"] == "Deployment")["spec"]["template"]
    configuration = next(d for d in documents if d["kind"] == "ConfigMap")
    text = configuration["data"]["gateway.toml"]
    for key, value in IDS.items():
        assert NOBODY in text
        text = text.replace(NOBODY, value, 1)
    federated = 'credential = { federated_token_file = "/var/run/secrets/obo-gateway/tokens/entra" }'
    assert federated in text
    text = text.replace(
        federated,
        'credential = { secret_file = "/var/run/secrets/obo-gateway/tokens/entra" }\n'
        'authority = "http://127.0.0.1:9400"\nallow_http_loopback = true',
    )
    files = {"obo-gateway-config": ("gateway.toml", text), "obo-gateway-token": ("entra", "emulator-api-secret")}

    spec = template["spec"]
    spec["hostNetwork"] = True
    spec["restartPolicy"] = "Never"
    gateway = spec.pop("initContainers")[0]
    gateway.pop("restartPolicy")
    spec["containers"].append(gateway)
    service = spec["containers"][0]
    # What base says of the backend; of a service of one's own the patch says nothing.
    service["env"] = [
        {"name": "DEMO_BACKEND_LISTEN", "value": "127.0.0.1:3000"},
        {"name": "ARM_URL", "value": "http://127.0.0.1:9401"},
    ]
    for container in spec["containers"]:
        image = container["image"].rsplit("/", 1)[-1].split(":")[0]
        container["image"] = "localhost/" + {"my-api": "demo-backend"}.get(image, image)
        container["imagePullPolicy"] = "Never"
        for field in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports"):
            container.pop(field, None)
    for volume in spec["volumes"]:
        name, content = files[volume["name"]]
        place = pathlib.Path(folder) / volume["name"]
        place.mkdir()
        (place / name).write_text(content)
        for kind in ("configMap", "projected"):
            volume.pop(kind, None)
        volume["hostPath"] = {"path": str(place), "type": "Directory"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api", "labels": template["metadata"]["labels"]}, "spec": spec}
    path = pathlib.Path(folder) / "pod.yaml"
    path.write_text(yaml.safe_dump(pod))
    return path
