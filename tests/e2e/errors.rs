//! Every AADSTS code that is known: what the caller gets, seen through the gateway, and the page that
//! says so.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use entra_emulator::{Endpoint, Fault};
use obo_demo::{Demo, Options};
use obo_tests::api::subscriptions;
use reqwest::{
    Response,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use tower_obo::{Aadsts, AadstsAnswer, AadstsWho};

/// What is expected for an answer class: written down here once more, so that a change of the table
/// or of the mapping alone does not go unseen.
struct Expected {
    status: u16,
    /// `error` of the challenge; empty where there is none.
    challenge: &'static str,
    problem: &'static str,
}

fn expected(answer: AadstsAnswer) -> Expected {
    use AadstsAnswer as A;
    let (status, challenge, problem) = match answer {
        A::AccountRefused => (403, "", "account-refused"),
        A::AppOnly => (403, "insufficient_scope", "app-only-not-allowed"),
        A::AssertionRefused => (401, "invalid_token", "assertion-refused"),
        A::ConditionalAccess => (403, "", "conditional-access"),
        A::ConsentRequired => (403, "", "consent-required"),
        A::CredentialRefused | A::Misconfigured => (502, "", "gateway-misconfigured"),
        A::Interaction => (401, "invalid_token", "interaction-required"),
        A::Throttled => (503, "", "throttled"),
        A::Unavailable => (503, "", "identity-provider-unavailable"),
        other => panic!("{other:?} has no expectation"),
    };
    Expected {
        status,
        challenge,
        problem,
    }
}

/// `actor` of the problem document.
fn actor(answer: AadstsAnswer) -> &'static str {
    use AadstsAnswer as A;
    match answer {
        A::AccountRefused
        | A::AppOnly
        | A::AssertionRefused
        | A::ConditionalAccess
        | A::ConsentRequired
        | A::Interaction => "caller",
        A::CredentialRefused | A::Misconfigured => "gateway",
        A::Throttled | A::Unavailable => "identity-provider",
        other => panic!("{other:?} has no expectation"),
    }
}

/// Whom the problem document has to name where the table says who has to act.
fn named_for(row: &Aadsts) -> &'static str {
    match row.who {
        // Whoever accepts another application's audience has to mend that, and the log tells them; to
        // the caller it is a token that is no good here.
        AadstsWho::Operator if row.code == 500_131 => "caller",
        AadstsWho::Operator => "gateway",
        AadstsWho::Nobody => "identity-provider",
        _ => "caller",
    }
}

/// The status and the OAuth error that Entra ID sends with a code.
fn sent_with(row: &Aadsts) -> (u16, &'static str) {
    use AadstsAnswer as A;
    match (row.code, row.answer) {
        (28002 | 70011 | 700_022, _) => (400, "invalid_scope"),
        (50001 | 500_011, _) => (400, "invalid_resource"),
        (70001 | 700_011 | 700_016 | 7_000_112, _) => (400, "unauthorized_client"),
        (70002 | 700_023 | 7_000_215 | 7_000_218 | 7_000_222, _) | (_, A::CredentialRefused) => {
            (401, "invalid_client")
        }
        (50027, _) | (_, A::Misconfigured) => (400, "invalid_request"),
        // Grants that are over, not sign-ins that lack something.
        (70000..=70099 | 700_082 | 700_084, A::Interaction) => (400, "invalid_grant"),
        (_, A::ConditionalAccess | A::Interaction) => (400, "interaction_required"),
        (_, A::Throttled | A::Unavailable) => (400, "temporarily_unavailable"),
        _ => (400, "invalid_grant"),
    }
}

