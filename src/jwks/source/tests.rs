//! Fetching over real sockets: a URL, and a cluster's API server.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use super::{super::now, *};
use crate::{
    jwt::testing::Issuer,
    net::testing::{Ca, Server, answer_all, ok, read_request},
};
use tokio::io::AsyncWriteExt;

async fn answering(ca: &Ca, answer: String) -> Server {
    Server::tls(ca.server("127.0.0.1"), move |_number, stream| {
        let answer = answer.clone();
        async move { answer_all(stream, &answer, |_request| ()).await }
    })
    .await
}

fn url(server: &Server) -> KeySource {
    let url = format!("https://{}/.well-known/jwks.json", server.address);
    KeySource::Url(url.parse().unwrap())
}

#[tokio::test]
async fn keys_are_fetched_over_verified_tls() {
    let (ca, issuer) = (Ca::new(), Issuer::p256("1"));
    let server = answering(&ca, ok(&issuer.jwks())).await;
    let vendor = ca.settings(server.address);
    let mut place = Place::of_users(&url(&server), &vendor).unwrap();
    assert_eq!(place.fetch().await.unwrap().keys.count(), 1);

    let stranger = Ca::named("another").settings(server.address);
    let mut place = Place::of_users(&url(&server), &stranger).unwrap();
    let error = place.fetch().await.unwrap_err();
    assert!(matches!(error, FetchError::Connect(_)));
    assert!(error.to_string().contains("frontegg.ca_file"), "{error}");
}

