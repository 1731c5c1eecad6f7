//! How surely a user must be present.

use mfa_gateway::{
    route::{Category, Operation},
    sandbox::{tokens::MULTI_FACTOR, world::seed::ADA},
};

use super::{believing, claims};
use crate::support::{Call, Rig};

/// Ada's token, with a second factor shown so many seconds ago.
fn stepped_up(rig: &Rig, ago: Option<u64>) -> String {
    let mut said = claims(rig, &ADA);
    if let Some(ago) = ago {
        said.acr = Some(MULTI_FACTOR.to_owned());
        said.amr = Some(vec!["pwd".to_owned(), "mfa".to_owned()]);
        said.auth_time = Some(said.iat - ago);
    }
    rig.vendor.mint(&said).unwrap()
}

fn of(operation: Operation, token: &str) -> Call {
    let call = Call::of(operation).for_nobody().bearer(token);
    let target = call.target.replace("user-1", ADA.id);
    call.target(&target)
}

#[tokio::test]
async fn removing_a_factor_asks_for_a_recent_second_factor() {
    let rig = believing()
        .set("subject.user_token.require_mfa_within", "'10m'")
        .start()
        .await;
    let (none, recent, old) = (
        stepped_up(&rig, None),
        stepped_up(&rig, Some(60)),
        stepped_up(&rig, Some(3_600)),
    );
    for operation in [
        Operation::UserDisable,
        Operation::UserAuthenticatorDisable,
        Operation::UserSmsDisable,
        Operation::UserSmsDisableVerify,
        Operation::UserWebauthnDisable,
        Operation::UserWebauthnDisableVerify,
        Operation::UserUnenroll,
    ] {
        for token in [&none, &old] {
            let reply = rig.call(of(operation, token)).await;
            reply.assert_refused(401, "token-invalid");
            let challenge = reply.header("www-authenticate").unwrap();
            assert!(
                challenge.starts_with("Bearer error=\"insufficient_user_authentication\""),
                "{challenge}"
            );
            assert!(challenge.contains("max_age=\"600\""), "{challenge}");
            let detail = reply.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with("Step-up needed"), "{detail}");
        }
        let reply = rig.call(of(operation, &recent)).await;
        assert_eq!(reply.code(), None, "{operation:?}");
    }
    for operation in [Operation::UserDevices, Operation::UserAuthenticatorEnroll] {
        let reply = rig.call(of(operation, &none)).await;
        assert_eq!(reply.code(), None, "{operation:?}");
    }
}

#[tokio::test]
async fn adding_a_factor_asks_for_one_where_that_is_configured() {
    let rig = believing()
        .set("subject.user_token.require_mfa_for_enrolment", "true")
        .start()
        .await;
    let (none, old) = (stepped_up(&rig, None), stepped_up(&rig, Some(3_600)));
    let enrolment = |operation: &&Operation| operation.facts().category == Category::Enrolment;
    for operation in Operation::ALL.iter().filter(enrolment) {
        let reply = rig.call(of(*operation, &none)).await;
        reply.assert_refused(401, "token-invalid");
        let reply = rig.call(of(*operation, &old)).await;
        assert_eq!(reply.code(), None, "{operation:?}");
    }
    let reply = rig.call(of(Operation::UserDisable, &none)).await;
    assert_eq!(reply.code(), None, "{reply:?}");
}
