"""Kubernetes' own schemas of the newest version and of one before the oldest that we are for, strictly: a field that is
not there is an error. The Prometheus operator's kinds by the schemas of its definitions (crds/)."""

import copy
import json
import pathlib

import jsonschema
import kubernetes_validate

VERSIONS = ("1.29", "1.37")
CRDS = {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"}


def strict(schema):
    """The same schema, in which what has named properties has no others."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and "type" in made:
        made.setdefault("additionalProperties", False)
    return made


def of_definition(kind):
    path = pathlib.Path(__file__).parent / "crds" / f"{CRDS[kind]}.json"
    return strict(json.loads(path.read_text()))


def problems(documents):
    found = []
    for document in documents:
        name = f"{document.get('kind')} {document.get('metadata', {}).get('name')}"
        if document.get("apiVersion") == "monitoring.coreos.com/v1":
            validator = jsonschema.Draft7Validator(of_definition(document["kind"]))
            found += [f"{name}: {error.json_path}: {error.message}" for error in validator.iter_errors(document)]
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(copy.deepcopy(document), version, strict=True)
            except Exception as error:  # the package raises several kinds; each is a refusal
                text = getattr(error, "message", None) or str(error)
                found.append(f"{name}, Kubernetes {version}: {text}")
    return found
