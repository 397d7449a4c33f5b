//! Files of PKCS#12.

use p12_keystore::{EncryptionAlgorithm, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};

use super::*;

fn pfx(signer: &Signer, algorithm: EncryptionAlgorithm, password: &str) -> Vec<u8> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(signer.private_key_pem().as_bytes()).unwrap();
    let own = CertificateDer::from_pem_slice(signer.certificate_pem().as_bytes()).unwrap();
    let key = PrivateKey::from_der(key.secret_pkcs8_der()).unwrap();
    let own = p12_keystore::Certificate::from_der(&own).unwrap();
    let mut store = KeyStore::new();
    let chain = PrivateKeyChain::new("1", key, [own]);
    store.add_entry("own", KeyStoreEntry::PrivateKeyChain(chain));
    store
        .writer(password)
        .encryption_algorithm(algorithm)
        .encryption_iterations(1000)
        .mac_iterations(1000)
        .write()
        .unwrap()
}

#[tokio::test]
async fn a_pfx_file_is_opened_with_its_password() {
    let signer = Signer::generate().unwrap();
    let folder = Folder::new();
    for algorithm in [
        EncryptionAlgorithm::PbeWithHmacSha256AndAes256,
        EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc,
    ] {
        let path = folder.put("c.pfx", pfx(&signer, algorithm, "pass word"));
        let password = folder.put("password", "pass word\n");
        for settings in [
            ClientCertificate::file(&path).with_password("pass word"),
            ClientCertificate::file(&path).with_password_file(&password),
        ] {
            let assertion = at_work(settings).assertion(&audience()).await.unwrap();
            assert_eq!(x5t(&assertion), thumbprint(&signer));
        }
        for settings in [
            ClientCertificate::file(&path).with_password("wrong"),
            ClientCertificate::file(&path),
        ] {
            let wrong = at_work(settings).assertion(&audience()).await;
            let text = "cannot be opened: the password is wrong";
            let expected = format!("{} {text}", path.display());
            assert_eq!(wrong.unwrap_err(), CredentialError::Unusable(expected));
        }
        let settings = ClientCertificate::file(&path).with_password_file(folder.path("nowhere"));
        let missing = at_work(settings).assertion(&audience()).await;
        let CredentialError::Unusable(missing) = missing.unwrap_err() else {
            panic!("it should be mended");
        };
        assert!(missing.contains("its password: "), "{missing}");
    }
}

#[tokio::test]
async fn a_password_that_is_put_right_opens_the_file_that_was_there_before() {
    let signer = Signer::generate().unwrap();
    let folder = Folder::new();
    let algorithm = EncryptionAlgorithm::PbeWithHmacSha256AndAes256;
    let path = folder.put("c.pfx", pfx(&signer, algorithm, "right"));
    let password = folder.put("password", "wrong");
    let certificate = at_work(ClientCertificate::file(&path).with_password_file(&password));
    assert!(certificate.assertion(&audience()).await.is_err());
    folder.put("password", "right");
    let assertion = certificate.assertion(&audience()).await.unwrap();
    assert_eq!(x5t(&assertion), thumbprint(&signer));
}

#[tokio::test]
async fn a_pfx_file_without_a_password_needs_none() {
    let signer = Signer::generate().unwrap();
    let algorithm = EncryptionAlgorithm::PbeWithHmacSha256AndAes256;
    let folder = Folder::new();
    let path = folder.put("c.pfx", pfx(&signer, algorithm, ""));
    let assertion = at_work(path).assertion(&audience()).await.unwrap();
    assert_eq!(x5t(&assertion), thumbprint(&signer));
}
