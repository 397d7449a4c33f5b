//! Tokens that a key of the application's own has signed.

use entra_emulator::demo as ids;

use crate::{
    rig::{PROTECTED, Rig},
    upstream::ok,
};

async fn status(own_signing_keys: bool) -> u16 {
    let change =
        |config: &mut obo_gateway::Config| config.entra.own_signing_keys = own_signing_keys;
    let rig = Rig::new(PROTECTED, |_| ok(), change).await;
    rig.emulator
        .as_ref()
        .unwrap()
        .update_directory(|directory| {
            let mut applications = directory.applications.iter_mut();
            let api = applications.find(|app| app.client_id == ids::API_CLIENT_ID);
            api.unwrap().own_signing_key = true;
        });
    let token = rig.token("alice");
    let head = format!("GET /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
    let answer = rig.exchange(head).await;
    assert_eq!(rig.upstream.seen().len(), usize::from(answer.status == 200));
    answer.status
}

#[tokio::test]
async fn an_application_s_own_keys_are_taken_where_the_configuration_says_so() {
    assert_eq!(status(false).await, 401);
    assert_eq!(status(true).await, 200);
}
