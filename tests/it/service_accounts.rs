//! Callers that are known by their Kubernetes service account, with keys that the cluster is
//! asked for.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use mfa_gateway::{
    route::Operation,
    sandbox::certs::{Authority, LOOPBACK},
};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::support::{Builder, Call, Rig, eventually, within};

const KEY: &str = "x-mfa-gateway-key";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const OURS: &str = "the-gateways-own-token";

/// A cluster's API server, and who signs its service accounts' tokens.
struct Cluster {
    address: std::net::SocketAddr,
    authority: Authority,
    signer: Arc<Mutex<Signer>>,
    asked: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

struct Signer {
    id: u32,
    key: EncodingKey,
}

impl Signer {
    fn new(id: u32) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { id, key }
    }

    fn keys(&self) -> Value {
        let mut public = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        public.common.key_id = Some(self.id.to_string());
        json!({ "keys": [public] })
    }
}

impl Cluster {
    async fn start() -> Self {
        let authority = Authority::new("the cluster's CA").unwrap();
        let identity = authority.issue(LOOPBACK).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate], identity.key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let signer = Arc::new(Mutex::new(Signer::new(1)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut server = JoinSet::new();
        let (keys, log) = (Arc::clone(&signer), Arc::clone(&asked));
        server.spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(tls));
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                let (acceptor, keys, log) = (acceptor.clone(), Arc::clone(&keys), Arc::clone(&log));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(|request: Request<Incoming>| {
                        let answer = answer(&request, &keys, &log);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    let connection = http1::Builder::new();
                    let served = connection.serve_connection(TokioIo::new(stream), service);
                    served.await.unwrap_or_default();
                });
            }
        });
        Self {
            address,
            authority,
            signer,
            asked,
            _server: server,
        }
    }

    /// A gateway in this cluster, with one caller of its own.
    fn gateway(&self) -> Builder {
        let builder = Rig::builder().all_routes();
        let ca = builder.file("cluster-ca.pem", self.authority.pem());
        let token = builder.file("our-token", OURS);
        builder
            .env("KUBERNETES_SERVICE_HOST", &self.address.ip().to_string())
            .env("KUBERNETES_SERVICE_PORT", &self.address.port().to_string())
            .set("kubernetes.ca_file", &format!("'{ca}'"))
            .set("kubernetes.token_file", &format!("'{token}'"))
            .tables(
                "[[callers]]\nname = 'login'\nservice_account = 'shop/login'\n\
                 operations = ['recover']\n\
                 [[callers]]\nname = 'desk'\ntoken = 'a.secret.with-two-dots'\n",
            )
    }

    /// A projected token, changed as a test likes.
    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({
            "iss": ISSUER, "aud": ["mfa-gateway"], "iat": now, "nbf": now, "exp": now + 3_600,
            "sub": "system:serviceaccount:shop:login",
            "kubernetes.io": {
                "namespace": "shop",
                "serviceaccount": {"name": "login", "uid": "0"},
                "pod": {"name": "login-0", "uid": "1"},
            },
        });
        change(&mut claims);
        let signer = self.signer.lock().unwrap();
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(signer.id.to_string());
        encode(&header, &claims, &signer.key).unwrap()
    }
}

fn answer(
    request: &Request<Incoming>,
    signer: &Mutex<Signer>,
    asked: &Mutex<Vec<String>>,
) -> Response<Full<Bytes>> {
    asked.lock().unwrap().push(request.uri().path().to_owned());
    let expected = format!("Bearer {OURS}");
    let mut response = Response::new(Full::default());
    if request
        .headers()
        .get(AUTHORIZATION)
        .is_none_or(|shown| *shown != *expected)
    {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return response;
    }
    let body = match request.uri().path() {
        "/.well-known/openid-configuration" => json!({
            "issuer": ISSUER,
            // an address of the API server that this pod can't reach
            "jwks_uri": "https://192.0.2.1:6443/openid/v1/jwks",
            "response_types_supported": ["id_token"],
        }),
        "/openid/v1/jwks" => signer.lock().unwrap().keys(),
        _ => Value::Null,
    };
    *response.body_mut() = Full::from(body.to_string());
    response
}

fn recover(key: &str) -> Call {
    Call::of(Operation::Recover).header(KEY, key)
}

#[tokio::test]
async fn a_service_accounts_token_names_its_caller() {
    let cluster = Cluster::start().await;
    let rig = cluster.gateway().start().await;
    for _ in 0..2 {
        let token = cluster.token(|_claims| ());
        let reply = rig.call(recover(&token)).await;
        assert_eq!(reply.code(), None, "{reply:?}");
        for record in rig.records(&reply) {
            assert_eq!(record.0["unmapped"]["caller"], "login");
        }
        for (_name, value) in &rig.received(&reply)[0].headers {
            assert!(!value.to_str().unwrap().contains(&token), "it left");
        }
    }
    let other = Call::of(Operation::UserDevices).header(KEY, &cluster.token(|_claims| ()));
    rig.call(other)
        .await
        .assert_refused(403, "caller-not-allowed");
    let desk = rig.call(recover("a.secret.with-two-dots")).await;
    assert_eq!(desk.code(), None);
    let asked = cluster.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        ["/.well-known/openid-configuration", "/openid/v1/jwks"]
    );
}

