//! What another provider than Entra ID says: the claims of its tokens, and the document that it publishes.
//! What is taken from them stands there, once, with the right type; and no address is asked in clear.
#![no_main]

mod strict;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use strict::Members;
use tower_obo::{
    Oidc,
    fuzzing::{oidc_claims, oidc_document},
};

const ISSUER: &str = "https://id.example/realms/shop";

static OIDC: LazyLock<Oidc> =
    LazyLock::new(|| Oidc::issuer(ISSUER).roles_claim("realm_access.roles"));

fuzz_target!(|data: &[u8]| {
    claims(data);
    document(data);
});

fn claims(data: &[u8]) {
    let Some(read) = oidc_claims(&OIDC, data) else {
        return;
    };
    let members = Members::read(data).expect("an object");
    assert!(members.are_few() && members.are_unique() && members.are_shallow());
    // Bound to a key of its sender, or an ID token.
    for name in ["cnf", "at_hash", "c_hash"] {
        assert!(members.get(name).is_none(), "{name}");
    }
    let text = |name: &str| members.text(name).flatten();
    assert_eq!(Some(&read.issuer), text("iss").as_ref());
    match &read.audience {
        Ok(audience) => assert_eq!(Some(audience), text("aud").as_ref()),
        Err(audiences) => assert_eq!(Some(audiences), members.texts("aud").flatten().as_ref()),
    }
    assert_eq!(read.expires.to_string(), members.get("exp").unwrap().get());
    match members.get("nbf") {
        Some(not_before) => assert_eq!(read.not_before.to_string(), not_before.get()),
        None => assert_eq!(read.not_before, 0),
    }
    assert_eq!(read.subject, text("sub"));
    let clients = ["azp", "client_id", "cid"].map(text);
    assert_eq!(read.client, clients.iter().flatten().next().cloned());
    // Who is no application is a subject that is none of the clients.
    if !read.is_app_only {
        let subject = read.subject.expect("a user is somebody");
        assert!(!clients.iter().flatten().any(|client| *client == subject));
    }
    let scopes = ["scope", "scp"].map(|name| match members.get(name)?.get().as_bytes()[0] {
        b'[' => Some(members.texts(name).flatten()?.join(" ")),
        _ => text(name),
    });
    assert_eq!(
        read.scope,
        scopes.into_iter().flatten().next().unwrap_or_default()
    );
    let access = members
        .get("realm_access")
        .map(|access| access.get().as_bytes());
    let access = access.and_then(Members::read);
    let roles = access.map(|access| {
        assert!(access.are_unique());
        access
            .texts("roles")
            .map_or_else(Vec::new, |roles| roles.expect("texts"))
    });
    assert_eq!(read.roles, roles.unwrap_or_default());
}

fn document(data: &[u8]) {
    let Some((keys, token_endpoint)) = oidc_document(&OIDC, data) else {
        return;
    };
    // What stands in members that nobody reads need be no text at all.
    if std::str::from_utf8(data).is_err() {
        return;
    }
    let document = Members::read(data).expect("an object");
    let text = |name: &str| document.text(name).flatten();
    assert_eq!(text("issuer").as_deref(), Some(ISSUER));
    for (name, url) in [("jwks_uri", keys), ("token_endpoint", token_endpoint)] {
        assert_eq!(text(name).as_ref(), Some(&url), "{name}");
        let scheme = url.get(..8).map(str::to_ascii_lowercase);
        assert_eq!(scheme.as_deref(), Some("https://"), "{url}");
        let authority = url[8..].split(['/', '?', '#']).next().unwrap_or_default();
        assert!(!authority.is_empty() && !authority.contains('@'), "{url}");
    }
}
