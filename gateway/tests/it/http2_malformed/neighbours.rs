//! What a malformed request does to those beside it.

use super::*;

/// What the library decodes is an error of its stream, and the requests beside it go on. What it cannot decode is
/// treated as one of the connection: GOAWAY names the reason (RFC 9113 §5.4.1), the requests beside it end without
/// an answer, and those of other connections go on.
#[tokio::test]
async fn h2_04_h2_06_what_other_requests_of_the_connection_see_of_a_malformed_one() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    for (name, value, is_gone) in [
        ("connection", "close", false),
        ("te", "gzip", false),
        (":path", "/y", false),
        ("X-A", "a", true),
        ("x-a", "a\r\ny: z", true),
        (":x", "a", true),
    ] {
        let case = format!("{name:?}: {value:?}");
        let rig =
            Rig::public_with(|_| Reply::Pause(String::new(), ANSWER.to_owned()), |_| {}).await;
        let [mut client, mut other] = [rig.client().await, rig.client().await];
        for client in [&mut client, &mut other] {
            client.send([hello(), frames::get(1, "/x")].concat()).await;
        }
        rig.upstream.until_seen(2).await;
        let block = request("GET", "/z", &[(name, value)]);
        let malformed = frame(HEADERS, END_STREAM | END_HEADERS, 3, &block);
        client.send(malformed).await;
        if is_gone {
            let said = client.frames().await;
            let goaway = said.iter().find(|frame| frame.kind == GOAWAY).unwrap();
            assert_eq!(goaway.code(), Some(PROTOCOL_ERROR), "{case}");
            let of_one = said.iter().filter(|frame| frame.stream == 1);
            assert_eq!(of_one.count(), 0, "{case}: {said:?}");
        } else {
            assert_eq!(outcome(&mut client, 3).await, Outcome::Reset, "{case}");
        }
        for _ in 0..2 {
            rig.upstream.go_on();
        }
        if is_gone {
            // Nobody waits for that answer any more.
            rig.upstream.until_ended(1).await;
        }
        assert_eq!(outcome(&mut other, 1).await, Outcome::Answer(200), "{case}");
        if !is_gone {
            assert_eq!(
                outcome(&mut client, 1).await,
                Outcome::Answer(200),
                "{case}"
            );
        }
        let seen = rig.upstream.seen();
        assert!(
            seen.iter().all(|seen| seen.line() == "GET /x HTTP/1.1"),
            "{seen:#?}"
        );
    }
}
