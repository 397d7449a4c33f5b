"""kubectl and helm, as a person uses them, and what is asked of the cluster afterwards."""

import json
import os
import pathlib
import subprocess
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60


class Failed(Exception):
    """Something is not as it has to be."""


class Kube:
    def __init__(self, kubeconfig, folder):
        self.environment = {
            "PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig), "HOME": str(folder), "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        self.folder = pathlib.Path(folder)

    def run(self, *command, text=None, check=True):
        done = subprocess.run(
            [str(part) for part in command], input=text, capture_output=True, text=True, env=self.environment, cwd=ROOT
        )
        if check and done.returncode:
            raise Failed(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
        return done

    def kubectl(self, *arguments, text=None, check=True):
        return self.run("kubectl", *arguments, text=text, check=check)

    def helm(self, *arguments, check=True):
        return self.run(os.environ["HELM"], *arguments, check=check)

    def namespace(self, name):
        """One that enforces the standard `restricted`, and warns of what breaks it."""
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        self.kubectl("apply", "-f", "-", text=json.dumps(made))
        self.until(f"the service account of {name}", lambda: self.get(name, "serviceaccounts"))
        return name

    def apply(self, namespace, documents, check=True):
        """By the server, strictly; a warning (of Pod Security, of a field that is outdated) is a failure."""
        text = documents if isinstance(documents, str) else yaml.safe_dump_all(documents)
        done = self.kubectl("-n", namespace, "apply", "--server-side", "--validate=strict", "-f", "-", text=text, check=check)
        if check and done.stderr.strip():
            raise Failed(f"kubectl apply warns: {done.stderr}")
        return done

    def kustomize(self, folder):
        return self.kubectl("kustomize", ROOT / folder).stdout

    def get(self, namespace, kinds, *more):
        return json.loads(self.kubectl("-n", namespace, "get", kinds, "-o", "json", *more).stdout)["items"]

    def one(self, namespace, kind, name):
        return json.loads(self.kubectl("-n", namespace, "get", kind, name, "-o", "json").stdout)

    def rolled_out(self, namespace):
        """Every Deployment, as soon as all its pods are ready; how many of each."""
        return self.until(f"every pod of {namespace}", lambda: self.ready(namespace))

    def ready(self, namespace):
        """None where an autoscaler has raised a number after the roll-out was seen to be complete."""
        counts = {}
        for deployment in self.get(namespace, "deployments"):
            name = deployment["metadata"]["name"]
            self.kubectl("-n", namespace, "rollout", "status", f"deployment/{name}", f"--timeout={PATIENCE}s")
            status = self.one(namespace, "deployment", name)["status"]
            if not status.get("readyReplicas") or status["readyReplicas"] != status["replicas"]:
                return None
            counts[name] = status["readyReplicas"]
        return counts

    def endpoints(self, namespace, service):
        """The ports and the number of addresses behind a Service."""
        slices = self.get(namespace, "endpointslices", "-l", f"kubernetes.io/service-name={service}")
        ports = {port["port"] for found in slices for port in found["ports"] or []}
        return ports, sum(len(found["endpoints"] or []) for found in slices)

    def until(self, what, condition):
        end = time.monotonic() + PATIENCE
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {PATIENCE} s")
            time.sleep(0.3)
