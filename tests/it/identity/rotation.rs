//! Everything that identifies someone is replaced while requests come, and none of them fails.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use http::{Method, Version};
use mfa_gateway::{
    route::Operation,
    sandbox::{
        certs::{Authority, Identity, LOOPBACK},
        vendor::Endpoint,
        world::seed,
    },
};
use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;

use super::{Greeting, KEY, LOGIN, assert_unknown, guess};
use crate::support::{Call, Rig, eventually, within};

const OLD_KEY: &str = "the-old-key-of-the-desk";
const NEW_KEY: &str = "the-new-key-of-the-desk";

/// A folder as Kubernetes mounts secrets: files behind a link, replaced all at once by renaming.
struct Mount {
    folder: PathBuf,
    version: usize,
}

impl Mount {
    fn new(folder: &Path, files: &[(&str, &str)]) -> Self {
        let mut mount = Self {
            folder: folder.to_owned(),
            version: 0,
        };
        fs::create_dir(folder).unwrap();
        mount.replace(files);
        mount
    }

    /// Where the files stand.
    fn path(folder: &Path, name: &str) -> String {
        folder.join("data").join(name).to_str().unwrap().to_owned()
    }

    fn replace(&mut self, files: &[(&str, &str)]) {
        self.version += 1;
        let next = self.folder.join(format!("v{}", self.version));
        fs::create_dir(&next).unwrap();
        for (name, text) in files {
            fs::write(next.join(name), text).unwrap();
        }
        let link = self.folder.join("next");
        symlink(&next, &link).unwrap();
        fs::rename(&link, self.folder.join("data")).unwrap();
    }
}

/// What is mounted at one time.
fn files<'a>(
    server: &'a Identity,
    clients: &'a str,
    keys: &'a str,
    api_key: &'a str,
) -> [(&'static str, &'a str); 5] {
    [
        ("tls.crt", &server.certificate_pem),
        ("tls.key", &server.key_pem),
        ("clients.pem", clients),
        ("desk-key", keys),
        ("api-key", api_key),
    ]
}

async fn rig(server: &Authority, mount: &Path) -> Rig {
    let at = |name| format!("'{}'", Mount::path(mount, name));
    Rig::builder()
        .set("listen.tls.certificate_file", &at("tls.crt"))
        .set("listen.tls.private_key_file", &at("tls.key"))
        .set("listen.tls.client_ca_file", &at("clients.pem"))
        .set("frontegg.api_key_file", &at("api-key"))
        .set("limits.mode", "'observe'")
        .set("subject.from", "'user-token'")
        .set("subject.user_token.issuer", "'{vendor}'")
        .set(
            "subject.user_token.audience",
            &format!("'{}'", seed::CLIENT_ID),
        )
        .tables(&format!(
            "[[callers]]\nname = 'login'\nspiffe_id = '{LOGIN}'\n\
             [[callers]]\nname = 'desk'\ntoken_file = {}\n",
            at("desk-key")
        ))
        .tls_of(Authority::from_key_pem("rig", &server.key_pem()).unwrap())
        .start()
        .await
}

/// What a client calls, each time anew.
type Calls = Box<dyn Fn(&Rig) -> Call + Send>;

/// One caller by certificate and one by key, with and without a user's token.
fn callers(rig: &Rig, login: &Identity, key: &'static str) -> Vec<(Greeting, Calls)> {
    let login = || Greeting::new(rig, Some(login));
    let desk = || Greeting::new(rig, None);
    vec![
        (login(), Box::new(|_rig| guess())),
        (
            desk(),
            Box::new(move |_rig| guess().header(KEY, key).http2()),
        ),
        (login(), Box::new(|rig| of_a_user(rig).http2())),
        (desk(), Box::new(move |rig| of_a_user(rig).header(KEY, key))),
    ]
}

/// A user's devices, by a token that was signed just now.
fn of_a_user(rig: &Rig) -> Call {
    let ada = rig.vendor.user(seed::ADA.id).unwrap();
    let claims = rig.vendor.claims(&ada, seed::ADA.tenant);
    let token = rig.vendor.mint(&claims).unwrap();
    Call::of(Operation::UserDevices).for_nobody().bearer(&token)
}

