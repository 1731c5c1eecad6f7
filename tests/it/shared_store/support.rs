//! What support does: see what is left for an email, and forgive it.

use http::Method;
use mfa_gateway::sandbox::world::seed::ADA;

use super::{events, guesses_left, one, run};
use crate::support::{Call, Client, Redis, Rig};

#[tokio::test]
async fn support_sees_what_is_left_and_forgives() {
    for redis in [None, Some(Redis::start())] {
        let rig = match redis {
            None => Rig::builder(),
            Some(None) => return,
            Some(Some(ref redis)) => one(redis),
        };
        let rig = rig.quota("email", 3).start().await;
        assert_eq!(guesses_left(&rig, ADA.email).await, 3);
        let admin = rig.admin.to_string();
        let show = [
            "limits",
            "show",
            "ADA@acme.example",
            "--admin",
            &admin,
            "--format",
            "json",
        ];
        let (code, out, _) = run(&show).await;
        let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, shown["email"].as_str()), (0, Some(ADA.email)));
        assert_eq!(shown["limits"][0]["remaining"], 0);
        assert_eq!(shown["limits"][0]["attempts"], 3);

        let (code, out, _) = run(&["limits", "reset", ADA.email, "--admin", &admin]).await;
        assert_eq!((code, out.contains("are forgiven")), (0, true), "{out}");
        assert_eq!(events(&rig, "limits-reset"), 1);
        let records = rig.audit.records();
        let reset = records
            .iter()
            .find(|record| record.0["unmapped"]["event"] == "limits-reset");
        let reset = &reset.unwrap().0["unmapped"];
        assert!(
            reset["by"]
                .as_str()
                .unwrap()
                .ends_with(", from this machine"),
            "{reset}"
        );
        assert!(!reset["email"].as_str().unwrap().contains("ada"), "{reset}");
        assert_eq!(guesses_left(&rig, ADA.email).await, 3);

        let (code, _, error) = run(&["limits", "show", "ada", "--admin", &admin]).await;
        assert_eq!(
            (code, error.contains("exactly one @")),
            (1, true),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_limits_are_no_business_of_strangers() {
    let rig = Rig::start().await;
    for target in ["/limits", "/limits/reset"] {
        let call = Call::new(Method::POST, target).body(r#"{"email":"ada@acme.example"}"#);
        let browser = call.clone().header("origin", "http://localhost");
        let rebound = call.clone().host("evil.example");
        let client = Client::Tcp(rig.admin);
        assert_eq!(client.send(browser).await.unwrap().status, 403);
        assert_eq!(client.send(rebound).await.unwrap().status, 403);
        assert_eq!(
            client.send(call.method(Method::GET)).await.unwrap().status,
            405
        );
    }
    assert_eq!(events(&rig, "limits-reset"), 0);
}
