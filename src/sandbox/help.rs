//! What the sandbox says of itself while it serves: where everything is, and the main job as
//! `curl` lines.

use std::{net::SocketAddr, path::Path};

use super::{
    home::Home,
    vendor::{Channel, SentCode, Vendor},
    world::seed::{ADA, BARBARA, CLIENT_ID, GRACE, HEDY, KATHERINE, PASSWORD, PEOPLE, Person},
};
use crate::route::Operation;

/// An authenticator app shows a code for so many seconds, and it is accepted as long again.
pub const STEP: u64 = 30;

/// Where the stand-in takes a password.
const LOGIN: &str = "/identity/resources/auth/v1/user";

/// Where everything is, and what to try.
#[must_use]
pub fn text(
    home: &Home,
    vendor: &Vendor,
    gateway: SocketAddr,
    admin: Option<SocketAddr>,
) -> String {
    let admin = admin.map_or_else(|| "off".to_owned(), |admin| format!("http://{admin}"));
    let folder = home.folder().display();
    let stays = if home.is_kept() {
        "The folder stays; the users are as new at each start."
    } else {
        "The folder goes when the sandbox ends; --state DIR keeps one."
    };
    format!(
        "The sandbox serves until it is stopped (Ctrl-C).\n\
         \n\
         \x20 gateway        http://{gateway}\n\
         \x20 admin          {admin}   /readyz /metrics /config\n\
         \x20 stand-in       {origin}   password of all users: {PASSWORD}\n\
         \x20 folder         {folder}\n\
         \x20 \x20 ca.pem         signed the stand-in's certificate\n\
         \x20 \x20 gateway.toml   the gateway's configuration\n\
         \x20 \x20 audit.log      one record a line\n\
         \x20 \x20 codes/         what users' apps and phones show now; the lines below read it\n\
         \n\
         {stays}\n\
         \n{calls}\n\
         {token}\n\
         {codes}\n",
        origin = vendor.origin(),
        calls = calls(&home.codes(), gateway),
        token = token(home.folder(), &vendor.origin()),
        codes = authenticators(vendor),
    )
}

/// How to have a user's token, for `subject.from = "user-token"`.
fn token(folder: &Path, origin: &str) -> String {
    let folder = folder.display();
    format!(
        "# A user's token: Katherine has no second factor, so a password is enough for one. For\n\
         # subject.from = \"user-token\" with issuer = \"{origin}\" and audience = \"{CLIENT_ID}\"\n\
         \x20 curl -s --cacert {folder}/ca.pem {origin}{LOGIN} -H 'content-type: application/json' \\\n\
         \x20   -d '{{\"email\":\"{}\",\"password\":\"{PASSWORD}\"}}'\n",
        KATHERINE.email
    )
}

/// What authenticator apps show now, and for how long.
#[must_use]
pub fn authenticators(vendor: &Vendor) -> String {
    let codes: Vec<_> = PEOPLE
        .iter()
        .filter_map(|user| {
            let (_device, secret) = user.authenticator?;
            Some(format!("{} {}", user.name, vendor.totp(secret)?))
        })
        .collect();
    let left = STEP.saturating_sub(vendor.now().checked_rem(STEP).unwrap_or_default());
    format!(
        "Authenticator apps show: {}. For {left} s, and good {STEP} s longer.",
        codes.join(", ")
    )
}

/// A code on its way, as the console shows it.
#[must_use]
pub fn sent(sent: &SentCode) -> String {
    let channel = match sent.channel {
        Channel::Email => "Email",
        Channel::Sms => "SMS",
    };
    format!("{channel} to {}: {}", sent.to.escape_debug(), sent.code)
}

