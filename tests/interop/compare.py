"""docs/interop.md: what was run, and how tower-obo's token requests differ from those of Microsoft's
clients. A difference that `meanings.py` says nothing of is an error; so is a meaning without one."""

import fields
from meanings import MEANINGS

OURS = "tower-obo"
HEAD = """\
# Interoperability

`make interop` runs Microsoft's own client libraries, unmodified, against the emulator over https, and the gateway beside them. The
emulator records their token requests, which are compared here field by field; tokens of managed identities are asked for at a stand-in of
Azure's two endpoints, which records, too. This page is made by that suite
(`UPDATE_DOCS=1 make interop`), which fails when the page is not what it would make, or when a request differs in a field that
nobody has given a reason for. Values in ‹› are of the run.
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
    return "\n".join(text) + "\n"


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
    """The rows that no section before has shown."""
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
    same, differing = [], []
    for name in names:
        values = {}
        for client, sent in clients.items():
            values.setdefault(sent.get(name), []).append(client)
        if len(values) == 1:
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
        differing.append(f"| {name} | {cell(ours)} | {others} |")
    text = [f"## {grant[0].upper()}{grant[1:]}, {credential}\n"]
    if rows := [row for row in same if row not in shown]:
        besides = ", besides what is the same above" if shown else ""
        text += [f"The same in {', '.join(clients)}{besides}:\n", "| field | value |", "|---|---|", *rows, ""]
    if rows := [row for row in differing if row not in shown]:
        besides = ", besides what differs above" if shown else ""
        text += [f"What differs{besides}:\n", f"| field | {OURS} | others |", "|---|---|---|", *rows, ""]
    shown.update(same, differing)
    return text


def cell(value):
    return "–" if value is None else f"`{value}`".replace("|", "\\|")


def order(name):
    """The form first, which is what a grant is; then what proves the client; then HTTP's."""
    kinds = ["token requests", "request line", "query", "form", "assertion", "header"]
    return next(i for i, kind in enumerate(kinds) if name.startswith(kind)), name.lower(), name