/// Clients that call without a pause, each over a new connection each time.
struct Load {
    goes_on: Arc<AtomicBool>,
    /// How often each has been answered.
    answers: Vec<Arc<AtomicUsize>>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(rig: &Arc<Rig>, greetings: Vec<(Greeting, Calls)>) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let mut answers = Vec::new();
        let mut clients = JoinSet::new();
        for (greeting, next) in greetings {
            let (rig, goes_on) = (Arc::clone(rig), Arc::clone(&goes_on));
            let answered = Arc::new(AtomicUsize::new(0));
            answers.push(Arc::clone(&answered));
            clients.spawn(async move {
                while goes_on.load(Ordering::Relaxed) {
                    let call = next(&rig);
                    let is_a_guess = call.method == Method::POST;
                    let reply = greeting.call(&rig, call).await.unwrap();
                    assert_eq!(reply.code(), None, "{reply:?}");
                    assert!(is_a_guess || reply.status == 200, "{reply:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self {
            goes_on,
            answers,
            clients,
        }
    }

    /// Waits for some more answers to each, so that what changed before was met by requests.
    async fn meets_it(&self) {
        for answered in &self.answers {
            let enough = answered.load(Ordering::Relaxed) + 3;
            eventually("more requests", || {
                (answered.load(Ordering::Relaxed) >= enough).then_some(())
            })
            .await;
        }
    }

    /// Ends it; a request that failed fails the test here.
    async fn end(self) {
        self.meets_it().await;
        self.goes_on.store(false, Ordering::Relaxed);
        self.clients.join_all().await;
    }
}

#[tokio::test]
async fn certificates_keys_of_all_kinds_and_the_api_key_are_replaced_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let server = Authority::new("rig").unwrap();
    let [first, second] = [(); 2].map(|()| server.issue(LOOPBACK).unwrap());
    let [old, new] = ["old", "new"].map(|name| Authority::new(name).unwrap());
    let both = format!("{}{}", old.pem(), new.pem());
    let mount_path = folder.path().join("mount");
    let before = files(&first, old.pem(), OLD_KEY, seed::SECRET);
    let mut mount = Mount::new(&mount_path, &before);
    let rig = Arc::new(rig(&server, &mount_path).await);
    let login = |authority: &Authority| authority.issue_client(&[LOGIN], &[], None).unwrap();
    let [old_login, new_login] = [&old, &new].map(login);

    // both are believed from here on, the vendor takes the new API key alone, and signs users'
    // tokens with another key
    let load = Load::start(&rig, callers(&rig, &old_login, OLD_KEY));
    load.meets_it().await;
    let keys = format!("{OLD_KEY}\n{NEW_KEY}\n");
    mount.replace(&files(&second, &both, &keys, "another-api-key"));
    rig.vendor.rotate_secret("another-api-key");
    rig.vendor.rotate_user_keys();
    rig.gateway.logged("configuration reloaded", 1).await;
    within(
        "a token for it",
        rig.vendor.until(|vendor| vendor.tokens_issued() > 1),
    )
    .await;
    within(
        "the users' new keys",
        rig.vendor.until(|vendor| vendor.count(Endpoint::Jwks) > 1),
    )
    .await;
    load.meets_it().await;
    let stale = Greeting::new(&rig, Some(&old_login));
    stale.call(&rig, guess()).await.unwrap();
    load.end().await;

    // the clients have changed over, and the old ones are believed no longer
    let load = Load::start(&rig, callers(&rig, &new_login, NEW_KEY));
    load.meets_it().await;
    mount.replace(&files(&second, new.pem(), NEW_KEY, "another-api-key"));
    rig.gateway.logged("configuration reloaded", 2).await;
    load.end().await;

    let refused = Greeting::new(&rig, None)
        .call(&rig, guess().header(KEY, OLD_KEY))
        .await;
    assert_unknown(&rig, &refused.unwrap());
    // neither greeted anew nor by the session of before
    let fresh = Greeting::new(&rig, Some(&old_login));
    for greeting in [fresh, stale] {
        assert!(greeting.call(&rig, guess()).await.is_err());
    }
    assert_eq!(shown(&rig).await, second.certificate);
}

/// The certificate that the gateway shows now.
async fn shown(rig: &Rig) -> CertificateDer<'static> {
    let greeting = Greeting::new(rig, None);
    let stream = greeting.connect(rig, Version::HTTP_11).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone()
}
