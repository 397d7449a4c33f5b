//! Where requests go.

use super::*;
use crate::config::{ClientCertificate, Protocol, UpstreamTls};

#[test]
fn a_named_upstream_has_addresses_and_what_tls_needs() {
    let config = with_file(
        "[upstreams.api]\nurl = 'https://api.internal'\naddresses = ['10.0.0.1:8443', '[::1]:8443']\nca_file = '/ca.pem'\nclient_certificate = '/c.pem'\nclient_key = '/k.pem'\n[[route]]\npath = '/*'\nupstream = 'api'",
    )
    .unwrap();
    let upstream = &config.upstreams["api"];
    assert_eq!(upstream.protocol, Protocol::Tls);
    assert_eq!(upstream.authority, "api.internal");
    assert_eq!(upstream.host, "api.internal");
    let addresses: Vec<String> = upstream.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.1:8443", "[::1]:8443"]);
    let client = ClientCertificate::new("/c.pem", "/k.pem");
    assert_eq!(upstream.tls.ca_file.as_deref(), Some("/ca.pem".as_ref()));
    assert_eq!(upstream.tls.client, Some(client));
    let plain = with_file("[upstreams.b]\nurl = 'h2c://127.0.0.1:1'").unwrap();
    assert_eq!(plain.upstreams["b"].protocol, Protocol::Http2);
    assert_eq!(plain.upstreams["b"].tls, UpstreamTls::default());
}

#[test]
fn what_is_wrong_with_an_upstream_is_said_where_it_stands() {
    for (text, wanted) in [
        (
            "[upstreams.b]\nca_file = 'x'",
            "gw.toml:1: upstreams.b: its `url` is missing",
        ),
        (
            "[upstreams.b]\nurl = 'http://127.0.0.1:1'\nca_file = 'x'",
            "gw.toml:3: upstreams.b.ca_file: only an https upstream",
        ),
        (
            "[upstreams.b]\nurl = 'https://x'\nclient_key = 'k'",
            "gw.toml:1: upstreams.b: a certificate and its key belong together: its `client_certificate` is missing",
        ),
        (
            "[upstreams.b]\nurl = 'https://x'\nclient_certificate = 'c'",
            "gw.toml:1: upstreams.b: a certificate and its key belong together: its `client_key` is missing",
        ),
        (
            "[upstreams.b]\nurl = 'https://x'\naddresses = []",
            "gw.toml:3: upstreams.b.addresses: an empty list leads nowhere",
        ),
        (
            "[upstreams.b]\nurl = 'https://x'\naddresses = ['10.0.0.1']",
            "gw.toml:3: upstreams.b.addresses: \"10.0.0.1\" is no host with a port",
        ),
        (
            "[upstreams.b]\nurl = 'https://x'\naddresses = ['a:1', 'a:1']",
            "gw.toml:3: upstreams.b.addresses: a:1 stands there twice",
        ),
        (
            "[upstreams.b]\nurl = 'unix:/x'\naddresses = ['127.0.0.1:1']",
            "gw.toml:3: upstreams.b.addresses: a unix socket has no other addresses",
        ),
        (
            "[upstreams.b]\nurl = 'https://x'\naddresses = 'a:1'",
            "gw.toml:3: upstreams.b.addresses: a list of strings is wanted",
        ),
        (
            "[upstreams.b]\nurl = 'https://x'\nca_fil = 'x'",
            "gw.toml:3: upstreams.b.ca_fil: unknown key; `ca_file` is meant?",
        ),
        (
            "[upstreams.default]\nurl = 'https://x'",
            "gw.toml:1: upstreams.default: this is what `upstream` gives",
        ),
    ] {
        assert_only(text, wanted);
    }
}

#[test]
fn tl_02_every_address_of_a_plaintext_upstream_is_on_this_host_or_allowed() {
    let text = "[upstreams.b]\nurl = 'http://api'\naddresses = ['127.0.0.1:1', '10.0.0.1:1']";
    assert_only(text, "gw.toml:3: upstreams.b.addresses: 10.0.0.1:1: ");
    let allowed = format!("allow_plaintext_upstream = true\n{text}");
    assert!(with_file(&allowed).is_ok());
    assert!(with_file("[upstreams.b]\nurl = 'http://api'\naddresses = ['[::1]:1']").is_ok());
    assert!(with_file("[upstreams.b]\nurl = 'https://api'\naddresses = ['10.0.0.1:1']").is_ok());
}

#[test]
fn the_default_upstream_may_be_a_table_too() {
    let text = "[accept]\nscopes = ['s']\n[upstreams.default]\nurl = 'h2c://127.0.0.1:1'";
    let load = |text: &str| {
        Sources::new()
            .file("gw.toml", text)
            .environment(|name| environment(name).filter(|_| name != "OBO_UPSTREAM"))
            .load()
    };
    let config = load(text).unwrap();
    assert_eq!(
        config.upstreams[DEFAULT_UPSTREAM].to_string(),
        "h2c://127.0.0.1:1"
    );
    let problems = lines(load("[accept]\nscopes = ['s']"));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains("upstream: missing"), "{problems:#?}");
}

#[test]
fn a_default_upstream_is_wanted_only_by_routes_that_name_none() {
    let load = |text: &str| {
        Sources::new()
            .file("gw.toml", text)
            .environment(|name| environment(name).filter(|_| name != "OBO_UPSTREAM"))
            .load()
    };
    let named = "[accept]\nscopes = ['s']\n[upstreams.api]\nurl = 'https://x'\n\
         [[route]]\npath = '/a/*'\nupstream = 'api'\n";
    let config = load(named).unwrap();
    assert_eq!(config.upstreams.len(), 1);
    let problems = lines(load(&format!("{named}[[route]]\npath = '/b/*'\n")));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains("upstream: missing"), "{problems:#?}");
}
