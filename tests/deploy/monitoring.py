"""Alerts and dashboard: PromQL by promtool, and metrics and labels by docs/metrics.md, which a test of the
gateway compares with what it exports."""

import json
import pathlib
import re
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/obo-gateway.rules.yaml"
DASHBOARD = ROOT / "deploy/kubernetes/components/monitoring/obo-gateway.json"
METRIC = re.compile(r"\b(?:obo|process)_\w+")
# What Prometheus itself adds.
ADDED = {"job", "instance"}


def exported():
    """By name of the metric its labels, as docs/metrics.md has them."""
    table = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    metrics = {}
    for name, kind, labels in table:
        of = set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            metrics |= {name + "_bucket": of | {"le"}, name + "_sum": of, name + "_count": of}
        else:
            metrics[name] = of
    if len(metrics) < 30:
        raise SystemExit("docs/metrics.md has no table of metrics any more")
    return metrics


def names(where, expression, metrics):
    """What an expression asks for and the gateway does not export."""
    found = []
    for name, matchers in re.findall(r"\b((?:obo|process)_\w+)(?:\{([^}]*)\})?", expression):
        if name not in metrics:
            found.append(f"{where}: there is no metric {name}")
            continue
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
            if label not in metrics[name] | ADDED:
                found.append(f"{where}: {name} has no label {label}")
    known = ADDED.union(*(metrics.get(name, set()) for name in re.findall(METRIC, expression)))
    for clause in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", expression):
        found += [f"{where}: none of its metrics has a label {label}" for label in re.findall(r"\w+", clause) if label not in known]
    return found


def legend(where, text, expression, metrics):
    """The labels that a panel's legend, or an alert's words, show."""
    known = ADDED.union(*(metrics.get(name, set()) for name in re.findall(METRIC, expression)))
    shown = re.findall(r"\$labels\.(\w+)", text) if "$labels" in text else re.findall(r"\{\{\s*(\w+)\s*\}\}", text)
    return [f"{where}: none of its metrics has the label {label} that it shows" for label in shown if label not in known]


def names_in_manifests(documents):
    metrics = exported()
    found = []
    for document in documents:
        if document["kind"] == "HorizontalPodAutoscaler":
            for metric in document["spec"]["metrics"]:
                name = metric.get("pods", {}).get("metric", {}).get("name")
                found += names(f"autoscaler {document['metadata']['name']}", name or "", metrics)
        if document["kind"] == "PrometheusRule":
            found += of_groups(document["spec"]["groups"], metrics)
        for name, text in document.get("data", {}).items() if document["kind"] == "ConfigMap" else ():
            if name.endswith(".json"):
                for where, expression, shown in expressions(text):
                    found += names(where, expression, metrics) + legend(where, shown, expression, metrics)
    return found


def of_groups(groups, metrics):
    return [
        problem
        for group in groups
        for rule in group["rules"]
        for problem in names(f"alert {rule['alert']}", rule.get("expr", ""), metrics)
        + legend(f"alert {rule['alert']}", json.dumps(rule.get("annotations", {})), rule.get("expr", ""), metrics)
    ]


def expressions(dashboard):
    for panel in json.loads(dashboard)["panels"]:
        for target in panel["targets"]:
            yield f"panel {panel['title']!r}", target["expr"], target.get("legendFormat", "")


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, cwd=RULES.parent)
    return [] if done.returncode == 0 else [f"promtool {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}"]


def alerts():
    found = promtool("check", "rules", RULES) + promtool("test", "rules", "obo-gateway.rules.test.yaml")
    return found + of_groups(yaml.safe_load(RULES.read_text())["groups"], exported())


def dashboard(text):
    """Each expression, as Grafana would send it, is PromQL."""
    rules = []
    for number, (_, expression, _) in enumerate(expressions(text)):
        expression = expression.replace("$__rate_interval", "5m").replace("$job", "obo-gateway")
        rules.append({"record": f"panel:{number}", "expr": expression})
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        return promtool("check", "rules", file.name)
