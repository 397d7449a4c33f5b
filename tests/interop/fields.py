"""A recorded token request as named fields, whose values are the same in every run: what is random,
secret or of this machine is replaced by what it is."""

import base64
import json
import re
from urllib.parse import parse_qsl

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# The last word of a field whose value is of the client or the machine.
OF_THE_CLIENT = {
    "host": "‹host›",
    "user-agent": "‹name and version›",
    "content-length": "‹length›",
    "accept-encoding": "‹encodings›",
    "x-client-sku": "‹name›",
    "x-client-ver": "‹version›",
    "x-client-os": "‹operating system›",
    "x-client-cpu": "‹processor›",
    "x-client-current-telemetry": "‹telemetry›",
    "x-client-last-telemetry": "‹telemetry›",
}


class Facts:
    """What the values of one run stand for."""

    def __init__(self, settings, thumbprints):
        self.known = {
            settings["https"]: "‹authority›",
            settings["tenant"]: "‹tenant›",
            settings["api"]: "‹client id›",
            settings["ui"]: "‹client id›",
            settings["api_secret"]: "‹secret›",
            settings["ui_secret"]: "‹secret›",
            settings["assertion"]: "‹the caller's token›",
            settings["federated"]: "‹content of the token file›",
            settings["identity"]: "‹client id of the identity›",
            settings["identity_header"]: "‹IDENTITY_HEADER›",
        } | {text: f"‹{name}›" for name, text in thumbprints.items()}

    def text(self, value):
        for known, name in self.known.items():
            value = value.replace(known, name)
        return GUID.sub("‹GUID›", value)


def of(request, received, facts):
    """The fields of a request that came at `received` (seconds)."""
    fields = {"request line": facts.text(f"{request['method']} {request['path']}")}
    for name, value in parse_qsl(request["query"], keep_blank_values=True):
        fields[f"query `{name}`"] = facts.text(value)
    for name, value in request["headers"]:
        fields[f"header `{name}`"] = OF_THE_CLIENT.get(name, facts.text(value))
    for name, value in parse_qsl(request["body"], keep_blank_values=True):
        field = f"form `{name}`"
        assert field not in fields, f"{field} is there twice"
        if name == "client_assertion" and facts.text(value).count(".") == 2:
            header, claims = (decoded(part) for part in value.split(".")[:2])
            fields[field] = "‹signed by the client›"
            for part, members in ("header", header), ("claim", claims):
                for member, content in members.items():
                    fields[f"assertion {part} `{member}`"] = member_text(content, received, facts)
        elif name == "scope":
            fields[field] = facts.text(" ".join(sorted(value.split())))
        elif name == "claims":
            fields[field] = json.dumps(json.loads(value), sort_keys=True)
        else:
            fields[field] = OF_THE_CLIENT.get(name.lower(), facts.text(value))
    return fields


def decoded(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def member_text(content, received, facts):
    """Times are told by how far from now they are, to five minutes: a busy machine is slow."""
    if isinstance(content, (int, float)) and content > 1_000_000_000:
        minutes = 5 * round((content - received) / 300)
        when = f"{minutes:+} min" if minutes else ""
        return f"‹now{when}›" + (", with a fraction" if isinstance(content, float) else "")
    if isinstance(content, list):
        # msal-python leaves the line breaks of its PEM file in.
        return ", ".join(facts.text(one.replace("\n", "")) for one in content)
    return facts.text(str(content))
