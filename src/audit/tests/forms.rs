//! What OCSF 1.8.0 asks of each record, for every operation, stage and kind of subject.

use super::{super::ocsf::Form, *};
use crate::{
    audit::Control,
    route::{Audited, Facts},
};

/// Every operation at every stage, for every kind of subject and caller.
fn every_event() -> Vec<(&'static Facts, Event)> {
    let mut events = Vec::new();
    for operation in Operation::ALL {
        for stage in [Stage::Admitted, Stage::Completed, Stage::Refused] {
            let mut all = event(stage);
            (all.operation, all.device) = (Some(*operation), Some("device-1".into()));
            let variants = variants(&all).into_iter();
            events.extend(variants.map(|event| (operation.facts(), event)));
        }
    }
    events
}

/// The kinds of subject, caller and end that a request can have.
fn variants(all: &Event) -> [Event; 7] {
    let email = |email: &str| Event {
        email: Some(email.into()),
        ..all.clone()
    };
    let user = Event {
        user: UserId::parse("user-1").ok(),
        client: Some("2001:db8::7".parse().unwrap()),
        ..all.clone()
    };
    let login = Event {
        email: None,
        login: Some(keys().login("mfa token")),
        client: None,
        status: Some(StatusCode::UNAUTHORIZED),
        outcome: ended(all, Outcome::Denied),
        ..all.clone()
    };
    let unknown = Event {
        email: None,
        client: None,
        peer: Peer::Unix,
        upstream: None,
        limit: None,
        outcome: ended(all, Outcome::Failed),
        caller: None,
        ..all.clone()
    };
    [
        all.clone(),
        login,
        unknown,
        user,
        email("a…@e….com"),
        email("ada@example.com"),
        email("ada@localhost"),
    ]
}

/// The outcome of a request that went to the vendor; the other stages have one each.
fn ended(event: &Event, outcome: Outcome) -> Outcome {
    match event.outcome.stage() {
        Stage::Completed => outcome,
        Stage::Admitted | Stage::Refused => event.outcome,
    }
}

