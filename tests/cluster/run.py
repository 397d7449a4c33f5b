"""What scripts/cluster does with its cluster. UPDATE_DOCS=1 writes what it says into docs/cluster.md."""

import json
import os
import subprocess
import sys
import tempfile

import chart
import overlays
import refused
import yaml
from control_plane import ControlPlane, nodes
from kube import ROOT, Failed, Kube

DOCS = ROOT / "docs/cluster.md"
HEAD = """\
# In a cluster

What `make cluster` says; it writes this page with `UPDATE_DOCS=1`. The control plane is a real one (API server, controllers, scheduler, etcd): what it
takes and refuses is what any cluster of its version does, Pod Security included: every namespace here enforces the standard `restricted`. Nodes and pods are
[kwok](https://kwok.sigs.k8s.io/)'s, which calls a pod ready without a container: probes are not asked and images not pulled, and no network policy
is applied. Everybody may do everything (no RBAC), nine of the controllers run, and none of them has metrics: an autoscaler is seen to raise to its
least number alone. The pod that really runs is the one of `make containers`.

"""


def structural(schema):
    """Kubernetes wants to be told of what is a number or a text, which a plain schema says by anyOf alone."""
    if isinstance(schema, list):
        return [structural(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: structural(value) for key, value in schema.items()}
    if "anyOf" in made and "type" not in made:
        made["x-kubernetes-int-or-string"] = True
    return made


def definitions(kube):
    """The Prometheus operator's kinds, with the schemas that tests/deploy keeps."""
    for kind, plural in (("ServiceMonitor", "servicemonitors"), ("PrometheusRule", "prometheusrules")):
        schema = json.loads((ROOT / f"tests/deploy/crds/{plural}.json").read_text())
        schema.pop("$comment")
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": structural(schema)}}
        names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
        made = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{plural}.monitoring.coreos.com",
                "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
            },
            "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]},
        }
        kube.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(made))
    kube.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


def versions(kube):
    server = json.loads(kube.kubectl("version", "-o", "json").stdout)
    helm = kube.helm("version", "--template", "{{.Version}}").stdout.strip()
    etcd = subprocess.run(["etcd", "--version"], capture_output=True, text=True).stdout.split()[2]
    return (
        f"Kubernetes {server['serverVersion']['gitVersion']}, kubectl {server['clientVersion']['gitVersion']}, "
        f"helm {helm}, etcd {etcd}"
    )


def main():
    lines, failed = [], 0

    def report(name, check, *arguments):
        nonlocal failed
        # ONLY=life tries one check alone.
        if os.environ.get("ONLY", "") not in name:
            return
        try:
            line = f"ok      {name}: {check(*arguments)}"
        except Failed as error:
            failed += 1
            line = f"FAILED  {name}: {error}"
        lines.append(line)
        print(line, flush=True)

    with tempfile.TemporaryDirectory() as folder, ControlPlane(folder) as plane:
        kube = Kube(plane.kubeconfig, folder)
        kube.apply("default", nodes())
        kube.kubectl("taint", "nodes", "--all", "node.kubernetes.io/not-ready-", check=False)
        kube.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s")
        definitions(kube)
        lines.append(versions(kube))
        print(lines[0], flush=True)
        for overlay in overlays.OVERLAYS:
            report(f"kubectl apply --server-side, {overlay}", overlays.applied, kube, overlay)
        report("disruption budget and spread of standalone", overlays.budget, kube)
        report("standalone with the component autoscale-in-flight", overlays.in_flight, kube)
        report("one patch on a Deployment that runs", overlays.patched, kube, "patch")
        report("one patch on a Deployment without probes and hooks", overlays.patched, kube, "patch-bare", overlays.bare)
        for values in sorted(chart.CHART.glob("ci/*.yaml")):
            report(f"helm install --wait, {values.name}", chart.shape, kube, values.stem)
        report("the life of a release", chart.life, kube)
        base = list(yaml.safe_load_all(kube.kustomize("deploy/kubernetes/base")))
        report("refused by the API server", refused.at_once, kube, base)
        report("refused where pods are made", refused.of_pods, kube, base)
        report("refused, a careless patch", refused.careless_patch, kube)
        if failed and os.environ.get("KEEP_LOGS"):
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"):
                print(f"---- {name}\n{plane.log(name)}")
    if len(lines) < 2:
        sys.exit(f"ONLY={os.environ['ONLY']} is the name of no check")
    if failed:
        sys.exit(f"{failed} of the checks failed.")
    if os.environ.get("UPDATE_DOCS") and not os.environ.get("ONLY"):
        DOCS.write_text(HEAD + "```\n" + "\n".join(lines) + "\n```\n")


if __name__ == "__main__":
    main()
