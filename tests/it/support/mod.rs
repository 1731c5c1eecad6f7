//! The rig: a stand-in vendor in the test's own runtime, and the built gateway as a process in
//! front of it, both on ports of the system's choice, with a temporary folder between them.
//!
//! Every answer that goes through [`Rig::call`] is held against [`invariants`], and so are the
//! audit records and the vendor's requests that belong to it: no test can forget them.

mod audit;
mod builder;
mod call;
mod client;
mod collector;
mod invariants;
mod life;
mod patience;
mod program;
mod raw;
mod redis;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use http::{Method, Version};
use mfa_gateway::sandbox::vendor::{Received, Vendor};
use tempfile::TempDir;
use tokio::task::JoinSet;

pub(crate) use self::{
    audit::{AuditFile, Record},
    builder::Builder,
    call::{Call, Reply, recover},
    client::{Client, Connection},
    collector::{Collector, Mood, attributes},
    invariants::CODES,
    patience::{eventually, patience, within},
    program::Program,
    raw::Raw,
    redis::{Redis, free_port},
};

/// Says that a test was left out, and why. Not by a macro: the test harness would keep it to
/// itself.
pub(crate) fn leave_out(what: &str) {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "LEFT OUT: {what}").unwrap();
}

/// A gateway that serves, and the vendor behind it.
pub(crate) struct Rig {
    pub(crate) gateway: Program,
    pub(crate) vendor: Vendor,
    pub(crate) audit: AuditFile,
    /// Its first listener.
    pub(crate) client: Client,
    /// All its listeners, as logged.
    pub(crate) addresses: Vec<String>,
    pub(crate) admin: SocketAddr,
    /// Holds the configuration and what it names.
    pub(crate) folder: TempDir,
    /// Names of request headers that this configuration lets through besides the usual ones.
    forwarded: Vec<String>,
    /// Whether users' own tokens go on.
    passes_tokens: bool,
    /// Whether the audit file takes the records.
    audited: bool,
}

impl Rig {
    /// To be started with options.
    pub(crate) fn builder() -> Builder {
        Builder::new()
    }

    /// With the defaults of the rig, see [`Builder::new`].
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    /// Sends a call over a connection of its own and checks all that belongs to it.
    pub(crate) async fn call(&self, call: Call) -> Reply {
        self.try_call(call).await.unwrap()
    }

    /// The same, where the connection may end without an answer.
    pub(crate) async fn try_call(&self, call: Call) -> io::Result<Reply> {
        let reply = self.client.send(call.clone()).await?;
        self.check(&call, &reply);
        Ok(reply)
    }

    /// Sends all calls at once, each over a connection of its own; answers come in any order.
    pub(crate) async fn call_all(&self, calls: impl IntoIterator<Item = Call>) -> Vec<Reply> {
        let mut sending = JoinSet::new();
        for call in calls {
            let client = self.client.clone();
            sending.spawn(async move { (call.clone(), client.send(call).await.unwrap()) });
        }
        let answered = sending.join_all().await;
        for (call, reply) in &answered {
            self.check(call, reply);
        }
        answered.into_iter().map(|(_call, reply)| reply).collect()
    }

    /// A connection to keep, to the first listener. Answers over it are not checked:
    /// give them to [`Rig::check`].
    pub(crate) async fn connect(&self, version: Version) -> Connection {
        self.client.connect(version).await.unwrap()
    }

    /// Asks the admin listener.
    pub(crate) async fn ask_admin(&self, method: Method, target: &str) -> Reply {
        let client = Client::Tcp(self.admin);
        client.send(Call::new(method, target)).await.unwrap()
    }

    /// A file or folder of this rig's.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The audit records of the request that this was the answer to.
    pub(crate) fn records(&self, reply: &Reply) -> Vec<Record> {
        self.audit.of(reply.request_id())
    }

    /// What the vendor received of the request that this was the answer to.
    pub(crate) fn received(&self, reply: &Reply) -> Vec<Received> {
        let mut received = self.vendor.received();
        received.retain(|received| received.header("x-request-id") == Some(reply.request_id()));
        received
    }

    /// Holds an answer, its audit records and its requests to the vendor against the invariants.
    #[track_caller]
    pub(crate) fn check(&self, call: &Call, reply: &Reply) {
        invariants::check(self, call, reply);
    }
}