/// What is said of the tenant or of the gateway itself stands for a while for every caller, and what is
/// said of a user for all of their tokens.
fn is_for_more_than_a_token(row: &Aadsts) -> bool {
    use AadstsAnswer as A;
    matches!(row.answer, A::Throttled | A::Unavailable) || sent_with(row).1 == "invalid_client"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_known_code_has_the_answer_that_the_page_says() {
    let (for_more, for_one): (Vec<&Aadsts>, Vec<&Aadsts>) = Aadsts::all()
        .iter()
        .partition(|row| is_for_more_than_a_token(row));
    assert!(!for_more.is_empty() && for_one.len() > for_more.len());
    answered_as_the_page_says(&for_one).await;
    for row in for_more {
        answered_as_the_page_says(&[row]).await;
    }
}

async fn answered_as_the_page_says(rows: &[&Aadsts]) {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let emulator = demo.emulator();
    for row in rows {
        let expected = expected(row.answer);
        let (status, error) = sent_with(row);
        let body = json!({
            "error": error,
            "error_description": format!("AADSTS{}: for the operator alone", row.code),
            "error_codes": [row.code],
            "correlation_id": "4f1ad2b8-0000-4000-8000-00000000beef",
            "trace_id": "4f1ad2b8-0000-4000-8000-00000000cafe",
        });
        // A token of its own, since what needs the user is remembered for the token.
        let token = emulator.user_token("alice");
        let fault = Fault::status(status).json(&body);
        emulator.fail(Endpoint::Token, fault, 2);
        let answer = subscriptions(demo.gateway().url(), Some(&token)).await;
        emulator.clear_faults();

        let code = row.code;
        assert_eq!(answer.status(), expected.status, "{code}");
        let challenge = challenge_of(&answer);
        let error = challenge.get("error").map_or("", String::as_str);
        assert_eq!(error, expected.challenge, "{code}");
        assert_eq!(challenge.is_empty(), error.is_empty(), "{code}");
        assert!(!challenge.contains_key("claims"), "{code}: {challenge:?}");
        let waits = answer.headers().contains_key(RETRY_AFTER);
        assert_eq!(waits, expected.status == 503, "{code}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains("operator alone"), "{code}: {text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        let kind = format!("urn:tower-obo:problem:{}", expected.problem);
        assert_eq!(problem["type"], kind, "{code}");
        assert_eq!(problem["status"], expected.status, "{code}");
        assert_eq!(problem["actor"], actor(row.answer), "{code}");
        assert_eq!(problem["actor"], named_for(row), "{code}");
        for member in ["title", "detail"] {
            assert!(!problem[member].as_str().unwrap().is_empty(), "{code}");
        }
        assert_eq!(problem["error"], body["error"], "{code}");
        assert_eq!(problem["aadsts"], format!("AADSTS{code}"));
        assert_eq!(problem["correlation_id"], body["correlation_id"], "{code}");
        assert_eq!(problem["trace_id"], body["trace_id"], "{code}");
    }
    assert_eq!(demo.backend().requests(), 0);
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_entra_gives_claims_the_caller_gets_them_whatever_the_code() {
    use AadstsAnswer as A;
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let emulator = demo.emulator();
    let with_claims = [A::Interaction, A::ConditionalAccess];
    for row in Aadsts::all() {
        if !with_claims.contains(&row.answer) {
            continue;
        }
        let body = json!({
            "error": "interaction_required",
            "error_codes": [row.code],
            "claims": "{\"access_token\":{}}",
        });
        emulator.fail(Endpoint::Token, Fault::status(400).json(&body), 1);
        let token = emulator.user_token("alice");
        let answer = subscriptions(demo.gateway().url(), Some(&token)).await;
        assert_eq!(answer.status(), 401, "{}", row.code);
        let challenge = challenge_of(&answer);
        assert_eq!(challenge["error"], "insufficient_claims", "{}", row.code);
        assert_eq!(challenge["claims"], "eyJhY2Nlc3NfdG9rZW4iOnt9fQ==");
        assert!(challenge["authorization_uri"].ends_with("/oauth2/v2.0/authorize"));
    }
    demo.shutdown().await;
}

/// The parameters of the one Bearer challenge, read by a parser of somebody else; none where there is
/// no challenge.
fn challenge_of(answer: &Response) -> BTreeMap<String, String> {
    let lines: Vec<_> = answer.headers().get_all(WWW_AUTHENTICATE).iter().collect();
    let [line] = lines[..] else {
        assert!(lines.is_empty(), "{lines:?}");
        return BTreeMap::new();
    };
    let challenges = http_auth::parse_challenges(line.to_str().unwrap()).unwrap();
    let [challenge] = &challenges[..] else {
        panic!("one challenge: {line:?}");
    };
    assert_eq!(challenge.scheme, "Bearer");
    let mut parameters = BTreeMap::new();
    for (name, value) in &challenge.params {
        let again = parameters.insert((*name).to_owned(), value.to_unescaped());
        assert!(again.is_none(), "{name} stands twice: {line:?}");
    }
    parameters
}

/// `docs/errors.md` is made from the table that the code uses; UPDATE_DOCS writes it anew.
#[test]
fn the_page_of_errors_is_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/errors.md is old: make errors-page");
}

/// The emulator has a page about each code. It stands alone, and says what we say.
#[test]
fn the_emulator_explains_every_code_with_the_same_words() {
    for row in Aadsts::all() {
        let there = entra_emulator::Aadsts::find(row.code);
        let there = there.unwrap_or_else(|| panic!("the emulator does not know {}", row.code));
        assert_eq!(
            (there.meaning, there.who),
            (row.meaning, row.who.as_str()),
            "{}",
            row.code
        );
    }
}

fn page() -> String {
    let mut page = "# AADSTS codes\n\n\
        What Entra ID says when it refuses an exchange, and what the caller then gets. The problem document \
        (`application/problem+json`) has the code in `aadsts`, with `correlation_id` and `trace_id`, which Entra's \
        sign-in log and Microsoft's support know.\n\n\
        Codes of *Conditional Access* and *interaction* usually come with `claims`. Then the answer is 401 with \
        `WWW-Authenticate: Bearer error=\"insufficient_claims\", claims=\"…\"`: the client sends the decoded claims to Entra ID \
        with the next sign-in. A code that is not in this list counts as *interaction* from 50072 to 50079, as \
        *Conditional Access* from 53000 to 53999 and from 530000 to 530999; any other is judged by Entra's `error` and \
        `suberror`, and by the status. If the client authenticates with a federated token or a managed identity, AADSTS50027 is \
        taken to be about that one: 502 `gateway-misconfigured`, for the operator.\n\n\
        The document's `actor` is `caller` if the user has to act, or an administrator of the user's tenant; `gateway` if \
        the gateway's operator has to; and `identity-provider` if it passes by itself.\n\n\
        | code | what it means | who has to act | what they do | status | challenge | problem type | `actor` |\n\
        |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in Aadsts::all() {
        let Expected {
            status,
            challenge,
            problem,
        } = expected(row.answer);
        let (who, remedy) = (row.who.as_str(), row.remedy);
        let challenge = match challenge {
            "" => "–".to_owned(),
            error => format!("`{error}`"),
        };
        let (code, meaning) = (row.code, row.meaning);
        writeln!(
            page,
            "| AADSTS{code} | {meaning} | {who} | {remedy} | {status} | {challenge} | `{problem}` | `{}` |",
            actor(row.answer)
        )
        .unwrap();
    }
    page
}
