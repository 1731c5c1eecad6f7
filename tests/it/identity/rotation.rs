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

use http::Version;
use mfa_gateway::sandbox::{
    certs::{Authority, Identity, LOOPBACK},
    world::seed,
};
use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;

use super::{Greeting, KEY, LOGIN, assert_unknown, guess};
use crate::support::{Call, Rig, eventually, within};

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
        .tables(&format!(
            "[[callers]]\nname = 'login'\nspiffe_id = '{LOGIN}'\n\
             [[callers]]\nname = 'desk'\ntoken_file = {}\n",
            at("desk-key")
        ))
        .tls_of(Authority::from_key_pem("rig", &server.key_pem()).unwrap())
        .start()
        .await
}

/// Clients that call without a pause, each over a new connection each time.
struct Load {
    goes_on: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(rig: &Arc<Rig>, greetings: Vec<(Greeting, Call)>) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let calls = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for (greeting, call) in greetings {
            let (rig, goes_on, calls) = (Arc::clone(rig), Arc::clone(&goes_on), Arc::clone(&calls));
            clients.spawn(async move {
                while goes_on.load(Ordering::Relaxed) {
                    let reply = greeting.call(&rig, call.clone()).await.unwrap();
                    assert_eq!(reply.code(), None, "{reply:?}");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self {
            goes_on,
            calls,
            clients,
        }
    }

    /// Waits for some more answers, so that what changed before was met by requests.
    async fn meets_it(&self) {
        let enough = self.calls.load(Ordering::Relaxed) + 8;
        eventually("more requests", || {
            (self.calls.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
    }

    /// Ends it; a request that failed fails the test here.
    async fn end(self) {
        self.meets_it().await;
        self.goes_on.store(false, Ordering::Relaxed);
        self.clients.join_all().await;
    }
}

#[tokio::test]
async fn certificates_keys_and_the_api_key_are_replaced_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let server = Authority::new("rig").unwrap();
    let [first, second] = [(); 2].map(|()| server.issue(LOOPBACK).unwrap());
    let [old, new] = ["old", "new"].map(|name| Authority::new(name).unwrap());
    let both = format!("{}{}", old.pem(), new.pem());
    let mount_path = folder.path().join("mount");
    let before = files(&first, old.pem(), "the-old-key-of-the-desk\n", seed::SECRET);
    let mut mount = Mount::new(&mount_path, &before);
    let rig = Arc::new(rig(&server, &mount_path).await);
    let login = |authority: &Authority| authority.issue_client(&[LOGIN], &[], None).unwrap();
    let [old_login, new_login] = [&old, &new].map(login);
    let [old_desk, new_desk] =
        ["the-old-key-of-the-desk", "the-new-key-of-the-desk"].map(|key| guess().header(KEY, key));

    // both are believed from here on, and the vendor takes the new API key alone
    let load = Load::start(
        &rig,
        vec![
            (Greeting::new(&rig, Some(&old_login)), guess()),
            (Greeting::new(&rig, None), old_desk.clone().http2()),
        ],
    );
    load.meets_it().await;
    let keys = "the-old-key-of-the-desk\nthe-new-key-of-the-desk\n";
    mount.replace(&files(&second, &both, keys, "another-api-key"));
    rig.vendor.rotate_secret("another-api-key");
    rig.gateway.logged("configuration reloaded", 1).await;
    within(
        "a token for it",
        rig.vendor.until(|vendor| vendor.tokens_issued() > 1),
    )
    .await;
    load.meets_it().await;
    let stale = Greeting::new(&rig, Some(&old_login));
    stale.call(&rig, guess()).await.unwrap();
    load.end().await;

    // the clients have changed over, and the old ones are believed no longer
    let load = Load::start(
        &rig,
        vec![
            (Greeting::new(&rig, Some(&new_login)), guess().http2()),
            (Greeting::new(&rig, None), new_desk),
        ],
    );
    load.meets_it().await;
    let keys = "the-new-key-of-the-desk\n";
    mount.replace(&files(&second, new.pem(), keys, "another-api-key"));
    rig.gateway.logged("configuration reloaded", 2).await;
    load.end().await;

    let refused = Greeting::new(&rig, None).call(&rig, old_desk).await;
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
