use std::{fs, path::PathBuf, sync::Arc};

use serde_json::json;

use super::{
    super::{
        CredentialError,
        tests::{Folder, audience},
        watched::Watched,
    },
    *,
};

type File = Arc<Watched<FederatedToken>>;

fn watched(path: PathBuf) -> File {
    Arc::new(Watched::new(path, FederatedToken))
}

async fn used(file: &File, now: Timestamp) -> String {
    file.current(now).await.unwrap().jwt.expose().to_owned()
}

fn jwt(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn until(expires: Timestamp, id: u32) -> String {
    jwt(&json!({"exp": expires.as_unix(), "aud": EXCHANGE, "jti": id}))
}

#[tokio::test]
async fn cf_06_a_new_token_is_used_at_once_and_a_bad_one_not_at_all() {
    let now = audience().now;
    let hour = now + Duration::from_secs(3600);
    let folder = Folder::new();
    let (old, new) = (until(hour, 1), until(hour, 2));
    let path = folder.put("token", old.clone() + "\n");
    let file = watched(path.clone());
    assert_eq!(used(&file, now).await, old);

    for bad in [
        String::new(),
        " \n".to_owned(),
        "no token".to_owned(),
        "a.b".to_owned(),
        // A header that is none.
        new.replacen("e30", "AAAA", 1),
        new.replacen("e30", "W10", 1),
        "e30.e30.c2ln".to_owned(),
        format!("{new}.more"),
        new.replace('.', " ."),
        jwt(&json!({"exp": "soon", "aud": EXCHANGE})),
        until(now, 3),
        jwt(&json!({"exp": hour.as_unix()})),
        jwt(&json!({"exp": hour.as_unix(), "aud": []})),
        jwt(&json!({"exp": hour.as_unix(), "aud": EXCHANGE, "nbf": "now"})),
    ] {
        folder.put("token", &bad);
        assert_eq!(used(&file, now).await, old, "{bad}");
        let first = watched(path.clone()).current(now).await;
        assert!(matches!(first, Err(CredentialError::Unusable(_))), "{bad}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(used(&file, now).await, old);
    folder.put("token", &new);
    assert_eq!(used(&file, now).await, new);
}

#[tokio::test]
async fn cf_06_the_last_good_token_serves_while_it_is_valid() {
    let now = audience().now;
    let end = now + Duration::from_secs(600);
    let folder = Folder::new();
    let old = until(end, 1);
    let file = watched(folder.put("token", &old));
    assert_eq!(used(&file, now).await, old);
    folder.put("token", "");
    let last = end.saturating_sub(Duration::from_secs(1));
    assert_eq!(used(&file, last).await, old);
    let lost = file.current(end).await;
    assert!(matches!(lost, Err(CredentialError::Unavailable(_))));
    // Nothing new at all is no better.
    folder.put("token", &old);
    let lost = file.current(end).await;
    assert!(matches!(lost, Err(CredentialError::Unavailable(_))));
    let new = until(end + Duration::from_secs(1), 2);
    folder.put("token", &new);
    assert_eq!(used(&file, end).await, new);
}

/// Two tokens of one length, in a file whose time does not tell them apart.
#[tokio::test]
async fn close_to_its_end_and_after_a_refusal_a_token_is_read_though_it_looks_unchanged() {
    let now = audience().now;
    let end = now + Duration::from_secs(3600);
    let folder = Folder::new();
    let (old, new) = (until(end, 1), until(end, 2));
    let path = folder.put("token", &old);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let rewrite = |text: &str| {
        fs::write(&path, text).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
    };
    let near = end.saturating_sub(NEAR);
    let far = now + Duration::from_secs(59);

    let file = watched(path.clone());
    assert_eq!(used(&file, now).await, old);
    rewrite(&new);
    assert_eq!(used(&file, far).await, old);
    assert_eq!(used(&file, near).await, new);

    rewrite(&old);
    let file = watched(path.clone());
    assert_eq!(used(&file, now).await, old);
    rewrite(&new);
    file.refused(|token| token.jwt.expose() == new);
    assert_eq!(
        used(&file, now).await,
        old,
        "it is another one that was refused"
    );
    file.refused(|token| token.jwt.expose() == old);
    assert_eq!(used(&file, now).await, new);
}

#[tokio::test]
async fn cf_06_a_token_that_is_not_valid_yet_waits_for_its_time() {
    let now = audience().now;
    let seconds = Duration::from_secs;
    let end = (now + seconds(3600)).as_unix();
    let from = |nbf: Timestamp| jwt(&json!({"exp": end, "aud": EXCHANGE, "nbf": nbf.as_unix()}));
    let folder = Folder::new();
    let old = from(now);
    let file = watched(folder.put("token", &old));
    assert_eq!(used(&file, now).await, old);

    let slightly = from(now + seconds(60));
    folder.put("token", &slightly);
    assert_eq!(used(&file, now).await, slightly, "clocks differ");
    let early = from(now + seconds(90));
    let path = folder.put("token", &early);
    assert_eq!(used(&file, now + seconds(29)).await, slightly);
    assert_eq!(used(&file, now + seconds(30)).await, early);

    let alone = watched(path).current(now).await;
    let Err(CredentialError::Unavailable(text)) = alone else {
        panic!("its time will come");
    };
    assert!(text.ends_with("not valid yet, for 30 s"), "{text}");
}

#[tokio::test]
async fn a_token_for_somebody_else_does_not_take_the_place_of_one_for_the_exchange() {
    let now = audience().now;
    let end = now + Duration::from_secs(3600);
    let for_whom = |aud: Value| jwt(&json!({"exp": end.as_unix(), "aud": aud}));
    let cluster = for_whom("https://kubernetes.default.svc".into());
    let list = for_whom(json!(["api://AzureADTokenExchangeChina", "more"]));
    let folder = Folder::new();
    let file = watched(folder.put("token", &cluster));
    assert_eq!(
        used(&file, now).await,
        cluster,
        "an audience of the registration's own"
    );
    for good in [until(end, 1), list] {
        folder.put("token", &good);
        assert_eq!(used(&file, now).await, good);
        folder.put("token", &cluster);
        assert_eq!(used(&file, now).await, good);
    }
}

#[tokio::test]
async fn cf_06_what_a_clock_that_was_ahead_has_judged_is_judged_again_once_it_is_right() {
    let now = audience().now;
    let ahead = now + Duration::from_secs(24 * 3600);
    let folder = Folder::new();
    let good = until(now + Duration::from_secs(3600), 1);
    let file = watched(folder.put("token", &good));
    let expired = file.current(ahead).await;
    assert!(matches!(expired, Err(CredentialError::Unusable(_))));
    assert_eq!(used(&file, now).await, good);

    // What was read by such a clock looks unchanged, and is read all the same.
    let [old, new] = [1, 2].map(|id| until(ahead + Duration::from_secs(3600), id));
    let path = folder.put("other", &old);
    let file = watched(path.clone());
    assert_eq!(used(&file, ahead).await, old);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, &new).unwrap();
    let written = fs::File::options().write(true).open(&path).unwrap();
    written.set_modified(modified).unwrap();
    assert_eq!(used(&file, now).await, new);
}
