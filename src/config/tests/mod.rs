//! The whole way from what is written to what it means.

mod changes;
mod mistakes;
mod secrets;
mod shipped;
mod warnings;

use std::{collections::BTreeMap, ffi::OsString, fs, path::PathBuf};

use tempfile::TempDir;

use super::*;

/// Must never be seen in any output.
const CANARY: &str = "canary-5up3r-s3cr3t";

/// A folder with a CA, and a configuration that is right.
struct World {
    folder: TempDir,
    sources: Sources,
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
        fs::write(
            folder.path().join("key.pem"),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
        let mut world = Self {
            folder,
            sources: Sources::default(),
        };
        let ca = world.path("ca.pem");
        world.file(
            "base.toml",
            &format!(
                "[frontegg]\nclient_id = \"{CANARY}\"\napi_key = \"{CANARY}\"\nca_file = {ca:?}\n[audit]\nkey = \"{CANARY}\"\n"
            ),
        );
        world
    }

    /// Adds a file on top.
    fn file(&mut self, name: &str, text: &str) -> &mut Self {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        self.sources.files.push(path);
        self
    }

    fn set(&mut self, assignment: &str) -> &mut Self {
        self.sources.set.push(assignment.to_owned());
        self
    }

    fn variable(&mut self, name: &str, value: &str) -> &mut Self {
        self.sources.environment.insert(name.into(), value.into());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Loaded {
        load(&self.sources).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn problems(&self) -> Problems {
        load(&self.sources).map(|_loaded| ()).unwrap_err()
    }
}

fn origin_of(loaded: &Loaded, key: &str) -> Origin {
    loaded.entries.at(key).unwrap().origin.clone()
}

#[test]
fn the_defaults_are_right_but_for_what_only_the_operator_knows() {
    let problems = load(&Sources::default()).map(|_loaded| ()).unwrap_err();
    let keys: Vec<_> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    let needed = ["frontegg.client_id", "frontegg.api_key", "audit.key"];
    assert_eq!(
        keys.iter()
            .filter(|key| **key != "frontegg.ca_file")
            .collect::<Vec<_>>(),
        needed.iter().collect::<Vec<_>>()
    );
    let settings = World::new().load().settings;
    assert_eq!(settings.frontegg.identity, "api.frontegg.com");
    assert_eq!(
        settings.frontegg.auth,
        "https://api.frontegg.com/auth/vendor/"
    );
    assert!(
        settings
            .routes
            .allowed
            .contains(&crate::route::Operation::Recover)
    );
    assert!(
        !settings
            .routes
            .allowed
            .contains(&crate::route::Operation::UserDisable)
    );
    assert_eq!(settings.limits.upstream.len(), 2);
    let optional: Vec<_> = settings.listen[0]
        .addresses
        .iter()
        .map(|bind| matches!(bind, Bind::Tcp { optional: true, .. }))
        .collect();
    assert_eq!(optional, [false, true]);
}

#[test]
fn later_layers_win() {
    let mut world = World::new();
    let region = |world: &World| {
        let loaded = world.load();
        let origin = origin_of(&loaded, "frontegg.region").to_string();
        (loaded.settings.frontegg.region.as_str(), origin)
    };
    assert_eq!(region(&world), ("eu", "default".into()));
    world.file("one.yaml", "frontegg:\n  region: us\n");
    let one = format!("{}:2", world.path("one.yaml").display());
    assert_eq!(region(&world), ("us", one));
    world.file("two.json", "{\"frontegg\": {\"region\": \"ca\"}}");
    let two = format!("{}:1", world.path("two.json").display());
    assert_eq!(region(&world), ("ca", two));
    world.variable("FRONTEGG_REGION", "au");
    assert_eq!(region(&world), ("au", "FRONTEGG_REGION".into()));
    world.variable("MFA_GATEWAY__FRONTEGG__REGION", "us");
    assert_eq!(
        region(&world),
        ("us", "MFA_GATEWAY__FRONTEGG__REGION".into())
    );
    world.set("frontegg.region=eu");
    assert_eq!(region(&world), ("eu", "--set".into()));
}

#[test]
fn variables_are_read_as_what_is_meant() {
    let mut world = World::new();
    world
        .variable("MFA_GATEWAY__FRONTEGG__ENVIRONMENT_ID", "0123")
        .variable("MFA_GATEWAY__LISTEN__ADDRESS", "127.0.0.1:1, [::1]:1")
        .variable("MFA_GATEWAY__LISTEN__MAX_BODY", "1MiB")
        .variable("MFA_GATEWAY__FRONTEGG__HTTP2", "true")
        .variable(
            "MFA_GATEWAY__LIMITS__EMAIL__QUOTAS",
            "[{\"attempts\": 2, \"per\": \"1h\"}]",
        )
        .variable(
            "MFA_GATEWAY__CALLERS",
            "[{ name = \"a\", token = \"0123456789abcdef\" }]",
        )
        // Kubernetes sets these beside a Service of our name.
        .variable("MFA_GATEWAY_PORT", "tcp://10.0.0.1:8080")
        .variable("MFA_GATEWAY_SERVICE_HOST", "10.0.0.1")
        .set("limits.upstream.\"login.email.verify\".attempts=7")
        .set("limits.upstream.recover={ attempts = 3 }");
    let settings = world.load().settings;
    assert_eq!(settings.frontegg.environment_id.unwrap(), "0123");
    assert_eq!(settings.listen[0].addresses.len(), 2);
    assert_eq!(settings.listen[0].max_body, 1_048_576);
    assert!(settings.frontegg.http2);
    assert_eq!(settings.limits.email.quotas[0].attempts().get(), 2);
    assert_eq!(settings.callers[0].name.as_str(), "a");
    let upstream: BTreeMap<_, _> = settings
        .limits
        .upstream
        .iter()
        .map(|(operation, policy)| (operation.name(), policy.quotas[0].attempts().get()))
        .collect();
    assert_eq!(
        upstream,
        BTreeMap::from([
            ("login.email.verify", 7),
            ("login.verify", 10),
            ("recover", 3)
        ])
    );
}

#[test]
fn of_a_secret_and_its_file_the_later_layer_wins() {
    let mut world = World::new();
    let key = world.path("key.txt");
    fs::write(&key, "from-a-file\n").unwrap();
    world.variable("MFA_GATEWAY__FRONTEGG__API_KEY_FILE", key.to_str().unwrap());
    let source = world.load().settings.frontegg.api_key;
    assert!(matches!(source, SecretSource::File(path) if path == key));
    world.set("frontegg.api_key=inline");
    assert!(matches!(
        world.load().settings.frontegg.api_key,
        SecretSource::Inline(_)
    ));
    world.set(&format!("frontegg.api_key_file={}", key.display()));
    let problems = world.problems();
    assert_eq!(problems.iter().next().unwrap().key, "frontegg.api_key_file");
}

#[test]
fn a_secret_and_its_file_in_one_layer_are_told_although_a_later_layer_wins() {
    let mut world = World::new();
    world.file(
        "both.toml",
        "[frontegg]\napi_key = \"a\"\napi_key_file = \"/nowhere\"\n",
    );
    world.set("frontegg.api_key=x");
    let problems = world.problems();
    assert_eq!(problems.len(), 1, "{problems}");
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.key, "frontegg.api_key_file");
    let place = format!("{}:3", world.path("both.toml").display());
    assert_eq!(problem.origin.to_string(), place);
}

#[test]
fn a_section_of_yaml_whose_keys_are_all_commented_out_is_empty() {
    let mut world = World::new();
    world.file(
        "null.yaml",
        "listen:\ncallers:\nlimits:\n  email:\n  upstream:\n    login.sms.verify:\n",
    );
    assert_eq!(world.load().settings.limits.upstream.len(), 3);
    world.file("key.yaml", "limits:\n  key:\n");
    let problems = world.problems();
    assert_eq!(problems.iter().next().unwrap().key, "limits.key");
}

#[test]
fn several_listeners_each_have_the_defaults() {
    let mut world = World::new();
    world.file(
        "listen.toml",
        "[[listen]]\naddress = \"unix:/run/g.sock\"\n[[listen]]\naddress = \"127.0.0.1:1\"\nmax_headers = 20\n",
    );
    let listen = world.load().settings.listen;
    assert_eq!(
        (listen.len(), listen[0].max_headers, listen[1].max_headers),
        (2, 100, 20)
    );
    world.set("listen.max_headers=30");
    let problems = world.problems();
    let problem = problems.iter().next().unwrap();
    assert_eq!(
        (problem.key.as_str(), problem.origin.layer()),
        ("listen.max_headers", "set")
    );
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let mut world = World::new();
    world
        .file(
            "a.toml",
            "[listen]\nmax_body = 1\n\n[frontegg]\nregoin = \"us\"\n",
        )
        .file(
            "b.yaml",
            "audit:\n  output: stdout\n  durability: [written]\n",
        )
        .file("c.json", "{\n \"admin\": {\n  \"quit\": \"yes\"}}")
        .file("d.toml", "broken")
        .file("e.conf", "")
        .variable("MFA_GATEWAY__SHUTDOWN__DELAY", "soon")
        .set("frontegg.http2=maybe")
        .set("nonsense");
    world.sources.files.push("/nowhere.toml".into());
    world
        .sources
        .environment
        .insert("MFA_GATEWAY__ADMIN__ADDRESS".into(), not_utf8());
    let problems = world.problems();
    let place = |name: &str, line| format!("{}:{line}", world.path(name).display());
    let told: Vec<_> = problems
        .iter()
        .map(|problem| (problem.key.as_str(), problem.origin.to_string()))
        .collect();
    for expected in [
        ("listen.max_body", place("a.toml", 2)),
        ("frontegg.regoin", place("a.toml", 5)),
        ("audit.durability", place("b.yaml", 3)),
        ("admin.quit", place("c.json", 3)),
        ("", place("d.toml", 1)),
        ("", world.path("e.conf").display().to_string()),
        ("", "/nowhere.toml".into()),
        ("", "MFA_GATEWAY__ADMIN__ADDRESS".into()),
        ("shutdown.delay", "MFA_GATEWAY__SHUTDOWN__DELAY".into()),
        ("frontegg.http2", "--set".into()),
        ("", "--set".into()),
    ] {
        assert!(
            told.contains(&expected),
            "{expected:?} is missing:\n{problems}"
        );
    }
    assert_eq!(told.len(), 11, "{problems}");
}

fn not_utf8() -> OsString {
    use std::os::unix::ffi::OsStringExt as _;
    OsString::from_vec(vec![0xff])
}

#[test]
fn what_is_shown_can_be_loaded_and_names_its_layer() {
    let mut world = World::new();
    world.file("listen.toml", "[[listen]]\naddress = \"unix:/run/g.sock\"\n[[listen]]\naddress = \"127.0.0.1:1\"\n[[callers]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\n");
    let loaded = world.load();
    let shown = loaded.show_toml();
    assert!(
        shown.contains("region = \"eu\"                                # default"),
        "{shown}"
    );
    assert!(shown.contains("listen.toml:4"), "{shown}");
    let mut again = World::new();
    again.file("shown.toml", &shown.replace("[redacted]", CANARY));
    // As text, since a secret that was redacted is another one now.
    let reloaded = again.load();
    assert_eq!(reloaded.settings.listen.len(), 2);
    let changed = changed_keys(&loaded, &reloaded);
    assert_eq!(changed, ["callers[0].token"]);
}

#[test]
fn a_key_that_does_not_fit_the_certificate_is_told() {
    let mut world = World::new();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    fs::write(world.path("other.pem"), other.signing_key.serialize_pem()).unwrap();
    let set = |world: &mut World, key: &str, file: &str| {
        let path = world.path(file);
        world.set(&format!("listen.tls.{key}={}", path.display()));
    };
    set(&mut world, "certificate_file", "ca.pem");
    set(&mut world, "private_key_file", "key.pem");
    assert!(world.load().settings.listen[0].tls.is_some());
    set(&mut world, "private_key_file", "other.pem");
    let problems = world.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems
            .to_string()
            .starts_with("listen.tls.private_key_file: doesn't serve the certificate")
    );
}