#[tokio::test]
async fn what_are_no_keys_is_told_apart() {
    let ca = Ca::new();
    let elsewhere =
        "HTTP/1.1 302 Found\r\nlocation: https://elsewhere/\r\ncontent-length: 0\r\n\r\n";
    for (answer, expected) in [
        (elsewhere.to_owned(), "answered 302 Found"),
        (elsewhere.replace("302 Found", "503 Away"), "answered 503"),
        (ok("<html>"), "no JSON object with a list 'keys'"),
        (
            ok(r#"{"keys":[{"kty":"oct"}]}"#),
            "of its 1 keys none can be used",
        ),
        (ok(&" ".repeat(LONGEST + 1)), "length limit exceeded"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n".to_owned(),
            "broke off",
        ),
    ] {
        let cut = answer.ends_with("10\r\n\r\n");
        let server = Server::tls(ca.server("127.0.0.1"), move |_number, mut stream| {
            let answer = answer.clone();
            async move {
                read_request(&mut stream).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                if cut {
                    stream.shutdown().await.unwrap();
                }
                read_request(&mut stream).await;
            }
        })
        .await;
        let vendor = ca.settings(server.address);
        let mut place = Place::of_users(&url(&server), &vendor).unwrap();
        let error = place.fetch().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// An API server that wants a token, and what it was asked.
async fn api_server(ca: &Ca, jwks_uri: String, keys: String) -> (Server, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    let server = Server::tls(ca.server("127.0.0.1"), move |_number, mut stream| {
        let (heard, jwks_uri, keys) = (Arc::clone(&heard), jwks_uri.clone(), keys.clone());
        async move {
            let request = read_request(&mut stream).await.unwrap();
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let answer = match path.as_str() {
                "/.well-known/openid-configuration" => {
                    let jwks_uri = jwks_uri.as_str();
                    ok(
                        &serde_json::json!({"issuer": "https://cluster", "jwks_uri": jwks_uri})
                            .to_string(),
                    )
                }
                CLUSTER_KEYS => ok(&keys),
                _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
            };
            heard.lock().unwrap().push(request);
            stream.write_all(answer.as_bytes()).await.unwrap();
            read_request(&mut stream).await;
        }
    })
    .await;
    (server, seen)
}

fn cluster(ca: &Ca, server: &Server, token_file: &Path) -> Kubernetes {
    Kubernetes {
        audience: "mfa-gateway".to_owned(),
        issuer: None,
        keys: None,
        roots: ca.settings(server.address).roots,
        token_file: Some(token_file.to_owned()),
    }
}

fn place(settings: &Kubernetes, server: &Server) -> Place {
    let address = server.address;
    let variable = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some(address.ip().to_string()),
        "KUBERNETES_SERVICE_PORT" => Some(address.port().to_string()),
        _ => None,
    };
    Place::of_cluster(settings, Duration::from_secs(5), variable).unwrap()
}

#[tokio::test]
async fn a_cluster_is_asked_with_our_own_token_which_goes_nowhere_else() {
    let (ca, issuer) = (Ca::new(), Issuer::p256("1"));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let elsewhere = "https://keys.elsewhere.example/jwks".to_owned();
    let (server, seen) = api_server(&ca, elsewhere, issuer.jwks()).await;
    let mut place = place(&cluster(&ca, &server, &token), &server);
    assert!(matches!(place.fetch().await, Err(FetchError::File { .. })));
    for text in ["our-token", "our-token-renewed"] {
        fs::write(&token, format!("{text}\n")).unwrap();
        let published = place.fetch().await.unwrap();
        assert_eq!(published.issuer.as_deref(), Some("https://cluster"));
        let asked = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(asked.len(), 2);
        for request in asked {
            assert!(request.contains(&format!("authorization: Bearer {text}\r\n")));
        }
    }
    // another host is not shown it
    let other = answering(&ca, ok(&issuer.jwks())).await;
    let given = Kubernetes {
        issuer: Some("i".to_owned()),
        keys: Some(url(&other)),
        ..cluster(&ca, &server, &token)
    };
    let Place::Url(host, _uri) = self::place(&given, &server) else {
        panic!("it is a URL");
    };
    assert_eq!(host.token_file, None);
    let Place::Url(host, _uri) = self::place(&given, &other) else {
        panic!("it is a URL");
    };
    assert_eq!(host.token_file.as_deref(), Some(&*token));
}

#[tokio::test]
async fn a_clusters_service_account_is_verified_with_what_was_discovered() {
    use super::super::{Keeper, Patience, Verifier};
    use crate::{
        jwt::ServiceAccountToken,
        model::{Deadline, Signature},
    };
    let (ca, issuer) = (Ca::new(), Issuer::rsa("1"));
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    fs::write(&token_file, "our-token").unwrap();
    let (server, _seen) = api_server(&ca, "not even a URI".to_owned(), issuer.jwks()).await;
    let place = place(&cluster(&ca, &server, &token_file), &server);
    let (keys, keeper) = Keeper::new(place, "kubernetes", Duration::from_secs(5));
    tokio::spawn(keeper.run());
    let audience = "mfa-gateway".to_owned();
    let verifier: Verifier<ServiceAccountToken> =
        Verifier::new(keys, None, audience, Signature::ALL.to_vec());
    for (iss, good) in [("https://cluster", true), ("https://another", false)] {
        let token = issuer.sign(&serde_json::json!({
            "iss": iss, "aud": ["mfa-gateway"], "exp": now().saturating_add(600),
            "sub": "system:serviceaccount:shop:login",
            "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "login"}},
        }));
        let verified = verifier
            .verify(
                &token,
                Patience::Until(Deadline::after(Duration::from_secs(5))),
            )
            .await;
        assert_eq!(verified.is_ok(), good, "{iss}");
    }
}

#[test]
fn every_pod_is_told_where_the_api_server_is() {
    let at = |host: &'static str, port: &'static str| {
        let variable = move |name: &str| {
            let value = match name {
                "KUBERNETES_SERVICE_HOST" => host,
                "KUBERNETES_SERVICE_PORT" => port,
                _ => "",
            };
            Some(value.to_owned())
        };
        super::api_server(variable).map(|authority| authority.to_string())
    };
    assert_eq!(at("10.0.0.1", "6443").unwrap(), "10.0.0.1:6443");
    assert_eq!(at("fd00::1", "443").unwrap(), "[fd00::1]:443");
    assert_eq!(at("10.0.0.1", "").unwrap(), "10.0.0.1:443");
    assert_eq!(at("", "6443").unwrap(), "kubernetes.default.svc");
    assert!(at("a b", "1").is_err());
}
