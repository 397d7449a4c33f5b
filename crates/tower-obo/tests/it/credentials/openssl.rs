//! Files as OpenSSL writes them: PFX, and PEM with a key that a password encrypts. Entra ID checks what their keys
//! have signed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use entra_emulator::Signer;
use http::StatusCode;
use tower_obo::{ClientCertificate, Credential};

use super::kit::{Load, Volume, assertions, register_api, world_with};

const PASSWORD: &str = "pass word/+:";

/// A directory with a key and its certificate in `key.pem` and `own.pem`, and what is made of them.
struct Folder(PathBuf);

impl Folder {
    fn with(signer: &Signer) -> Self {
        let path = std::env::temp_dir().join(format!("obo-openssl-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("key.pem"), signer.private_key_pem()).unwrap();
        fs::write(path.join("own.pem"), signer.certificate_pem()).unwrap();
        fs::write(path.join("password"), format!("{PASSWORD}\n")).unwrap();
        Self(path)
    }

    /// The file that `openssl` makes with these arguments, and a password.
    fn made(&self, arguments: &str, password: &str) -> PathBuf {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let made = Command::new("openssl")
            .args(&arguments)
            .args(["-passout", &format!("pass:{password}"), "-out", "made"])
            .current_dir(&self.0)
            .output()
            .unwrap_or_else(|error| panic!("openssl (scripts/install-test-tools): {error}"));
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{arguments:?}: {said}");
        self.0.join("made")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A token is got with it, and the assertion that got it was signed by the key of that file.
async fn works(signer: &Signer, certificate: ClientCertificate, case: &str) {
    let world = world_with(Credential::certificate(certificate), |api| {
        api.certificates.push(signer.certificate().clone());
    })
    .await;
    world.accepted(case, &world.entra.user_token("alice")).await;
    assert_eq!(assertions(&world).len(), 1, "{case}");
    // Another certificate in its place, and the signature is nobody's.
    register_api(&world.entra, |api| {
        api.certificates = vec![Signer::generate().unwrap().certificate().clone()];
    });
    let answer = world.get(&world.entra.user_token("alice")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{case}");
}

fn refused(certificate: ClientCertificate) -> String {
    Credential::certificate(certificate).check().unwrap_err()
}

#[tokio::test]
async fn pfx_files_of_openssl_sign() {
    let signer = Signer::generate().unwrap();
    let folder = Folder::with(&signer);
    let export = "pkcs12 -export -inkey key.pem -in own.pem";
    for form in [
        // As OpenSSL 3 writes it unless told otherwise: PBES2 with AES-256, and SHA-256 for the MAC.
        "",
        // As Windows does.
        " -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1",
        // The certificate in the clear.
        " -certpbe NONE",
        // Without a MAC.
        " -nomac",
        // With a name, and with a chain.
        " -name api -certfile own.pem",
    ] {
        let file = folder.made(&format!("{export}{form}"), PASSWORD);
        let certificate = ClientCertificate::file(&file);
        works(&signer, certificate.clone().with_password(PASSWORD), form).await;
        let in_file = certificate
            .clone()
            .with_password_file(folder.0.join("password"));
        Credential::certificate(in_file).check().unwrap();
        refused(certificate.with_password("wrong"));
    }
    let file = folder.made(export, "");
    works(&signer, file.into(), "the empty password").await;
}

/// The file and the password of it change at once, and the old certificate is gone from the registration
/// while its assertions are still used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cf_06_pfx_files_rotate_with_their_passwords_while_requests_flow_and_none_fails() {
    const NAMES: [&str; 2] = ["api.pfx", "password"];
    let made = |signer: &Signer, password: &str| {
        let folder = Folder::with(signer);
        let file = folder.made("pkcs12 -export -inkey key.pem -in own.pem", password);
        fs::read(file).unwrap()
    };
    let signer = Signer::generate().unwrap();
    let pfx = made(&signer, PASSWORD);
    let volume = Volume::of(&[(NAMES[0], &pfx), (NAMES[1], PASSWORD.as_bytes())]);
    let certificate = ClientCertificate::file(volume.path());
    let certificate = certificate.with_password_file(volume.path_of(NAMES[1]));
    let world = world_with(Credential::certificate(certificate), |api| {
        api.certificates.push(signer.certificate().clone());
    })
    .await;
    let world = Arc::new(world);
    let load = Load::on(&world);
    for round in 0..3 {
        load.goes_on().await;
        let next = Signer::generate().unwrap();
        let password = format!("another {round}");
        let pfx = made(&next, &password);
        register_api(&world.entra, |api| {
            api.certificates.push(next.certificate().clone());
        });
        volume.put_all(&[(NAMES[0], &pfx), (NAMES[1], password.as_bytes())]);
        register_api(&world.entra, |api| {
            api.certificates = vec![next.certificate().clone()];
        });
    }
    load.goes_on().await;
    let requests = load.end().await;
    assert!(requests >= 4 * 6, "{requests}");
}

#[tokio::test]
async fn keys_in_pem_files_are_opened_with_their_password() {
    let signer = Signer::generate().unwrap();
    let folder = Folder::with(&signer);
    let convert = "pkcs8 -topk8 -in key.pem";
    for form in [
        "",
        " -v2 aes-128-cbc",
        " -v2 des3",
        " -v2 aes-256-cbc -v2prf hmacWithSHA1",
        " -v2 aes-256-cbc -v2prf hmacWithSHA512",
        " -scrypt -scrypt_N 1024",
    ] {
        let file = folder.made(&format!("{convert}{form}"), PASSWORD);
        add_certificate(&file, &signer);
        let certificate = ClientCertificate::file(&file);
        works(&signer, certificate.clone().with_password(PASSWORD), form).await;
        let in_file = certificate
            .clone()
            .with_password_file(folder.0.join("password"));
        Credential::certificate(in_file).check().unwrap();

        let path = |problem: &str| format!("{} {problem}", file.display());
        assert_eq!(
            refused(certificate.clone()),
            path("has an encrypted private key, and its password is not given")
        );
        assert_eq!(
            refused(certificate.with_password("wrong")),
            path("has an encrypted private key that does not open: the password is wrong")
        );
    }
    let said = |arguments: &str| {
        let file = folder.made(arguments, PASSWORD);
        add_certificate(&file, &signer);
        refused(ClientCertificate::file(&file).with_password(PASSWORD))
    };
    // PBES1, which comes of MD5 or SHA-1 and DES, and what was there before PKCS#8.
    let old = said(&format!("{convert} -v1 PBE-SHA1-3DES"));
    assert!(
        old.contains("encrypted private key that cannot be read"),
        "{old}"
    );
    let older = said("rsa -in key.pem -aes256 -traditional");
    assert!(older.contains("openssl pkcs8 -topk8"), "{older}");
}

fn add_certificate(file: &Path, signer: &Signer) {
    let pem = fs::read_to_string(file).unwrap() + &signer.certificate_pem();
    fs::write(file, pem).unwrap();
}
