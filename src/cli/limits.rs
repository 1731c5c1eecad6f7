//! `limits show|reset`: what is left for one email, and forgiving it. Asks the running gateway.

use std::{io::Write, net::SocketAddr, time::Duration};

use bytes::Bytes;
use clap::{Args, Subcommand};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

use super::{
    Failure,
    config::{Format, SourceArgs, write_json},
    output::print,
    ready::reachable,
    run::event_loop,
};
use crate::{caller::KEY_HEADER, config};

/// For the whole call.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_ANSWER: usize = 64 * 1024;

/// `mfa-gateway limits`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  mfa-gateway limits show user@example.com && mfa-gateway limits reset user@example.com"
)]
pub(super) struct LimitsArgs {
    /// What to do.
    #[command(subcommand)]
    command: LimitsCommand,
}

#[derive(Debug, Subcommand)]
enum LimitsCommand {
    /// Show what is left for an email, beside what single addresses have used up
    #[command(after_help = "Example:\n  mfa-gateway limits show user@example.com")]
    Show(EmailArgs),
    /// Forgive an email all its attempts; the audit log has it
    #[command(after_help = "Example:\n  mfa-gateway limits reset user@example.com")]
    Reset(EmailArgs),
}

#[derive(Args, Debug)]
struct EmailArgs {
    /// Whose attempts
    #[arg(value_name = "EMAIL")]
    email: String,
    /// The admin listener's address; without it as configured
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// How the outcome is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    sources: SourceArgs,
}

pub(super) fn run(arguments: &LimitsArgs) -> Result<(), Failure> {
    let (path, arguments) = match &arguments.command {
        LimitsCommand::Reset(arguments) => ("/limits/reset", arguments),
        LimitsCommand::Show(arguments) => ("/limits", arguments),
    };
    let configured = config::admin(&arguments.sources.sources()).map_err(Failure::Configuration)?;
    let key = configured.as_ref().and_then(|admin| admin.key.as_ref());
    let key = key.map(|source| source.read()).transpose();
    let key = key.map_err(|error| Failure::AtRunTime(format!("admin.key: {error}")))?;
    let address = arguments
        .admin
        .or_else(|| configured.map(|admin| admin.address));
    let address = address.ok_or_else(|| {
        Failure::Usage("the admin listener is off: admin.address is empty".to_owned())
    })?;
    let address = reachable(address);
    let body = json!({ "email": arguments.email }).to_string();
    let asked = event_loop()?
        .block_on(async { timeout(PATIENCE, ask(address, path, body, key.as_ref())).await });
    let answer = asked.unwrap_or_else(|_elapsed| Err("no answer".to_owned()));
    let answer =
        answer.map_err(|error| Failure::AtRunTime(format!("the gateway at {address}: {error}")))?;
    print(|out| match arguments.format {
        Format::Json => write_json(&answer, out),
        Format::Text => write_text(&answer, out),
    })
}

fn write_text(answer: &Value, out: &mut impl Write) -> std::io::Result<()> {
    let email = answer["email"].as_str().unwrap_or_default();
    if answer["reset"] == true {
        return writeln!(out, "All attempts of {email} are forgiven.");
    }
    writeln!(out, "{email}")?;
    let limits = answer["limits"].as_array().map_or(&[][..], Vec::as_slice);
    if limits.is_empty() {
        writeln!(out, "  limits.email has no quota")?;
    }
    for row in limits {
        let seconds = |name: &str| row[name].as_f64().unwrap_or_default().ceil();
        writeln!(
            out,
            "  {} of {} in {} s left; all in {} s",
            row["remaining"],
            row["attempts"],
            seconds("per_seconds"),
            seconds("all_back_in_seconds"),
        )?;
    }
    Ok(())
}

async fn ask(
    address: SocketAddr,
    path: &str,
    body: String,
    key: Option<&SecretString>,
) -> Result<Value, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let mut request = Request::post(path)
        .header(header::HOST, address.to_string())
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        let mut key = HeaderValue::from_str(key.expose_secret())
            .map_err(|_invalid| "admin.key can't be sent in a header".to_owned())?;
        key.set_sensitive(true);
        request = request.header(KEY_HEADER, key);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let asked = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER)
            .collect()
            .await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        read(status, &body)
    };
    tokio::select! {
        answer = asked => answer,
        ended = connection => Err(ended.err().map_or_else(|| "it closed the connection".to_owned(), |error| error.to_string())),
    }
}

/// The answer, or what the gateway says is wrong.
fn read(status: StatusCode, body: &[u8]) -> Result<Value, String> {
    let value = serde_json::from_slice::<Value>(body);
    let error = |value: &Value| Some(value.get("error")?.as_str()?.to_owned());
    if let Some(error) = value.as_ref().ok().and_then(error) {
        return Err(error);
    }
    match (status, value) {
        (StatusCode::OK, Ok(value)) => Ok(value),
        (StatusCode::FORBIDDEN, _) => {
            Err(format!("it says {}", String::from_utf8_lossy(body).trim()))
        }
        (status, _) => Err(format!("it answers {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &Value) -> String {
        let mut out = Vec::new();
        write_text(answer, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_left_is_told_in_a_line_a_quota() {
        let row = json!({ "limit": "email", "attempts": 5, "per_seconds": 900.0, "remaining": 3, "all_back_in_seconds": 359.5 });
        let told = text(&json!({ "email": "a@example.com", "limits": [row] }));
        assert_eq!(
            told,
            "a@example.com\n  3 of 5 in 900 s left; all in 360 s\n"
        );
        let told = text(&json!({ "email": "a@example.com", "reset": true }));
        assert_eq!(told, "All attempts of a@example.com are forgiven.\n");
    }

    #[test]
    fn what_the_gateway_says_is_wrong_is_passed_on() {
        let told = read(
            StatusCode::BAD_REQUEST,
            br#"{"error":"an email has exactly one @"}"#,
        );
        assert_eq!(told.unwrap_err(), "an email has exactly one @");
        let told = read(StatusCode::FORBIDDEN, b"only from loopback\n");
        assert_eq!(told.unwrap_err(), "it says only from loopback");
        assert!(
            read(StatusCode::NOT_FOUND, b"")
                .unwrap_err()
                .contains("404")
        );
    }
}
