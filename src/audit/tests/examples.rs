//! The reference shows a record of each kind as it is written.

use super::{
    super::ocsf::{Form, Repeats},
    *,
};
use crate::audit::Control;

/// What stands around the examples in config/README.md.
const BEGIN: &str = "<!-- from here on made from src/audit/tests/examples.rs -->\n";
const END: &str = "<!-- until here -->\n";
/// In the place of what differs from record to record.
const REQUEST: &str = "019ab7e0-7b7c-7c3e-9f3a-2f6d1c0e8a55";
const TIME: Duration = Duration::from_millis(1_795_435_200_123);
const SEAL: &str =
    r#","key_id":"5292fdfa7e9b538c","prev":"7fa37465…2f5ca3b","hash":"3d9c0734…6df13b6"}}"#;

fn of_request(change: impl FnOnce(&mut Event), stage: Stage) -> String {
    let mut event = event(stage);
    event.start = SystemTime::UNIX_EPOCH.checked_add(TIME).unwrap();
    event.duration = Duration::from_millis(43);
    event.caller_request_id = None;
    change(&mut event);
    let id = event.request_id.to_string();
    let mut body = Vec::new();
    form().event(&event, event.operation.unwrap(), &mut body);
    line(&body).replace(&id, REQUEST)
}

fn of_user(operation: Operation) -> String {
    let change = |event: &mut Event| {
        event.operation = Some(operation);
        event.user = UserId::parse("user-1").ok();
        event.email = None;
    };
    of_request(change, Stage::Completed)
}

fn of_login(operation: Operation) -> String {
    let change = |event: &mut Event| {
        event.operation = Some(operation);
        event.login = Some(keys().login("a login token"));
        event.email = None;
    };
    of_request(change, Stage::Completed)
}

fn shared() -> String {
    let event = event(Stage::Refused);
    let end = |later: u64| {
        let since_1970 = TIME.checked_add(Duration::from_millis(later));
        SystemTime::UNIX_EPOCH
            .checked_add(since_1970.unwrap())
            .unwrap()
    };
    let repeats = Repeats {
        count: 4211,
        first: end(0),
        last: end(998),
    };
    let (mut body, common) = (
        Vec::new(),
        Event {
            caller_request_id: None,
            ..event
        },
    );
    form().repeated(&common, Operation::Recover, repeats, &mut body);
    let id = common.request_id.to_string();
    line(&body).replace(&id, REQUEST)
}

fn of_gateway(control: &Control<'_>) -> String {
    let mut body = Vec::new();
    form().control(control, &mut body);
    line(&body)
}

fn of_file(output: &str) -> String {
    let mut body = Vec::new();
    form().header("019ab7e0-0000-7000-8000-000000000000", output, 0, &mut body);
    line(&body)
}

fn form() -> Form {
    Form::new()
}

fn line(body: &[u8]) -> String {
    let body = str::from_utf8(body).unwrap();
    let (before, rest) = body.split_once(r#","time":"#).unwrap();
    let (time, rest) = rest.split_once(',').unwrap();
    // a lifecycle record takes the time itself
    let time = if before.contains(r#""class_uid":6002"#) {
        TIME.as_millis().to_string()
    } else {
        time.to_owned()
    };
    format!(r#"{{"metadata":{{"sequence":1042,{before},"time":{time},{rest}{SEAL}"#)
        .replace(env!("CARGO_PKG_VERSION"), "0.1.0")
}

/// What is shown, each under its words.
fn examples() -> Vec<(&'static str, String)> {
    let reload = Control::Reload {
        changed: &["limits.email.quotas", "routes.deny"],
    };
    vec![
        (
            "A recovery about to go to the vendor: Authentication, MFA Recovery, Pending",
            of_request(|_| (), Stage::Admitted),
        ),
        (
            "The same, answered: the second factor is gone",
            of_request(|_| (), Stage::Completed),
        ),
        (
            "One that the gateway refused: the profile security_control, denied and blocked",
            of_request(|_| (), Stage::Refused),
        ),
        (
            "A flood of such refusals: beyond audit.collapse a second they share a record",
            shared(),
        ),
        (
            "A code checked at login: Authentication, Logon",
            of_login(Operation::LoginVerify),
        ),
        (
            "The request for such a code: Authentication, Preauth",
            of_login(Operation::LoginSmsRequest),
        ),
        (
            "A factor enabled: Account Change, MFA Factor(s) Enable",
            of_user(Operation::UserSmsEnrollVerify),
        ),
        (
            "A factor disabled: Account Change, MFA Factor(s) Disable",
            of_user(Operation::UserSmsDisableVerify),
        ),
        (
            "A step towards one of these: Account Change, by its operation's name",
            of_user(Operation::UserSmsEnroll),
        ),
        (
            "A list read: API Activity, Read. Policy and configuration changes are Create and Update",
            of_user(Operation::UserDevices),
        ),
        (
            "A file begins: what follows, and what this output missed before",
            of_file("audit.jsonl"),
        ),
        (
            "Something that happened to the gateway: Application Lifecycle",
            of_gateway(&reload),
        ),
    ]
}

#[test]
fn the_reference_shows_a_record_of_each_kind() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/README.md");
    let found = fs::read_to_string(&path).unwrap();
    let (before, rest) = found.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let shown: String = examples()
        .into_iter()
        .map(|(words, line)| {
            serde_json::from_str::<Value>(&line).unwrap();
            format!("\n{words}:\n\n```json\n{line}\n```\n")
        })
        .collect();
    let expected = format!("{before}{BEGIN}{shown}\n{END}{after}");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, expected).unwrap();
    } else {
        let mend = "UPDATE_EXPECT=1 cargo test --lib examples";
        assert!(
            found == expected,
            "config/README.md shows other records: {mend}"
        );
    }
}
