"""docs/interop.md: what was run, and how tower-obo's token requests differ from those of Microsoft's
clients. A difference that `meanings.py` says nothing of is an error; so is a meaning without one."""

import fields
from meanings import MEANINGS

OURS = "tower-obo"
KEYCLOAK = """
## Keycloak

`scripts/keycloak`, the other half of `make interop`, starts a Keycloak of its own and puts the gateway before an API, with `[oidc]`: with the
client's secret in the body, in the header, and with a certificate (`private_key_jwt`, PS256). Tokens of Keycloak's users are exchanged (RFC
8693) for ones of another audience, once for all requests; one for somebody else, an ID token and a refresh token of our own client, a user
without the role, an altered signature, altered claims, a token past its end and a session that was ended are refused, each with its status;
the application's own token (client credentials) is the same for all; and a token that is signed with a new key of the realm is served.
With a client secret that Keycloak takes no more requests get 502, and once its file has the new one they are served, without a restart. The last
run, with Keycloak 26.7.3 on 2026-11-30: 79 checks, 0 failed.
"""
HEAD = """\
# Interoperability

`make interop` runs Microsoft's own client libraries, unmodified, against the emulator over https, and the gateway beside them. The
emulator records their token requests, which are compared here field by field; tokens of managed identities are asked for at a stand-in of
Azure's two endpoints, which records, too. This page is made by that suite
(`UPDATE_DOCS=1 make interop`), which fails when the page is not what it would make, or when a request differs in a field that
nobody has given a reason for. Values in ‹› are of the run. `AuthorizationCodeCredential` of azure-identity and of @azure/identity takes a
client secret or nothing, so that it is here with a secret alone. tower-obo doesn't sign users in and has no authorization code.
"""


class Problem(Exception):
    pass


def page(results, facts, versions):
    """The whole document."""
    text = [HEAD, "## What runs\n", *runs(results, versions)]
    explained, shown = set(), set()
    for grant in dict.fromkeys(result["grant"] for result in results):
        ours = [one for one in results if one["client"] == OURS and one["grant"] == grant]
        for one in ours:
            text += section(grant, one["credential"], results, facts, explained, shown)
    stale = sorted(MEANINGS.keys() - explained)
    if stale:
        raise Problem(f"meanings.py explains what is no difference: {', '.join(stale)}")
    text += ["## Why\n", "| field | why it differs |", "|---|---|", *reasons()]
    return "\n".join(text) + "\n" + KEYCLOAK


def runs(results, versions):
    grants = list(dict.fromkeys(result["grant"] for result in results))
    yield "| client | version | what | with |"
    yield "|---|---|---|---|"
    for client in dict.fromkeys(result["client"] for result in results):
        for grant in grants:
            kinds = [r["credential"] for r in results if (r["client"], r["grant"]) == (client, grant)]
            if kinds:
                yield f"| {client} | {versions.get(client, '')} | {grant} | {', '.join(kinds)} |"
    yield ""


def reasons():
    """Fields with one reason stand together."""
    for reason in dict.fromkeys(MEANINGS[name] for name in sorted(MEANINGS, key=order)):
        names = [name for name in sorted(MEANINGS, key=order) if MEANINGS[name] == reason]
        yield f"| {', '.join(names)} | {reason} |"


def section(grant, credential, results, facts, explained, shown):
    """The rows with something that no section before has shown."""
    clients = {client: None for client in dict.fromkeys(result["client"] for result in results)}
    for result in results:
        if (result["grant"], result["credential"]) != (grant, credential):
            continue
        requests = result["requests"]
        if not requests:
            raise Problem(f"{result['client']} asked for no token: {grant}, {credential}")
        # The last is the one that brought what was checked.
        found = fields.of(requests[-1], result["received"], facts)
        clients[result["client"]] = {"token requests": str(len(requests))} | found
    clients = {client: sent for client, sent in clients.items() if sent}
    names = sorted({name for client in clients.values() for name in client}, key=order)
    same, differing, now_shown = [], [], set()
    for name in names:
        values = {}
        for client, sent in clients.items():
            values.setdefault(sent.get(name), []).append(client)
        facts_of_row = {(name, client, value) for value, who in values.items() for client in who}
        is_new = not facts_of_row <= shown
        now_shown |= facts_of_row
        if len(values) == 1:
            if is_new:
                same.append(f"| {name} | {cell(next(iter(values)))} |")
            continue
        if name not in MEANINGS:
            raise Problem(f"{name} differs and has no meaning: {values} ({grant}, {credential})")
        explained.add(name)
        ours = clients[OURS].get(name)
        others = "; ".join(
            f"{cell(value)} ({', '.join(who)})"
            for value, all_who in values.items()
            if (who := [one for one in all_who if one != OURS])
        )
        if is_new:
            differing.append(f"| {name} | {cell(ours)} | {others} |")
    text = [f"## {grant[0].upper()}{grant[1:]}, {credential}\n"]
    if same:
        besides = ", besides what is the same above" if shown else ""
        text += [f"The same in {', '.join(clients)}{besides}:\n", "| field | value |", "|---|---|", *same, ""]
    if differing:
        besides = ", besides what differs above" if shown else ""
        text += [f"What differs{besides}:\n", f"| field | {OURS} | others |", "|---|---|---|", *differing, ""]
    if not same and not differing:
        text += [f"In {', '.join(clients)}, every field is as it is above.\n"]
    shown |= now_shown
    return text


def cell(value):
    return "–" if value is None else f"`{value}`".replace("|", "\\|")


def order(name):
    """The form first, which is what a grant is; then what proves the client; then HTTP's."""
    kinds = ["token requests", "request line", "query", "form", "assertion", "header"]
    return next(i for i, kind in enumerate(kinds) if name.startswith(kind)), name.lower(), name