#[test]
fn who_asks_for_one_section_hears_of_its_mistakes_and_of_unreadable_sources() {
    type Ask = fn(&Sources) -> Option<Problems>;
    let asks: [(&str, Ask); 3] = [
        ("admin", |sources| admin_address(sources).err()),
        ("admin", |sources| admin(sources).err()),
        ("audit", |sources| audit_keys(sources).err()),
    ];
    for (section, ask) in asks {
        let asked = |written: &str| {
            let mut world = World::new();
            let written = written.replace("SECTION", section);
            ask(&world.file("one.toml", &written).sources)
        };
        let told = |written: &str| {
            let problems = asked(written).unwrap_or_else(|| panic!("{written} passed"));
            let keys = problems.iter().map(|problem| problem.key.clone());
            keys.collect::<Vec<_>>()
        };
        assert_eq!(told("broken"), [""]);
        assert_eq!(told("SECTION.kye = 1"), [format!("{section}.kye")]);
        assert_eq!(told("SECTION = 1"), [section]);
        assert_eq!(asked("listen.max_body = 1"), None);
        let mut world = World::new();
        world.sources.files.push("/nowhere.toml".into());
        assert!(ask(&world.sources).is_some());
    }
    let mut world = World::new();
    world.file("number.toml", "admin.address = 9090");
    assert!(admin_address(&world.sources).is_err() && admin(&world.sources).is_err());
}