/// The main job.
fn calls(codes: &Path, gateway: SocketAddr) -> String {
    let (app, _secret) = ADA.authenticator.unwrap_or_default();
    let token = format!(r#""{{\"token\":\"{}\"}}""#, shown(codes, app));
    [
        (
            "Recover: Barbara, with the right code",
            recovery(gateway, &BARBARA, BARBARA.recovery_code.unwrap_or_default()),
        ),
        (
            "Recover: guessing Hedy's code; the sixth guess is refused",
            recovery(gateway, &HEDY, "wrong"),
        ),
        (
            "Disable an authenticator app: Ada, with the code that it shows",
            curl(
                gateway,
                Operation::UserAuthenticatorDisable,
                app,
                Some(&ADA),
                &token,
            ),
        ),
        (
            "Disable SMS: Grace, in two steps",
            sms_disable(codes, gateway),
        ),
        (
            "A route that is not let through: enrolment",
            curl(
                gateway,
                Operation::UserAuthenticatorEnroll,
                "",
                Some(&KATHERINE),
                "'{}'",
            ),
        ),
    ]
    .map(|(what, line)| format!("# {what}\n  {line}\n"))
    .join("\n")
}

fn recovery(gateway: SocketAddr, user: &Person, code: &str) -> String {
    let email = user.email;
    let body = format!(r#"'{{"recoveryCode":"{code}","email":"{email}"}}'"#);
    curl(gateway, Operation::Recover, "", None, &body)
}

/// The first step's `otcToken` goes into the second by a variable of the shell.
fn sms_disable(codes: &Path, gateway: SocketAddr) -> String {
    let (phone, number) = GRACE.phone.unwrap_or_default();
    let code = shown(codes, number);
    let body = format!(r#""{{\"otcToken\":\"$otc\",\"code\":\"{code}\"}}""#);
    let user = Some(&GRACE);
    let first = curl(gateway, Operation::UserSmsDisable, phone, user, "'{}'");
    let second = curl(gateway, Operation::UserSmsDisableVerify, phone, user, &body);
    let first = first.replacen("curl -i", "curl -s", 1);
    format!("otc=$({first} | sed 's/.*\"otcToken\":\"\\([^\"]*\\).*/\\1/')\n  {second}")
}

/// What an app or phone shows, as the shell reads it.
fn shown(codes: &Path, name: &str) -> String {
    format!("$(cat {})", quoted(&codes.join(name)))
}

/// One call. `body` is quoted for the shell.
fn curl(
    gateway: SocketAddr,
    operation: Operation,
    device: &str,
    user: Option<&Person>,
    body: &str,
) -> String {
    let path = operation.facts().path.replace("{deviceId}", device);
    let subject = user.map_or_else(String::new, |user| {
        format!(
            "    -H 'frontegg-tenant-id: {}' \\\n    -H 'frontegg-user-id: {}' \\\n",
            user.tenant, user.id
        )
    });
    format!(
        "curl -i http://{gateway}{path} \\\n{subject}    -H 'content-type: application/json' \\\n    -d {body}"
    )
}

/// A path as one word of a POSIX shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_the_shell() {
        assert_eq!(quoted(Path::new("/a b/c")), "'/a b/c'");
        assert_eq!(quoted(Path::new("/it's")), r"'/it'\''s'");
    }

    #[test]
    fn a_code_for_an_odd_number_does_not_steer_the_terminal() {
        let code = SentCode {
            channel: Channel::Sms,
            to: "+1\u{1b}[2J".to_owned(),
            code: "123456".to_owned(),
        };
        assert_eq!(sent(&code), r"SMS to +1\u{1b}[2J: 123456");
    }

    #[test]
    fn the_lines_are_for_the_gateway_and_read_the_codes() {
        let calls = calls(Path::new("/state/codes"), "127.0.0.1:8080".parse().unwrap());
        assert_eq!(calls.matches("curl -").count(), 6);
        assert_eq!(
            calls
                .matches(" http://127.0.0.1:8080/identity/resources/")
                .count(),
            6
        );
        assert!(calls.contains(r#"-d "{\"token\":\"$(cat '/state/codes/ada-app')\"}""#));
    }
}
