//! `[telemetry]`: logs, and the collector that takes traces and audit records.

use std::sync::Arc;

use http::{
    Uri,
    uri::{Authority, InvalidUri},
};
use rustls::RootCertStore;

use super::{Reader, frontegg};
use crate::config::{
    collector::Collector,
    log_filter::LogFilter,
    nearest::did_you_mean,
    settings::{LogFormat, Telemetry},
    sources::RUST_LOG,
};

pub(super) const ENDPOINT: &str = "telemetry.otlp_endpoint";

pub(super) fn read(reader: &mut Reader<'_>, collector: Option<Collector>) -> Telemetry {
    const FILTER: &str = "telemetry.log";
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let log = reader.text(FILTER);
    // A misspelt level would be read as the name of a module, and everything else be off.
    let slip = log.split(',').map(str::trim).find(|directive| {
        !directive.is_empty()
            && !directive.contains(['=', ':', '['])
            && !LEVELS.contains(&directive.to_lowercase().as_str())
            && *directive != "mfa_gateway"
    });
    let filter = log.parse::<LogFilter>();
    if let Some(slip) = slip {
        let mend = did_you_mean(slip, LEVELS, "write a level such as info, or module=level");
        reader.problem(FILTER, format!("{slip:?} is not a level"), mend);
    } else if let Err(error) = &filter {
        reader.problem(
            FILTER,
            format!("is not a valid filter: {error}"),
            "write it like info or warn,mfa_gateway=debug",
        );
    }
    let stronger = reader.entries.obeyed(RUST_LOG).unwrap_or_default();
    if let (false, Err(error)) = (stronger.trim().is_empty(), stronger.parse::<LogFilter>()) {
        reader.obeyed(
            RUST_LOG,
            FILTER,
            format!("{RUST_LOG} decides, and is not a valid filter: {error}"),
            "write it like info or warn,mfa_gateway=debug",
        );
    }
    Telemetry {
        log_format: match reader.text("telemetry.log_format") {
            "json" => LogFormat::Json,
            "text" => LogFormat::Text,
            _auto => LogFormat::Auto,
        },
        log: filter.unwrap_or_default(),
        collector,
    }
}

/// The collector, where there is one. The URL isn't repeated in problems: it may hold a password.
pub(super) fn collector(reader: &mut Reader<'_>) -> Option<Collector> {
    let text = reader.given(ENDPOINT)?;
    let (what, mend) = match base(text) {
        Ok(base) => {
            let tls = base.scheme_str() == Some("https");
            let roots = if tls {
                frontegg::environments_proxy(reader, &base);
                frontegg::system_roots(reader, ENDPOINT, "set the variable SSL_CERT_FILE")?
            } else {
                Arc::new(RootCertStore::empty())
            };
            let (logs, traces) = (below(&base, "logs").ok()?, below(&base, "traces").ok()?);
            return Some(Collector {
                logs,
                traces,
                roots,
            });
        }
        Err(problem) => problem,
    };
    reader.problem(ENDPOINT, what, mend);
    None
}

/// The base under which each signal has its path, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
fn base(text: &str) -> Result<Uri, (&'static str, &'static str)> {
    let url = text.parse::<Uri>().ok().filter(|_url| !text.contains('#'));
    let url = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
    let url = url.ok_or(("is not a valid URL", "write it like http://collector:4318"))?;
    if url.query().is_some() {
        return Err((
            "has a query",
            "leave it off: the gateway adds /v1/traces and /v1/logs to the path",
        ));
    }
    if url.path().ends_with("/v1/logs") || url.path().ends_with("/v1/traces") {
        return Err((
            "is one signal's URL",
            "leave off /v1/…: the gateway adds /v1/traces and /v1/logs itself",
        ));
    }
    if url.authority().map_or("", Authority::as_str).contains('@') {
        return Err((
            "holds a user or password",
            "remove it: name a collector that takes records without one, beside the gateway",
        ));
    }
    Ok(url)
}

fn below(base: &Uri, signal: &str) -> Result<Uri, InvalidUri> {
    let base = base.to_string();
    format!("{}/v1/{signal}", base.trim_end_matches('/')).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_has_its_path_below_the_base() {
        for (written, logs) in [
            ("http://collector:4318", "http://collector:4318/v1/logs"),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/logs"),
            (
                "https://otel.example/a/b",
                "https://otel.example/a/b/v1/logs",
            ),
            ("https://otel.example/a/", "https://otel.example/a/v1/logs"),
        ] {
            let found = below(&base(written).unwrap(), "logs").unwrap();
            assert_eq!(found, logs, "{written}");
        }
    }

    #[test]
    fn what_is_no_base_is_refused_with_the_mend() {
        for (written, what) in [
            ("collector:4318", "is not a valid URL"),
            ("grpc://collector:4317", "is not a valid URL"),
            ("http://collector:4318/#a", "is not a valid URL"),
            ("http://collector:4318/?a=b", "has a query"),
            ("http://collector:4318/v1/traces", "is one signal's URL"),
            ("http://u:p@collector:4318", "holds a user or password"),
        ] {
            assert_eq!(base(written).unwrap_err().0, what, "{written}");
        }
    }
}