#[test]
fn a_table_that_is_no_key_is_blamed_on_its_variable() {
    for (name, key) in [
        ("MFA_GATEWAY__LISTNE__X", "listne"),
        ("MFA_GATEWAY__FRONTEGG__FOO__BAR", "frontegg.foo"),
        ("MFA_GATEWAY__CALLERS__0__NAME", "callers"),
    ] {
        let mut world = World::new();
        world.variable(name, "1");
        let problems = load(&world.sources).unwrap_err();
        let problem = problems.iter().find(|problem| problem.key == key);
        let problem = problem.unwrap_or_else(|| panic!("{problems}"));
        assert_eq!(problem.origin, Origin::Variable(name.to_owned()));
    }
}

#[test]
fn a_variable_of_others_that_is_obeyed_must_be_right() {
    let told = |sets: &[&str], name: &str, value: &str| {
        let mut world = World::new();
        world.variable(name, value);
        for set in sets {
            world.set(set);
        }
        let problems = load(&world.sources).err()?;
        assert_eq!(problems.len(), 1, "{problems}");
        let problem = problems.iter().next().unwrap();
        assert_eq!(problem.origin, Origin::Variable(name.to_owned()));
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
        Some(problem.key.clone())
    };
    let proxy = Some("frontegg.proxy".to_owned());
    assert_eq!(told(&[], "HTTPS_PROXY", "socks5://u:hunter2@p:1"), proxy);
    assert_eq!(told(&[], "https_proxy", "a proxy"), proxy);
    assert_eq!(told(&[], "HTTPS_PROXY", "http://u:p@p:1"), None);
    assert_eq!(told(&[], "HTTPS_PROXY", ""), None);
    let own = ["frontegg.proxy=http://p:1"];
    assert_eq!(told(&own, "HTTPS_PROXY", "socks5://p:1"), None);
    let here = [
        "frontegg.identity_url=https://[::1]:1",
        "frontegg.auth_url=https://localhost:1/auth/vendor/",
    ];
    assert_eq!(told(&here, "HTTPS_PROXY", "socks5://p:1"), None);
    let log = Some("telemetry.log".to_owned());
    assert_eq!(told(&[], "RUST_LOG", "info,[x]=debug"), log);
    assert_eq!(told(&[], "RUST_LOG", "warn,mfa_gateway=debug"), None);
    assert_eq!(told(&[], "RUST_LOG", " "), None);
}

#[test]
fn whether_the_usual_file_is_there_is_asked_at_each_load() {
    let mut world = World::new();
    let base = world.sources.files.remove(0);
    let usual = world.path("gateway.toml");
    world.sources.usual_file = Some(usual.clone());
    let needed = world.problems();
    fs::copy(&base, &usual).unwrap();
    let loaded = world.load();
    let place = format!("{}:2", usual.display());
    assert_eq!(origin_of(&loaded, "frontegg.client_id").to_string(), place);
    fs::remove_file(&usual).unwrap();
    assert_eq!(world.problems(), needed);
    fs::write(&usual, "broken").unwrap();
    world.sources.files.push(base);
    world.load();
}
