"""What is there twice, since kustomize and helm read nothing outside their own folders. UPDATE=1 writes the
copies anew."""

import os

import yaml
from monitoring import DASHBOARD, ROOT, RULES

RULE = ROOT / "deploy/kubernetes/components/monitoring/prometheus-rule.yaml"
FILES = ROOT / "deploy/helm/obo-gateway/files"
HEAD = """\
# The alerts of deploy/prometheus/obo-gateway.rules.yaml, in the form that the Prometheus operator reads;
# a check compares the two (UPDATE=1 scripts/deploy-checks writes this one anew).
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: obo-gateway
spec:
"""


def wanted():
    rules = RULES.read_text()
    groups = rules[rules.index("groups:") :]
    copy = "".join(f"  {line}\n" if line else "\n" for line in groups.splitlines())
    return {
        RULE: HEAD + copy,
        FILES / "obo-gateway.rules.yaml": groups,
        FILES / "obo-gateway.json": DASHBOARD.read_text(),
    }


def update_if_asked():
    if os.environ.get("UPDATE"):
        for path, text in wanted().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def problems():
    found = [
        f"{path.relative_to(ROOT)} is not what it is a copy of: UPDATE=1 scripts/deploy-checks"
        for path, text in wanted().items()
        if not path.exists() or path.read_text() != text
    ]
    groups = yaml.safe_load(RULES.read_text())["groups"]
    if not found and yaml.safe_load(RULE.read_text())["spec"]["groups"] != groups:
        found.append("the PrometheusRule has other alerts than the rules")
    return found
