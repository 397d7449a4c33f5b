use std::fs;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use entra_emulator::Signer;
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::{
    super::tests::{Folder, audience},
    *,
};

#[cfg(feature = "pfx")]
mod pfx_files;

fn pem(signer: &Signer) -> String {
    signer.private_key_pem() + &signer.certificate_pem()
}

fn part(signed: &Signed, at: usize) -> Value {
    let part = signed.assertion.expose().split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn x5t(signed: &Signed) -> Value {
    part(signed, 0)["x5t#S256"].take()
}

fn thumbprint(signer: &Signer) -> Value {
    signer.certificate().thumbprint_sha256().into()
}

fn at_work(settings: impl Into<ClientCertificate>) -> Arc<Certificate> {
    Arc::new(Certificate::new(settings.into()))
}

/// The problem that keeps this file from being used.
async fn problem(bytes: &[u8]) -> String {
    let folder = Folder::new();
    let certificate = at_work(folder.put("c", bytes));
    match certificate.assertion(&audience()).await {
        Err(CredentialError::Unusable(problem)) => {
            let path = certificate.path().display().to_string() + " ";
            problem.strip_prefix(&path).unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_assertion_says_who_signs_and_for_whom_and_no_more() {
    let signer = Signer::generate().unwrap();
    let folder = Folder::new();
    let path = folder.put("c.pem", pem(&signer));
    let audience = audience();
    let assertion = at_work(path.clone()).assertion(&audience).await.unwrap();
    assert_eq!(
        part(&assertion, 0),
        json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint(&signer)})
    );
    let mut claims = part(&assertion, 1);
    let jti = claims["jti"].take();
    assert!(jti.as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    let now = audience.now.as_unix();
    let expected = json!({
        "aud": "https://login.example/tenant/oauth2/v2.0/token",
        "iss": "11111111-0000-4000-8000-000000000001",
        "sub": "11111111-0000-4000-8000-000000000001",
        "jti": null,
        "nbf": now,
        "exp": now + 600,
    });
    assert_eq!(claims, expected);

    let with_chain = ClientCertificate::file(path).send_chain();
    let assertion = at_work(with_chain).assertion(&audience).await.unwrap();
    let body = signer.certificate_pem().replace('\n', "");
    let der = body.split("-----").nth(2).unwrap();
    assert_eq!(part(&assertion, 0)["x5c"], json!([der]));
}

/// OpenID Connect Core §9, which providers other than Entra ID go by.
#[tokio::test]
async fn where_an_assertion_is_for_one_use_each_is_a_new_one_and_ends_soon() {
    let folder = Folder::new();
    let path = folder.put("c.pem", pem(&Signer::generate().unwrap()));
    let certificate = at_work(path);
    let audience = Audience {
        single_use: true,
        ..audience()
    };
    let first = certificate.assertion(&audience).await.unwrap();
    let second = certificate.assertion(&audience).await.unwrap();
    assert_ne!(part(&first, 1)["jti"], part(&second, 1)["jti"]);
    assert_eq!(certificate.assertions.len(), 0);
    let now = audience.now.as_unix();
    let claims = part(&second, 1);
    let times = ["nbf", "iat", "exp"].map(|name| claims[name].as_u64().unwrap());
    assert_eq!(times, [now, now, now + 60]);
}

#[tokio::test]
async fn an_assertion_serves_one_token_endpoint_until_shortly_before_its_end() {
    let folder = Folder::new();
    let path = folder.put("c.pem", pem(&Signer::generate().unwrap()));
    let certificate = at_work(path);
    let sign = async |audience: &Audience| certificate.assertion(audience).await.unwrap();
    let text = |signed: Arc<Signed>| signed.assertion.expose().to_owned();
    let mut audience = audience();
    let refused = sign(&audience).await;
    let sign = async |audience: &Audience| text(sign(audience).await);
    let first = text(Arc::clone(&refused));
    assert_eq!(sign(&audience).await, first);

    let elsewhere = Audience {
        token_endpoint: "https://login.example/other/oauth2/v2.0/token".into(),
        ..audience.clone()
    };
    assert_ne!(sign(&elsewhere).await, first);
    let another = Audience {
        client_id: "11111111-0000-4000-8000-000000000002".into(),
        ..audience.clone()
    };
    assert_ne!(sign(&another).await, first);
    assert_eq!(sign(&audience).await, first);

    audience.now = audience.now + Duration::from_secs(479);
    assert_eq!(sign(&audience).await, first);
    audience.now = audience.now + Duration::from_secs(1);
    let next = sign(&audience).await;
    assert_ne!(next, first);

    certificate.refused(&audience, &refused);
    assert_eq!(sign(&audience).await, next, "another one was refused");
    let refused = certificate.assertion(&audience).await.unwrap();
    certificate.refused(&audience, &refused);
    assert_ne!(sign(&audience).await, next, "it was refused");
}

/// Two who need an assertion at the same time sign one each, and one of the two is kept. The other's refusal tells as much
/// of the certificate.
#[tokio::test]
async fn cf_06_an_assertion_that_was_not_kept_and_is_refused_has_the_certificate_read_again() {
    let folder = Folder::new();
    let [old, new] = [(); 2].map(|()| Signer::generate().unwrap());
    let path = folder.put("c.pem", pem(&old));
    let certificate = at_work(path);
    let now = audience();
    let kept = certificate.assertion(&now).await.unwrap();
    let refused = certificate
        .sign(key(&now), Arc::clone(&kept.by), &now)
        .unwrap();
    certificate.assertions.insert(key(&now), kept);
    folder.put("c.pem", pem(&new));
    let looking = certificate.file.hold();
    certificate.refused(&now, &refused);
    let mut next = Box::pin(certificate.assertion(&now));
    assert!(
        (&mut next).now_or_never().is_none(),
        "the old certificate is used on"
    );
    drop(looking);
    assert_eq!(x5t(&next.await.unwrap()), thumbprint(&new));
}

#[tokio::test]
async fn cf_06_a_new_certificate_is_used_at_once_and_a_bad_one_not_at_all() {
    let folder = Folder::new();
    let [old, new] = [(); 2].map(|()| Signer::generate().unwrap());
    let path = folder.put("c.pem", pem(&old));
    let certificate = at_work(path.clone());
    let now = audience();
    let used = async || x5t(&certificate.assertion(&now).await.unwrap());
    assert_eq!(used().await, thumbprint(&old));

    for bad in [
        String::new(),
        "no certificate".to_owned(),
        old.private_key_pem() + &new.certificate_pem(),
        new.certificate_pem(),
    ] {
        folder.put("c.pem", bad);
        assert_eq!(used().await, thumbprint(&old));
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(used().await, thumbprint(&old));
    let refused = certificate.assertion(&now).await.unwrap();
    certificate.refused(&now, &refused);
    assert_eq!(used().await, thumbprint(&old));

    folder.put("c.pem", pem(&new));
    assert_eq!(used().await, thumbprint(&new));
}

#[tokio::test]
async fn key_and_certificates_may_come_in_any_order_and_either_form() {
    let [signer, other] = [(); 2].map(|()| Signer::generate().unwrap());
    let key = signer.private_key_pem();
    // The key of PKCS#1 is the last member of that of PKCS#8.
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let pkcs8 = base64::engine::general_purpose::STANDARD
        .decode(body)
        .unwrap();
    let pkcs1 = format!(
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(&pkcs8[26..])
    );
    let (own, chain) = (signer.certificate_pem(), other.certificate_pem());
    for text in [
        format!("{key}{own}"),
        format!("{own}{key}"),
        format!("Bag Attributes\n{chain}{own}\n\r\n{key}"),
        format!("{own}{chain}{pkcs1}"),
    ] {
        let folder = Folder::new();
        let settings = ClientCertificate::file(folder.put("c.pem", &text)).send_chain();
        let assertion = at_work(settings).assertion(&audience()).await.unwrap();
        assert_eq!(x5t(&assertion), thumbprint(&signer), "{text}");
        let chain = text.matches("BEGIN CERTIFICATE").count();
        assert_eq!(part(&assertion, 0)["x5c"].as_array().unwrap().len(), chain);
    }
}

#[cfg(feature = "pfx")]
const ENCRYPTED: &str = "has an encrypted private key, and its password is not given";
#[cfg(not(feature = "pfx"))]
const ENCRYPTED: &str = "has an encrypted private key, which needs the feature `pfx` of tower-obo";

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    let [signer, other] = [(); 2].map(|()| Signer::generate().unwrap());
    let (key, own) = (signer.private_key_pem(), signer.certificate_pem());
    let rng = aws_lc_rs::rand::SystemRandom::new();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).unwrap();
    let ec = base64::engine::general_purpose::STANDARD.encode(ec.as_ref());
    let ec = format!("-----BEGIN PRIVATE KEY-----\n{ec}\n-----END PRIVATE KEY-----\n");
    for (text, expected) in [
        (own.clone(), "holds no private key"),
        (key.clone(), "holds no certificate beside the private key"),
        (
            format!("{key}{}", other.certificate_pem()),
            "holds no certificate of its private key",
        ),
        (
            format!("{key}{key}{own}"),
            "holds more than one private key",
        ),
        (format!("{ec}{own}"), pem::NOT_RSA),
        (key.replace("PRIVATE", "EC PRIVATE") + &own, pem::NOT_RSA),
        (
            key.replace("PRIVATE", "ENCRYPTED PRIVATE") + &own,
            ENCRYPTED,
        ),
        (
            key.replace("PRIVATE", "ENCRYPTED PRIVATE")
                .replace('+', "!")
                + &own,
            "is damaged PEM",
        ),
        (
            format!("{own}-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII="),
            "is damaged PEM",
        ),
        (
            own.clone()
                + "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                   DEK-Info: AES-256-CBC,00\n\nMII=\n-----END RSA PRIVATE KEY-----\n",
            "has a private key that is encrypted in OpenSSL's old form; write it as PKCS#8 \
             (`openssl pkcs8 -topk8`), or use a PFX file",
        ),
        (
            format!("{key}-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            "is damaged PEM",
        ),
    ] {
        assert_eq!(problem(text.as_bytes()).await, expected, "{text}");
    }
    let damaged = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let damaged = problem(format!("{key}{damaged}").as_bytes()).await;
    assert!(
        damaged.starts_with("holds a certificate that cannot be read: "),
        "{damaged}"
    );
    let garbage = problem(b"garbage").await;
    assert!(
        garbage.starts_with("is neither PEM nor a PFX file"),
        "{garbage}"
    );
}

#[tokio::test]
async fn an_expired_certificate_is_of_no_use() {
    let folder = Folder::new();
    let path = folder.put("c.pem", pem(&Signer::generate().unwrap()));
    let mut audience = audience();
    audience.now = audience.now + Duration::from_secs(6 * 366 * 24 * 3600);
    let problem = at_work(path).assertion(&audience).await.unwrap_err();
    let CredentialError::Unusable(problem) = problem else {
        panic!("{problem:?}");
    };
    assert!(
        problem.ends_with("has a certificate that has expired"),
        "{problem}"
    );
}

/// A certificate of this key, from and until these seconds.
fn certificate_pem(signer: &Signer, from: u64, until: u64) -> String {
    let key = rcgen::KeyPair::from_pem(&signer.private_key_pem()).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from);
    params.not_after = epoch + Duration::from_secs(until);
    params.self_signed(&key).unwrap().pem() + &signer.private_key_pem()
}

#[tokio::test]
async fn when_it_ends_is_that_of_the_certificate_in_use() {
    let signer = Signer::generate().unwrap();
    let now = audience().now.as_unix();
    let folder = Folder::new();
    let ends = |days: u64| certificate_pem(&signer, now - 9, now + days * 86_400);
    let path = folder.put("c.pem", ends(10));
    let credential = crate::Credential::certificate(path.clone());
    assert_eq!(credential.certificate_expires(), None, "nobody has read it");
    let expires = || {
        let _ = credential.check();
        credential.certificate_expires().map(Timestamp::as_unix)
    };
    assert_eq!(expires(), Some(now + 10 * 86_400));
    folder.put("c.pem", ends(20));
    assert_eq!(expires(), Some(now + 20 * 86_400));
    folder.put("c.pem", "nothing of the kind");
    assert_eq!(
        expires(),
        Some(now + 20 * 86_400),
        "it goes on with the last good one"
    );
    assert_eq!(
        crate::Credential::secret_file(path).certificate_expires(),
        None
    );
}

#[tokio::test]
async fn cf_06_a_certificate_that_is_not_valid_yet_waits_for_its_time() {
    let [old, new] = [(); 2].map(|()| Signer::generate().unwrap());
    let folder = Folder::new();
    let certificate = at_work(folder.put("c.pem", pem(&old)));
    let mut audience = audience();
    let used = async |audience: &Audience| x5t(&certificate.assertion(audience).await.unwrap());
    let first = used(&audience).await;
    assert_eq!(first, thumbprint(&old));
    let from = audience.now.as_unix() + 90;
    let path = folder.put("c.pem", certificate_pem(&new, from, from + 600));
    assert_eq!(used(&audience).await, first);
    let alone = at_work(path).assertion(&audience).await;
    let Err(CredentialError::Unavailable(text)) = alone else {
        panic!("its time will come");
    };
    assert!(text.ends_with("not valid yet, for 30 s"), "{text}");

    // Clocks differ by a minute at most.
    audience.now = audience.now + Duration::from_secs(29);
    assert_eq!(used(&audience).await, first);
    audience.now = audience.now + Duration::from_secs(1);
    assert_ne!(used(&audience).await, first);
}

#[tokio::test]
async fn cf_06_the_last_good_certificate_serves_while_it_is_valid() {
    let signer = Signer::generate().unwrap();
    let folder = Folder::new();
    let mut audience = audience();
    let now = audience.now.as_unix();
    let certificate = at_work(folder.put("c.pem", certificate_pem(&signer, now, now + 600)));
    certificate.assertion(&audience).await.unwrap();
    folder.put("c.pem", "");
    audience.now = audience.now + Duration::from_secs(599);
    certificate.assertion(&audience).await.unwrap();
    audience.now = audience.now + Duration::from_secs(1);
    let lost = certificate.assertion(&audience).await;
    assert!(
        matches!(lost, Err(CredentialError::Unavailable(_))),
        "{lost:?}"
    );
    folder.put("c.pem", pem(&signer));
    certificate.assertion(&audience).await.unwrap();
}

#[tokio::test]
async fn the_chain_goes_from_the_certificate_to_its_authority_whatever_the_order_in_the_file() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let signer = Signer::generate().unwrap();
    let key = KeyPair::from_pem(&signer.private_key_pem()).unwrap();
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let authority = |name| {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let [root_key, middle_key] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let root = authority("root").self_signed(&root_key).unwrap().pem();
    let root_issuer = Issuer::new(authority("root"), root_key);
    let middle = authority("middle").signed_by(&middle_key, &root_issuer);
    let middle = middle.unwrap().pem();
    let issuer = Issuer::new(authority("middle"), middle_key);
    let own = params("api").signed_by(&key, &issuer).unwrap().pem();
    let der = |pem: &str| {
        pem.lines()
            .filter(|line| !line.starts_with('-'))
            .collect::<String>()
    };
    let expected = json!([der(&own), der(&middle), der(&root)]);
    for order in [
        [&own, &middle, &root],
        [&root, &middle, &own],
        [&middle, &own, &root],
        [&root, &own, &middle],
    ] {
        let text: String = order.into_iter().map(String::as_str).collect();
        let folder = Folder::new();
        let path = folder.put("c.pem", text + &signer.private_key_pem());
        let settings = ClientCertificate::file(path).send_chain();
        let assertion = at_work(settings).assertion(&audience()).await.unwrap();
        assert_eq!(part(&assertion, 0)["x5c"], expected);
    }
}
