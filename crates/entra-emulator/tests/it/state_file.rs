//! What outlives a restart.

use std::path::PathBuf;

use entra_emulator::{Emulator, StartError, demo};

use crate::support::exchange;

/// A file of the test's own, removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let name = format!("entra-emulator-state-{name}-{}.json", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn start(file: &File, port: u16) -> Emulator {
    let address = ([127, 0, 0, 1], port).into();
    let emulator = Emulator::builder().listen(address).state_file(&file.0);
    emulator.start().await.unwrap()
}

#[tokio::test]
async fn a_restart_keeps_consents_keys_and_revocations() {
    let file = File::new("restart");
    let first = start(&file, 0).await;
    let port = first.address().port();
    let old = first.current_kid();
    let bob = first.user_token("bob");
    first.revoke_sessions("bob");
    let kid = first.rotate_keys();
    let withdrawn = first.add_key(None).unwrap();
    first.withdraw_key(&withdrawn);
    let alice = first.user_token("alice");
    let published = first.jwks(None);
    first.shutdown().await;

    let second = start(&file, port).await;
    assert_eq!(second.current_kid(), kid);
    assert_eq!(second.jwks(None), published);
    assert!(published.to_string().contains(&old) && !published.to_string().contains(&withdrawn));
    // A token from before, by the consent from before.
    let answer = exchange(&second, &alice, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    exchange(&second, &bob, &[])
        .await
        .assert_refused(400, "invalid_grant", 50173);
    // A consent that is taken back stays so; the administrator's is configuration.
    second.revoke_consent("alice");
    second.shutdown().await;
    let third = start(&file, port).await;
    exchange(&third, &alice, &[])
        .await
        .assert_refused(400, "invalid_grant", 65001);
    let consents = &third.directory().consents;
    assert!(consents.iter().any(|consent| consent.user.is_none()));
}

#[tokio::test]
async fn the_file_is_its_owners_and_who_is_gone_is_left_out() {
    let file = File::new("owner");
    let emulator = start(&file, 0).await;
    emulator.grant_consent("alice");
    emulator.grant_consent("bob");
    emulator.shutdown().await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&file.0).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let mut directory = entra_emulator::Directory::demo();
    directory.users.retain(|user| user.oid != demo::BOB_OID);
    let emulator = Emulator::builder().directory(directory).state_file(&file.0);
    let emulator = emulator.start().await.unwrap();
    let directory = emulator.directory();
    let of = |oid: &str| {
        let consents = directory.consents.iter();
        consents
            .filter(|consent| consent.user.as_deref() == Some(oid))
            .count()
    };
    assert_eq!((of(demo::ALICE_OID), of(demo::BOB_OID)), (2, 0));
}

/// What is beside the file, by name.
fn beside(file: &File) -> Vec<String> {
    let name = file.0.file_name().unwrap().to_str().unwrap();
    let all = std::fs::read_dir(file.0.parent().unwrap()).unwrap();
    let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let begins = |other: &String| other.starts_with(name) && other != name;
    names.filter(begins).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_leave_a_whole_file_with_the_newest_in_it() {
    let file = File::new("writers");
    let (one, other) = (start(&file, 0).await, start(&file, 0).await);
    let writing = std::sync::atomic::AtomicUsize::new(3);
    let done = || writing.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..10).for_each(|_| drop(one.rotate_keys()));
            done()
        });
        scope.spawn(|| {
            for _ in 0..200 {
                one.revoke_consent("alice");
                one.grant_consent("alice");
            }
            done()
        });
        scope.spawn(|| {
            (0..400).for_each(|_| other.grant_consent("bob"));
            done()
        });
        while writing.load(std::sync::atomic::Ordering::SeqCst) > 0 {
            let content = std::fs::read(&file.0).unwrap();
            serde_json::from_slice::<serde_json::Value>(&content).expect("whole at any time");
        }
    });
    one.grant_consent("alice");
    let kid = one.current_kid();
    one.shutdown().await;
    other.shutdown().await;
    assert_eq!(
        beside(&file),
        Vec::<String>::new(),
        "nothing is left beside it"
    );
    let next = start(&file, 0).await;
    assert_eq!(next.current_kid(), kid);
    let directory = next.directory();
    let mut consents = directory.consents.iter();
    assert!(consents.any(|consent| consent.user.as_deref() == Some(demo::ALICE_OID)));
}

#[cfg(unix)]
#[tokio::test]
async fn who_plants_a_file_beside_it_gets_no_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = File::new("planted");
    let planted = File(file.0.with_extension("json.new"));
    std::fs::write(&planted.0, "mine").unwrap();
    let emulator = start(&file, 0).await;
    emulator.grant_consent("alice");
    emulator.shutdown().await;
    assert_eq!(std::fs::read_to_string(&planted.0).unwrap(), "mine");
    let mode = std::fs::metadata(&file.0).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_no_state_and_where_none_can_be_written_is_said() {
    let file = File::new("nonsense");
    for (content, why) in [
        ("{}", "no state of entra-emulator"),
        ("hello", "no state"),
        (
            r#"{"version":2,"current":"","keys":[],"consents":[],"revocations":{}}"#,
            "version 2",
        ),
    ] {
        std::fs::write(&file.0, content).unwrap();
        let refused = Emulator::builder()
            .state_file(&file.0)
            .start()
            .await
            .unwrap_err();
        assert!(matches!(refused, StartError::State { .. }));
        assert!(refused.to_string().contains(why), "{refused}");
        assert_eq!(
            std::fs::read_to_string(&file.0).unwrap(),
            content,
            "it is left as it is"
        );
    }
    let nowhere = file.0.join("below-a-file");
    let refused = Emulator::builder()
        .state_file(nowhere)
        .start()
        .await
        .unwrap_err();
    assert!(matches!(refused, StartError::State { .. }), "{refused}");
}
