"""Why tower-obo's token requests differ from those of Microsoft's clients: one line for each field."""

_NAMES_ITSELF = "MSAL tells which library sent a request, field by field; tower-obo says it in `user-agent`."
_TELEMETRY = "MSAL reports its own cache hits and failures; tower-obo reports nothing to anybody."
_THROTTLED = "MSAL announces that it heeds `Retry-After` and 429. tower-obo heeds them too, and announces nothing."
_REQUEST_ID = (
    "The id that Entra ID's logs find a request by. MSAL for Node keeps CORS preflights away by sending it in the query and in "
    "the form; the header is the documented place."
)
_HTTP = "HTTP's own business, which Entra ID's answer doesn't depend on"

_ALGORITHM = (
    "Microsoft's documentation asks for PS256 and `x5t#S256`. azure-identity for Python gives MSAL a SHA-1 thumbprint, with which "
    "MSAL signs as it used to."
)

MEANINGS = {
    "token requests": "Microsoft's clients were called with the claims of a challenge; the gateway meets the challenge, and so has "
    "asked for a first token before.",
    "query `client-request-id`": _REQUEST_ID,
    "form `client-request-id`": _REQUEST_ID,
    "header `client-request-id`": _REQUEST_ID,
    "header `return-client-request-id`": "Has the id repeated in the answer (MSAL.NET asks for that, too), so that a proxy's mix-up "
    "can be seen in logs.",
    "header `x-ms-client-request-id`": "azure-core's id of the call, beside MSAL's. One id is enough.",
    "form `client_info`": "Brings an account id for MSAL's cache, which is by account. tower-obo caches by the caller's whole token.",
    "form `scope`": "`offline_access` would bring a refresh token that could leak, `openid` and `profile` an ID token that nobody "
    "reads: tower-obo asks for the resource only. Order is of no importance.",
    "form `claims`": "The gateway and the library declare the capability `cp1` where they are told to (`answer_claims_challenges`), as "
    "these were, and as Microsoft's clients were; azure-identity for Python writes it in capitals. MSAL for Node adds members about the "
    "ID token, which nobody reads here. What the challenge asked for is the same.",
    "form `x-client-SKU`": _NAMES_ITSELF,
    "form `x-client-VER`": _NAMES_ITSELF,
    "form `x-client-OS`": _NAMES_ITSELF,
    "form `x-client-CPU`": _NAMES_ITSELF,
    "header `x-client-sku`": _NAMES_ITSELF,
    "header `x-client-ver`": _NAMES_ITSELF,
    "header `x-client-os`": _NAMES_ITSELF,
    "form `x-client-current-telemetry`": _TELEMETRY,
    "form `x-client-last-telemetry`": _TELEMETRY,
    "header `x-client-current-telemetry`": _TELEMETRY,
    "header `x-client-last-telemetry`": _TELEMETRY,
    "form `x-ms-lib-capability`": _THROTTLED,
    "header `x-ms-lib-capability`": _THROTTLED,
    "header `accept`": f"{_HTTP}: it is JSON whatever is asked for.",
    "header `accept-encoding`": f"{_HTTP}: a few kilobytes are not worth a decompressor, which is a way to be attacked.",
    "header `accept-language`": f"{_HTTP}: Node's `fetch` sends it.",
    "header `sec-fetch-mode`": f"{_HTTP}: Node's `fetch` sends it.",
    "header `connection`": f"{_HTTP}: HTTP/1.1 keeps connections open without being asked.",
    "header `metadata`": "Wanted by the Instance Metadata Service of virtual machines. App Service documents `X-IDENTITY-HEADER` alone; MSAL "
    "for Python sends both.",
    "header `content-type`": "A form is ASCII once encoded, and its media type has no parameter `charset` (URL Standard).",
    "assertion header `alg`": _ALGORITHM,
    "assertion header `x5t`": _ALGORITHM,
    "assertion header `x5t#S256`": "Base64url has no padding in a JWT (RFC 7515 §2); Entra ID doesn't mind.",
    "assertion header `x5c`": "Needed where Entra ID trusts an issuer of certificates rather than one certificate: tower-obo sends the "
    "chain when it is told to. MSAL for Python does whenever it has the certificate.",
    "assertion claim `exp`": "Microsoft's documentation says five to ten minutes from `nbf`.",
    "assertion claim `nbf`": "Documented, and so it is there.",
    "assertion claim `iat`": "Optional; `nbf` says the same.",
}
