//! `check --connect`: is the vendor reached, does it take the credential, are the keys there that
//! tokens are verified with, can the shared store be used, and does the collector take messages? Each
//! step is diagnosed for itself: name, TCP, proxy, TLS, credential, keys, store, collector.

use std::{env, time::Duration};

use bytes::Bytes;
use http::uri::Authority;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    config::{Collector, Frontegg, HostPort, Servers, Settings, SharedStore, Store, SubjectFrom},
    credential::{Exchange, TokenEndpoint},
    jwks::{FetchError, Place, Source},
    limit::StoreLink,
    model::Deadline,
    net::{Connector, Probe, Reached, SetupError},
    otlp,
};

/// How long a collector may take.
const COLLECTOR: Duration = Duration::from_secs(5);

/// What became of one thing that was tried.
#[derive(Debug)]
pub(super) struct Finding {
    /// What was tried.
    pub(super) what: String,
    /// What worked, in order.
    pub(super) reached: Vec<String>,
    /// What didn't, and the mend.
    pub(super) trouble: Option<String>,
}

impl Finding {
    /// For scripts.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({ "tried": self.what, "reached": self.reached, "problem": self.trouble })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let reached = self
            .reached
            .iter()
            .map(|step| format!("\n  ok      {step}"));
        let trouble = self
            .trouble
            .iter()
            .map(|trouble| format!("\n  failed  {trouble}"));
        std::iter::once(self.what.clone())
            .chain(reached)
            .chain(trouble)
            .collect()
    }
}

/// Tries the way to the identity API, the way to the authentication, the credential, and where there
/// are such the keys of tokens, the shared store and the collector.
///
/// # Errors
/// Where a way can't be taken as it is configured.
pub(super) async fn try_all(settings: &Settings) -> Result<Vec<Finding>, SetupError> {
    let mut findings = vendor(&settings.frontegg).await?;
    findings.extend(keys(settings).await?);
    if let Store::Shared(store) = &settings.limits.store {
        findings.push(shared_store(store).await);
    }
    if let Some(settings) = &settings.telemetry.collector {
        findings.push(collector(settings).await?);
    }
    Ok(findings)
}

async fn vendor(settings: &Frontegg) -> Result<Vec<Finding>, SetupError> {
    let identity = Connector::to_identity(settings)?.probe().await;
    let authentication = Connector::to_authentication(settings)?.probe().await;
    let reachable = authentication.result.is_ok();
    let mut findings = vec![
        finding(format!("identity API at {}", settings.identity), identity),
        finding(
            format!("authentication at {}", settings.auth),
            authentication,
        ),
    ];
    if reachable {
        findings.push(credential(settings).await?);
    }
    Ok(findings)
}

/// Fetches each issuer's keys as a gateway that runs does.
async fn keys(settings: &Settings) -> Result<Vec<Finding>, SetupError> {
    let vendor = &settings.frontegg;
    let mut findings = Vec::new();
    if let SubjectFrom::UserToken(rules) = &settings.subject.from {
        let place = Place::of_users(&rules.keys, vendor)?;
        findings.push(key_set("users'", place, vendor.request_timeout).await);
    }
    if let Some(cluster) = &settings.kubernetes {
        let variable = |name: &str| env::var(name).ok();
        let place = Place::of_cluster(cluster, vendor.connect_timeout, variable)?;
        findings.push(key_set("service accounts'", place, vendor.request_timeout).await);
    }
    Ok(findings)
}

async fn key_set(whose: &str, mut place: Place, budget: Duration) -> Finding {
    let what = format!("keys of {whose} tokens at {place}");
    let fetched = timeout(budget, place.fetch()).await;
    let (reached, trouble) = match fetched.unwrap_or(Err(FetchError::Timeout)) {
        Ok(published) => {
            let count = published.count();
            let issuer = published.issuer().map(|issuer| format!(" of {issuer}"));
            let found = format!("{count} to verify with{}", issuer.unwrap_or_default());
            (vec![found], None)
        }
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    Finding {
        what,
        reached,
        trouble,
    }
}

async fn shared_store(settings: &SharedStore) -> Finding {
    let (at, means) = match &settings.servers {
        Servers::Cluster(nodes) => (nodes.first(), "cluster"),
        Servers::One(server) => (Some(server), "server"),
        Servers::Sentinels { sentinels, .. } => (sentinels.first(), "sentinel"),
    };
    let at = at.map_or_else(String::new, HostPort::to_string);
    let tried = StoreLink::try_once(settings).await;
    Finding {
        what: format!("shared store at {at} ({means})"),
        reached: tried
            .iter()
            .map(|()| "connected, and it took a write in time".to_owned())
            .collect(),
        trouble: tried
            .err()
            .map(|error| format!("{error}; limits.redis says how to reach it")),
    }
}

/// A collector takes an empty message too.
async fn collector(settings: &Collector) -> Result<Finding, SetupError> {
    let host = settings.logs.authority().map_or("", Authority::as_str);
    let mut finding = Finding {
        what: format!("collector at {host}"),
        reached: Vec::new(),
        trouble: None,
    };
    for uri in [&settings.logs, &settings.traces] {
        let client = otlp::Client::new(uri, &settings.roots)?;
        let (empty, deadline) = (Bytes::new(), Deadline::after(COLLECTOR));
        match client.deliver(&empty, deadline).await {
            Ok(_taken) => finding
                .reached
                .push(format!("it took an empty message at {}", uri.path())),
            Err(error) => {
                finding.trouble = Some(error.to_string());
                break;
            }
        }
    }
    Ok(finding)
}

fn finding(what: String, probe: Probe) -> Finding {
    Finding {
        what,
        reached: probe.reached.iter().map(describe).collect(),
        trouble: probe.result.err().map(|error| error.to_string()),
    }
}

fn describe(reached: &Reached) -> String {
    match reached {
        Reached::Connected(address) => format!("TCP connection to {address}"),
        Reached::Resolved { hop, addresses } => {
            let addresses: Vec<String> = addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect();
            format!("{hop} resolves to {}", addresses.join(", "))
        }
        Reached::Secured { version, http2 } => {
            let version = version.and_then(|version| version.as_str().map(str::to_owned));
            format!(
                "{}, certificate good{}",
                version.unwrap_or_else(|| "TLS".to_owned()),
                if *http2 { ", HTTP/2" } else { "" }
            )
        }
        Reached::Tunnelled => "tunnel through the egress proxy".to_owned(),
    }
}

async fn credential(settings: &Frontegg) -> Result<Finding, SetupError> {
    let mut endpoint = TokenEndpoint::new(settings)?;
    let exchange = timeout(settings.request_timeout, endpoint.exchange()).await;
    let (reached, trouble) = match exchange {
        Ok(Ok(token)) => (
            vec![format!(
                "exchanged; valid for {} s",
                token.lifetime().as_secs()
            )],
            None,
        ),
        Ok(Err(error)) => (Vec::new(), Some(error.to_string())),
        Err(_elapsed) => (
            Vec::new(),
            Some("no answer within frontegg.request_timeout".to_owned()),
        ),
    };
    Ok(Finding {
        what: "credential".to_owned(),
        reached,
        trouble,
    })
}