#[tokio::test]
async fn any_other_token_names_nobody() {
    type Change = fn(&mut Value);
    let cluster = Cluster::start().await;
    let rig = cluster.gateway().start().await;
    let changes: [Change; 10] = [
        |claims| claims["sub"] = json!("system:serviceaccount:shop:other"),
        |claims| claims["sub"] = json!("system:serviceaccount:other:login"),
        |claims| claims["sub"] = json!("system:node:shop:login"),
        |claims| claims["kubernetes.io"]["namespace"] = json!("other"),
        |claims| claims["kubernetes.io"] = json!({}),
        |claims| claims["aud"] = json!(["https://kubernetes.default.svc"]),
        |claims| claims["iss"] = json!("https://another.example"),
        |claims| claims["exp"] = json!(claims["iat"].as_i64().unwrap() - 31),
        |claims| claims["nbf"] = json!(claims["iat"].as_i64().unwrap() + 60),
        |claims| drop(claims.as_object_mut().unwrap().remove("exp")),
    ];
    let both = |claims: &mut Value| {
        claims["sub"] = json!("system:serviceaccount:shop:other");
        claims["kubernetes.io"]["serviceaccount"]["name"] = json!("other");
    };
    let mut tokens: Vec<String> = changes.map(|change| cluster.token(change)).into();
    let good = cluster.token(|_claims| ());
    let (signed, _proof) = good.rsplit_once('.').unwrap();
    tokens.extend([
        cluster.token(both),
        signed.to_owned(),
        format!("{signed}."),
        format!("{signed}.AAAA"),
        "a.b.c".to_owned(),
        format!("{good}."),
    ]);
    for token in tokens {
        let reply = rig.call(recover(&token)).await;
        reply.assert_refused(401, "caller-unknown");
    }
    let doubled = recover(&good).also(KEY, &good);
    rig.call(doubled)
        .await
        .assert_refused(401, "caller-unknown");
    // Authorization is the user's
    let misplaced = Call::of(Operation::Recover).bearer(&good);
    rig.call(misplaced)
        .await
        .assert_refused(401, "caller-unknown");
}

#[tokio::test]
async fn the_clusters_keys_are_rotated_without_an_error() {
    let cluster = Cluster::start().await;
    let rig = cluster.gateway().start().await;
    let old = cluster.token(|_claims| ());
    assert_eq!(rig.call(recover(&old)).await.code(), None);
    *cluster.signer.lock().unwrap() = Signer::new(2);
    let new = cluster.token(|_claims| ());
    assert_eq!(rig.call(recover(&new)).await.code(), None);
    let reply = rig.call(recover(&old)).await;
    reply.assert_refused(401, "caller-unknown");
}

#[tokio::test]
async fn issuer_and_keys_may_be_given_without_asking_the_cluster() {
    let cluster = Cluster::start().await;
    let keys = cluster.signer.lock().unwrap().keys().to_string();
    let builder = cluster.gateway();
    let file = builder.file("jwks.json", &keys);
    let rig = builder
        .set("kubernetes.issuer", &format!("'{ISSUER}'"))
        .set("kubernetes.jwks_file", &format!("'{file}'"))
        .start()
        .await;
    let reply = rig.call(recover(&cluster.token(|_claims| ()))).await;
    assert_eq!(reply.code(), None, "{reply:?}");
    assert!(cluster.asked.lock().unwrap().is_empty());

    let address = cluster.address;
    let rig = cluster
        .gateway()
        .set("kubernetes.issuer", &format!("'{ISSUER}'"))
        .set(
            "kubernetes.jwks_url",
            &format!("'https://{address}/openid/v1/jwks'"),
        )
        .start()
        .await;
    let reply = rig.call(recover(&cluster.token(|_claims| ()))).await;
    assert_eq!(reply.code(), None, "{reply:?}");
}

#[tokio::test]
async fn while_the_cluster_is_away_only_its_accounts_wait() {
    let cluster = Cluster::start().await;
    let token = cluster.token(|_claims| ());
    let rig = cluster
        .gateway()
        .env("KUBERNETES_SERVICE_PORT", "1")
        .start()
        .await;
    let reply = rig.call(recover(&token)).await;
    reply.assert_refused(503, "keys-unavailable");
    let desk = rig.call(recover("a.secret.with-two-dots")).await;
    assert_eq!(desk.code(), None);
}

#[tokio::test]
async fn the_clusters_ca_is_replaced_without_a_restart() {
    let cluster = Cluster::start().await;
    let builder = cluster.gateway();
    let other = Authority::new("another").unwrap();
    let ca = builder.file("other-ca.pem", other.pem());
    let rig = builder
        .set("kubernetes.ca_file", &format!("'{ca}'"))
        .start()
        .await;
    let token = cluster.token(|_claims| ());
    let reply = rig.call(recover(&token)).await;
    reply.assert_refused(503, "keys-unavailable");
    let before = rig.events().len();
    std::fs::rename(rig.path("cluster-ca.pem"), ca).unwrap();
    let look = || rig.events().into_iter().nth(before);
    let (name, what) = eventually("a record of the reload", look).await;
    assert_eq!(
        (name.as_str(), &what["keys"]),
        ("reload", &json!(["kubernetes.ca_file"]))
    );
    assert_eq!(rig.call(recover(&token)).await.code(), None);
}

#[tokio::test]
async fn while_the_cluster_hangs_nobody_unknown_keeps_a_place_for_long() {
    let cluster = Cluster::start().await;
    let token = cluster.token(|_claims| ());
    // it takes connections and says nothing
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let rig = cluster
        .gateway()
        .env("KUBERNETES_SERVICE_PORT", &port)
        .set("frontegg.connect_timeout", "'1m'")
        .set("frontegg.request_timeout", "'5m'")
        .start()
        .await;
    let answer = Box::pin(rig.call(recover(&token)));
    let reply = within("an answer", answer).await;
    reply.assert_refused(503, "keys-unavailable");
    let desk = rig.call(recover("a.secret.with-two-dots")).await;
    assert_eq!(desk.code(), None);
}
