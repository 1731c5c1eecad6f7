//! Who calls, known by what their connection proves.

mod certificates;
mod handshake;
mod rotation;
mod uid;

use std::{io, sync::Arc};

use http::Version;
use mfa_gateway::sandbox::certs::{Authority, Identity};
use rustls::{
    ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::aws_lc_rs,
    pki_types::ServerName,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Builder, Call, Client, Connection, Reply, Rig, recover};

const KEY: &str = "x-mfa-gateway-key";
const LOGIN: &str = "spiffe://example.org/ns/shop/sa/login";
const SHOP: &str = "shop.internal";

/// Three callers: one by SPIFFE ID, one by DNS name, one by token. Clients are believed that
/// `authority` signed.
fn three_callers(authority: &Authority) -> Builder {
    let builder = Rig::builder().tls();
    let ca = builder.file("client-ca.pem", authority.pem());
    let token = builder.file("desk-key", "the-key-of-the-desk\n");
    builder
        .set("limits.mode", "'observe'")
        .set("listen.tls.client_ca_file", &format!("'{ca}'"))
        .tables(&format!(
            "[[callers]]\nname = 'login'\nspiffe_id = '{LOGIN}'\n\
             [[callers]]\nname = 'shop'\ncertificate_dns = '{SHOP}'\n\
             [[callers]]\nname = 'desk'\ntoken_file = '{token}'\n"
        ))
}

/// How a client greets the gateway: with this certificate, and what it was told before.
struct Greeting(ClientConfig);

impl Greeting {
    fn new(rig: &Rig, identity: Option<&Identity>) -> Self {
        Self::in_version(rig, identity, ALL_VERSIONS)
    }

    fn in_version(
        rig: &Rig,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let Client::Tls(_address, authority) = &rig.client else {
            panic!("the rig has no TLS");
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Self(match identity {
            Some(identity) => builder
                .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())
                .unwrap(),
            None => builder.with_no_client_auth(),
        })
    }

    /// Sessions are remembered across connections.
    async fn connect(&self, rig: &Rig, version: Version) -> io::Result<TlsStream<TcpStream>> {
        self.connect_behind(rig, version, &[]).await
    }

    /// The same, where the connection begins with these bytes.
    async fn connect_behind(
        &self,
        rig: &Rig,
        version: Version,
        first: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let Client::Tls(address, _authority) = &rig.client else {
            panic!("the rig has no TLS");
        };
        let mut config = self.0.clone();
        config.alpn_protocols = match version {
            Version::HTTP_2 => vec![b"h2".to_vec()],
            _ => vec![b"http/1.1".to_vec()],
        };
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(first).await?;
        let connector = TlsConnector::from(Arc::new(config));
        connector
            .connect(ServerName::from(address.ip()), stream)
            .await
    }

    /// Sends a call over a connection of its own and holds the answer against the invariants.
    async fn call(&self, rig: &Rig, call: Call) -> io::Result<Reply> {
        let stream = self.connect(rig, call.version).await?;
        let mut connection = Connection::open(stream, call.version, "localhost".into()).await?;
        let reply = connection.send(call.clone()).await?;
        rig.check(&call, &reply);
        Ok(reply)
    }
}

fn guess() -> Call {
    recover("someone@acme.example", "wrong")
}

/// The caller's name in the records of the request that this was the answer to.
#[track_caller]
fn assert_called_by(rig: &Rig, reply: &Reply, name: &str) {
    assert_eq!(reply.code(), None, "{reply:?}");
    let records = rig.records(reply);
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!(record.0["unmapped"]["caller"], name);
    }
}

/// Fails unless the request was refused for its caller, and the vendor saw nothing of it.
#[track_caller]
fn assert_unknown(rig: &Rig, reply: &Reply) {
    reply.assert_refused(401, "caller-unknown");
    assert!(rig.received(reply).is_empty());
    assert_eq!(rig.records(reply).len(), 1);
}
