use std::collections::VecDeque;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::{
    super::tests::{Lines, audience},
    *,
};

/// A stand-in that answers with these lines, the last of them for ever, and keeps what it was asked.
struct Platform {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    server: JoinHandle<()>,
}

impl Platform {
    async fn answering(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let queue: Arc<Mutex<VecDeque<(u16, String)>>> = Arc::default();
        let (seen, lines) = (Arc::clone(&asked), Arc::clone(&queue));
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                seen.lock().unwrap().push(String::from_utf8(bytes).unwrap());
                let (status, body) = next(&mut lines.lock().unwrap());
                let answer = format!(
                    "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let platform = Self {
            url,
            asked,
            answers: queue,
            server,
        };
        platform.will(answers);
        platform
    }

    fn will(&self, answers: &[(u16, &str)]) {
        let answers = answers
            .iter()
            .map(|(status, body)| (*status, (*body).to_owned()));
        *self.answers.lock().unwrap() = answers.collect();
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn imds(&self) -> ManagedIdentity {
        let mut settings = ManagedIdentity::from_lookup(|name| {
            (name == "AZURE_POD_IDENTITY_AUTHORITY_HOST").then(|| self.url.clone())
        });
        settings.pause = Duration::from_millis(1);
        settings
    }

    fn identity(&self) -> Arc<Identity> {
        at_work(self.imds())
    }
}

fn at_work(settings: ManagedIdentity) -> Arc<Identity> {
    Arc::new(Identity::new(settings))
}

fn next(answers: &mut VecDeque<(u16, String)>) -> (u16, String) {
    match answers.len() {
        1 => answers[0].clone(),
        _ => answers.pop_front().unwrap(),
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What IMDS answers: numbers are text there.
fn token(name: &str) -> String {
    format!(
        r#"{{"access_token":"{name}","expires_in":"86399","refresh_in":"43199","expires_on":"4102444800","resource":"api://AzureADTokenExchange","token_type":"Bearer"}}"#
    )
}

const CLIENT: &str = "22222222-0000-4000-8000-000000000002";

#[tokio::test]
async fn imds_is_asked_to_the_letter() {
    let platform = Platform::answering(&[(200, &token("t"))]).await;
    for (settings, query) in [
        (platform.imds(), ""),
        (
            platform.imds().client_id(CLIENT),
            "&client_id=22222222-0000-4000-8000-000000000002",
        ),
    ] {
        let token = at_work(settings).assertion(&audience()).await.unwrap();
        assert_eq!(token.expose(), "t");
        let asked = platform.asked().pop().unwrap();
        let (line, head) = asked.split_once("\r\n").unwrap();
        assert_eq!(
            line,
            format!(
                "GET /metadata/identity/oauth2/token?api-version=2018-02-01\
                 &resource=api%3A%2F%2FAzureADTokenExchange{query} HTTP/1.1"
            )
        );
        only_these(head, &platform, "metadata: true");
    }
}

/// These header fields, and what HTTP has of its own.
fn only_these(head: &str, platform: &Platform, own: &str) {
    let head: Vec<_> = head.trim_end().split("\r\n").collect();
    let host = format!("host: {}", platform.url.trim_start_matches("http://"));
    assert!(head.contains(&own) && head.contains(&&*host), "{head:?}");
    let more = ["accept: ", "user-agent: "];
    let more = head
        .iter()
        .filter(|line| more.iter().any(|name| line.starts_with(name)));
    assert_eq!(more.count() + 2, head.len(), "{head:?}");
}

#[tokio::test]
async fn app_service_is_asked_to_the_letter() {
    let answer = r#"{"access_token":"t","expires_on":"4102444800","resource":"r","token_type":"Bearer","client_id":"c"}"#;
    let platform = Platform::answering(&[(200, answer)]).await;
    let settings = ManagedIdentity::from_lookup(|name| match name {
        "IDENTITY_ENDPOINT" => Some(format!("{}/msi/token", platform.url)),
        "IDENTITY_HEADER" => Some("853b9a84".to_owned()),
        _ => None,
    });
    assert!(!format!("{settings:?} {settings}").contains("853b9a84"));
    let identity = at_work(settings.client_id(CLIENT));
    let mut audience = audience();
    assert_eq!(identity.assertion(&audience).await.unwrap().expose(), "t");
    let asked = platform.asked().pop().unwrap();
    let (line, head) = asked.split_once("\r\n").unwrap();
    assert_eq!(
        line,
        "GET /msi/token?api-version=2019-08-01&resource=api%3A%2F%2FAzureADTokenExchange\
         &client_id=22222222-0000-4000-8000-000000000002 HTTP/1.1"
    );
    only_these(head, &platform, "x-identity-header: 853b9a84");

    // The end that it names is kept to.
    audience.now = Timestamp::from_unix(4_102_444_800 - 61);
    identity.assertion(&audience).await.unwrap();
    let before = platform.asked().len();
    audience.now = Timestamp::from_unix(4_102_444_800 - 60);
    identity.assertion(&audience).await.unwrap();
    assert_eq!(platform.asked().len(), before + 1);
}

#[tokio::test]
async fn the_audience_is_that_of_the_cloud() {
    let platform = Platform::answering(&[(200, &token("t"))]).await;
    for (host, audience_of) in [
        ("login.microsoftonline.com", "AzureADTokenExchange"),
        ("login.microsoftonline.us", "AzureADTokenExchangeUSGov"),
        (
            "login.partner.microsoftonline.cn",
            "AzureADTokenExchangeChina",
        ),
    ] {
        let audience = Audience {
            token_endpoint: format!("https://{host}/tenant/oauth2/v2.0/token").into(),
            ..audience()
        };
        platform.identity().assertion(&audience).await.unwrap();
        let asked = platform.asked().pop().unwrap();
        let resource = format!("resource=api%3A%2F%2F{audience_of} HTTP");
        assert!(asked.contains(&resource), "{asked}");
    }
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_not() {
    for status in [404, 410, 429, 500, 503] {
        let platform =
            Platform::answering(&[(status, "{}"), (status, ""), (200, &token("t"))]).await;
        let token = platform.identity().assertion(&audience()).await.unwrap();
        assert_eq!(
            (token.expose(), platform.asked().len()),
            ("t", 3),
            "{status}"
        );

        platform.will(&[(status, "{}")]);
        let before = platform.asked().len();
        let failed = platform.identity().assertion(&audience()).await;
        assert!(
            matches!(failed, Err(CredentialError::Unavailable(_))),
            "{status}"
        );
        assert_eq!(platform.asked().len(), before + 4, "{status}");
    }
    let told = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
    for (status, body) in [
        (400, told),
        (403, ""),
        (302, ""),
        (200, "<html>"),
        (200, r#"{"access_token":"","expires_in":9}"#),
        (200, r#"{"access_token":"a\r\nb","expires_in":9}"#),
        (200, r#"{"access_token":"t"}"#),
    ] {
        let platform = Platform::answering(&[(status, body)]).await;
        let failed = platform.identity().assertion(&audience()).await;
        let Err(CredentialError::Unusable(text)) = failed else {
            panic!("{status} {body}: {failed:?}");
        };
        let code = ": invalid_request; is the identity assigned to this machine or app?";
        assert_eq!(body == told, text.ends_with(code), "{text}");
        assert!(!text.contains("Identity not found"), "{text}");
        assert_eq!(platform.asked().len(), 1, "{status} {body}");
    }
}

#[tokio::test]
async fn a_token_is_kept_and_renewed_before_its_end() {
    let platform = Platform::answering(&[(200, &token("first"))]).await;
    let identity = platform.identity();
    let mut audience = audience();
    let start = audience.now;
    let used = async |audience: &Audience| {
        let token = identity.assertion(audience).await.unwrap();
        (token.expose().to_owned(), platform.asked().len())
    };
    assert_eq!(used(&audience).await, ("first".to_owned(), 1));
    audience.now = start + Duration::from_secs(43_198);
    assert_eq!(used(&audience).await, ("first".to_owned(), 1));

    // The platform is away for a while: no caller notices, the log does, and it is not asked all the time.
    let lines = Lines::default();
    let said = tracing::subscriber::set_default(lines.clone());
    platform.will(&[(500, "")]);
    audience.now = start + Duration::from_secs(43_199);
    assert_eq!(used(&audience).await, ("first".to_owned(), 2));
    audience.now = audience.now + Duration::from_secs(29);
    assert_eq!(used(&audience).await, ("first".to_owned(), 2));
    audience.now = audience.now + Duration::from_secs(1);
    assert_eq!(used(&audience).await, ("first".to_owned(), 3));
    platform.will(&[(200, &token("second"))]);
    audience.now = audience.now + PAUSE;
    assert_eq!(used(&audience).await, ("second".to_owned(), 4));
    let warnings = lines.take();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for warning in warnings {
        let expected = "WARN message=the managed identity's token stays in use error=";
        assert!(warning.starts_with(expected), "{warning}");
        assert!(warning.contains("500"), "{warning}");
    }
    drop(said);

    platform.will(&[(200, &token("third"))]);
    identity.refused(&"first".into(), audience.now);
    assert_eq!(used(&audience).await, ("second".to_owned(), 4));
    identity.refused(&"second".into(), audience.now);
    assert_eq!(used(&audience).await, ("third".to_owned(), 5));

    platform.will(&[(400, "")]);
    audience.now = audience.now + Duration::from_secs(86_399);
    assert!(
        identity.assertion(&audience).await.is_err(),
        "it has expired"
    );
}

/// A platform that does not say when to renew it.
#[tokio::test]
async fn a_token_is_renewed_at_half_of_its_time_where_nothing_is_said() {
    let token = |name: &str| {
        format!(
            r#"{{"access_token":"{name}","expires_in":1000,"resource":"api://AzureADTokenExchange","token_type":"Bearer"}}"#
        )
    };
    let platform = Platform::answering(&[(200, &token("first"))]).await;
    let identity = platform.identity();
    let mut audience = audience();
    let start = audience.now;
    identity.assertion(&audience).await.unwrap();
    platform.will(&[(200, &token("second"))]);
    for (seconds, expected) in [(499, "first"), (500, "second")] {
        audience.now = start + Duration::from_secs(seconds);
        let used = identity.assertion(&audience).await.unwrap();
        assert_eq!(used.expose(), expected, "{seconds}");
    }
}

#[tokio::test]
async fn all_who_need_the_first_token_ask_once() {
    let platform = Platform::answering(&[(200, &token("t"))]).await;
    let (identity, audience) = (platform.identity(), audience());
    let ask = || identity.assertion(&audience);
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    for token in [a, b, c] {
        assert_eq!(token.unwrap().expose(), "t");
    }
    assert_eq!(platform.asked().len(), 1);
}

#[tokio::test]
async fn all_who_wait_share_a_failure_and_the_platform_is_left_alone_for_a_while() {
    for (status, attempts) in [(500, 4), (400, 1)] {
        let platform = Platform::answering(&[(status, "")]).await;
        let identity = platform.identity();
        let mut audience = audience();
        let ask = || identity.assertion(&audience);
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        for failed in [a, b, c] {
            assert!(failed.is_err(), "{status}");
        }
        assert_eq!(platform.asked().len(), attempts, "{status}");
        // The fetch itself may have taken a second of the clock.
        let mut expected = attempts;
        for pause in [4, 8, 16, 40, 40] {
            assert!(identity.assertion(&audience).await.is_err());
            assert_eq!(platform.asked().len(), expected, "{status}, before {pause}");
            audience.now = audience.now + Duration::from_secs(pause);
            assert!(identity.assertion(&audience).await.is_err());
            expected += attempts;
            assert_eq!(platform.asked().len(), expected, "{status}, {pause}");
        }
        platform.will(&[(200, &token("t"))]);
        audience.now = audience.now + PAUSE;
        assert_eq!(identity.assertion(&audience).await.unwrap().expose(), "t");
    }
}

#[tokio::test]
async fn a_refused_token_that_the_platform_gives_again_is_asked_for_once_more_and_then_left() {
    let platform = Platform::answering(&[(200, &token("old"))]).await;
    let identity = platform.identity();
    let mut audience = audience();
    let used = async |audience: &Audience| {
        let token = identity.assertion(audience).await.unwrap();
        (token.expose().to_owned(), platform.asked().len())
    };
    assert_eq!(used(&audience).await, ("old".to_owned(), 1));
    let refuse = |audience: &Audience| identity.refused(&"old".into(), audience.now);
    refuse(&audience);
    platform.will(&[(200, &token("old")), (200, &token("new"))]);
    assert_eq!(used(&audience).await, ("new".to_owned(), 3));
    for _ in 0..100 {
        refuse(&audience);
    }
    assert_eq!(
        used(&audience).await,
        ("new".to_owned(), 3),
        "it is another one"
    );

    platform.will(&[(200, &token("new"))]);
    for _ in 0..10 {
        identity.refused(&"new".into(), audience.now);
        assert_eq!(used(&audience).await, ("new".to_owned(), 5), "no storm");
    }
    audience.now = audience.now + PAUSE;
    identity.refused(&"new".into(), audience.now);
    platform.will(&[(200, &token("newer"))]);
    assert_eq!(used(&audience).await, ("newer".to_owned(), 6));
}

#[tokio::test]
async fn where_nobody_answers_it_is_unavailable() {
    let platform = Platform::answering(&[(200, "")]).await;
    let identity = platform.identity();
    platform.server.abort();
    while !platform.server.is_finished() {
        tokio::task::yield_now().await;
    }
    let failed = identity.assertion(&audience()).await;
    assert!(
        matches!(failed, Err(CredentialError::Unavailable(_))),
        "{failed:?}"
    );
}

#[test]
fn endpoints_of_another_kind_are_refused() {
    let with = |variables: &'static [(&str, &str)]| {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        ManagedIdentity::from_lookup(lookup)
    };
    const URL: &str = "http://127.0.0.1:1/token";
    for (variables, problem) in [
        (&[][..], ""),
        (
            &[
                ("IDENTITY_ENDPOINT", URL),
                ("IDENTITY_HEADER", "h"),
                ("IDENTITY_SERVER_THUMBPRINT", "t"),
            ],
            "Service Fabric",
        ),
        (
            &[("IDENTITY_ENDPOINT", URL), ("IMDS_ENDPOINT", URL)],
            "Azure Arc",
        ),
        (&[("MSI_ENDPOINT", URL)], "MSI_ENDPOINT"),
        (
            &[("IDENTITY_ENDPOINT", URL)],
            "IDENTITY_ENDPOINT is set without IDENTITY_HEADER",
        ),
        (
            &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "nonsense")],
            "is no URL",
        ),
    ] {
        let said = with(variables).problem().unwrap_or_default();
        assert!(
            said.contains(problem) && said.is_empty() == problem.is_empty(),
            "{said}"
        );
        // So does the credential, with which no core is built then.
        let credential = super::super::Credential::managed_identity(with(variables));
        assert_eq!(credential.check().err().unwrap_or_default(), said);
    }
}

#[tokio::test]
async fn a_failure_of_a_clock_that_was_ahead_keeps_nobody_from_asking_once_it_is_right() {
    let platform = Platform::answering(&[(400, "")]).await;
    let identity = platform.identity();
    let right = audience();
    let mut ahead = right.clone();
    ahead.now = right.now + Duration::from_secs(24 * 3600);
    for _ in 0..2 {
        assert!(identity.assertion(&ahead).await.is_err());
        assert_eq!(platform.asked().len(), 1, "a short while is waited");
    }
    platform.will(&[(200, &token("first"))]);
    let first = identity.assertion(&right).await.unwrap();
    assert_eq!(first.expose(), "first");

    // Neither does a refusal.
    identity.refused(&first, ahead.now);
    platform.will(&[(200, &token("first"))]);
    let again = identity.assertion(&right).await.unwrap();
    identity.refused(&again, right.now);
    platform.will(&[(200, &token("second"))]);
    let second = identity.assertion(&right).await.unwrap();
    assert_eq!(second.expose(), "second");
}

#[tokio::test]
async fn a_platform_that_takes_its_time_to_fail_is_a_failure_that_others_share() {
    let platform = Platform::answering(&[(500, "")]).await;
    let mut settings = platform.imds();
    settings.pause = Duration::from_secs(3600);
    settings.limit = Duration::from_millis(5_900);
    let identity = at_work(settings);
    for _ in 0..2 {
        let audience = audience();
        let failed = tokio::time::timeout(Duration::from_secs(30), identity.assertion(&audience));
        let failed = failed.await.unwrap();
        let Err(CredentialError::Unavailable(text)) = failed else {
            panic!("{failed:?}");
        };
        assert!(text.contains("no token in 5 s"), "{text}");
        assert_eq!(platform.asked().len(), 1, "nobody asks again so soon");
    }
}