fn read(body: &[u8]) -> Value {
    let line = [br#"{"metadata":{"sequence":1,"#, body, b"}}"].concat();
    serde_json::from_slice(&line).unwrap()
}

fn written(event: &Event) -> Value {
    let mut body = Vec::new();
    Form::new().event(event, event.operation.unwrap(), &mut body);
    read(&body)
}

#[test]
fn each_record_has_what_its_class_requires() {
    for (facts, event) in every_event() {
        let record = written(&event);
        let (class, activity) = match facts.audited {
            Audited::Create => (6003, 1),
            Audited::FactorDisable => (3001, 11),
            Audited::FactorEnable => (3001, 10),
            Audited::FactorStep => (3001, 99),
            Audited::Logon => (3002, 1),
            Audited::Preauth => (3002, 6),
            Audited::Read => (6003, 2),
            Audited::Recovery => (3002, 99),
            Audited::Update => (6003, 3),
        };
        assert_eq!(record["class_uid"], class);
        assert_eq!(record["category_uid"], class / 1000);
        assert_eq!(record["activity_id"], activity);
        assert_eq!(record["type_uid"], class * 100 + activity);
        assert_eq!(record["metadata"]["version"], "1.8.0");
        assert_eq!(record["metadata"]["product"]["name"], "mfa-gateway");
        assert_eq!(
            record["metadata"]["correlation_uid"],
            event.request_id.to_string()
        );
        assert!((1..=3).contains(&record["severity_id"].as_u64().unwrap()));
        assert!(record["time"].as_u64().unwrap() > 1_700_000_000_000);
        if class == 6003 {
            assert_eq!(record["api"]["operation"], facts.name);
            assert!(record["actor"]["app_name"].is_string());
            assert!(record["src_endpoint"].is_object());
        } else {
            let user = &record["user"];
            assert!(user["uid"].is_string() || user["name"].is_string());
        }
        assert_eq!(class == 3002, record["service"]["name"] == "Frontegg");
        assert_eq!(facts.audited == Audited::Logon, record["is_mfa"] == true);
        let unmapped = &record["unmapped"];
        assert_eq!(unmapped["operation"], facts.name);
        assert_eq!(unmapped["outcome"], event.outcome.as_str());
    }
}

#[test]
fn only_refusals_carry_the_security_control_profile() {
    for (_, event) in every_event() {
        let record = written(&event);
        let refused = event.outcome.stage() == Stage::Refused;
        assert_eq!(
            refused,
            record["metadata"]["profiles"] == serde_json::json!(["security_control"])
        );
        assert_eq!(
            refused,
            record["action_id"] == 2 && record["disposition_id"] == 2
        );
        let status = match event.outcome {
            Outcome::Pending => 99,
            Outcome::Succeeded => 1,
            Outcome::Denied | Outcome::Failed | Outcome::Refused => 2,
        };
        assert_eq!(record["status_id"], status);
    }
}

#[test]
fn a_step_towards_a_factor_has_the_name_of_its_operation_and_a_recovery_its_own() {
    let name =
        |operation| written(&user_event(Stage::Completed, operation))["activity_name"].clone();
    assert_eq!(name(Operation::UserSmsEnroll), "user.sms.enroll");
    assert_eq!(name(Operation::Recover), "MFA Recovery");
}

#[test]
fn the_user_is_the_user_else_the_account_else_the_login() {
    let base = event(Stage::Completed);
    let uid = |event: &Event| written(event)["user"]["uid"].clone();
    assert_eq!(uid(&base), **base.email.as_ref().unwrap());
    let with_user = Event {
        user: UserId::parse("user-1").ok(),
        ..base.clone()
    };
    assert_eq!(uid(&with_user), "user-1");
    let with_login = Event {
        email: None,
        login: Some("login:1".into()),
        ..base
    };
    assert_eq!(uid(&with_login), "login:1");
}

#[test]
fn an_email_is_an_address_only_where_it_is_shown_as_one() {
    let with = |email: &str| Event {
        email: Some(email.into()),
        ..event(Stage::Completed)
    };
    let plain = written(&with("ada+1@example.com"));
    assert_eq!(plain["user"]["email_addr"], "ada+1@example.com");
    for odd in [
        "ada@localhost",
        "élan@example.com",
        "ada@.com",
        "@example.com",
        &keys().email("ada@example.com", EmailForm::Hash),
        &keys().email("ada@example.com", EmailForm::Mask),
    ] {
        let user = &written(&with(odd))["user"];
        assert_eq!(user.get("email_addr"), None, "{odd}");
    }
}

#[test]
fn a_user_s_address_comes_before_the_calling_app_s() {
    let base = event(Stage::Completed);
    let endpoint = |event: &Event| written(event)["src_endpoint"].clone();
    let both = serde_json::json!({"ip": "203.0.113.7", "intermediate_ips": ["127.0.0.1"]});
    assert_eq!(endpoint(&base), both);
    let app = Event {
        client: None,
        ..base.clone()
    };
    assert_eq!(
        endpoint(&app),
        serde_json::json!({"ip": "127.0.0.1", "port": 41234})
    );
    let unix = Event {
        client: None,
        peer: Peer::Unix,
        ..base.clone()
    };
    assert_eq!(endpoint(&unix), serde_json::json!({"name": "unix"}));
    let mapped = Event {
        client: "::ffff:203.0.113.7".parse().ok(),
        peer: Peer::Unix,
        ..base
    };
    assert_eq!(endpoint(&mapped), serde_json::json!({"ip": "203.0.113.7"}));
}

#[test]
fn foreign_text_can_neither_break_a_line_nor_fill_it() {
    let forged = r#"x","hash":"0"}}"#;
    let mut event = user_event(Stage::Completed, Operation::UserSmsDisable);
    event.caller_request_id = HeaderValue::from_bytes(&b"\"\xff\t".repeat(400)).ok();
    event.device = Some("\n\u{0}\u{7f}\\".repeat(400).into());
    event.caller = Some(CallerName::new(&"\u{1f600}\r\n".repeat(400)));
    event.tenant = TenantId::parse(forged).ok();
    let mut body = Vec::new();
    Form::new().event(&event, Operation::UserSmsDisable, &mut body);
    assert!(
        !body.contains(&b'\n') && body.len() < 4096,
        "{}",
        body.len()
    );
    let record = read(&body);
    assert_eq!(record["unmapped"]["tenant"], forged);
    assert!(record["unmapped"].get("hash").is_none());
}

#[test]
fn a_full_record_is_about_a_kilobyte() {
    let mut body = Vec::new();
    Form::new().event(&event(Stage::Completed), Operation::Recover, &mut body);
    let chain = 250;
    assert!(body.len() + chain < 1300, "{}", body.len());
}

#[test]
fn lifecycle_records_are_whole_whatever_they_carry() {
    let form = Form::new();
    let keys = ["limits.email"; 100];
    let controls = [
        Control::Checkpoint,
        Control::CredentialBack,
        Control::CredentialFailed {
            error: "no \"route\"\n",
        },
        Control::Drain,
        Control::LimitsNotReset {
            email: "email:1",
            by: "127.0.0.1:7, from this machine",
            error: "away",
        },
        Control::LimitsReset {
            email: "email:1",
            by: "127.0.0.1:7, from this machine",
        },
        Control::OutputBack { output: "stdout" },
        Control::OutputLost {
            output: "stdout",
            error: "full",
        },
        Control::Reload { changed: &keys },
        Control::ReloadRefused { keys: &keys },
        Control::Start {
            chain: "c",
            continued: false,
            torn: Some("f"),
        },
        Control::Stop,
        Control::StoreBack,
        Control::StoreLost { error: "timed out" },
    ];
    for control in &controls {
        let mut body = Vec::new();
        form.control(control, &mut body);
        let record = read(&body);
        let activity = record["activity_id"].as_u64().unwrap();
        assert_eq!(record["class_uid"], 6002);
        assert_eq!(record["type_uid"], 600_200 + activity);
        assert_eq!(record["app"]["name"], "mfa-gateway");
        assert!(matches!(activity, 3 | 4 | 99) && record["activity_name"].is_string());
        assert_eq!(record["unmapped"]["event"], control.words().event);
    }
}
