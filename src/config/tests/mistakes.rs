//! Mistakes, one at a time: a table of them, and any single broken key.

use std::fs;

use proptest::prelude::*;

use super::{super::*, World};

#[test]
fn mistakes_are_told_with_the_mend() {
    for (written, key, what, mend) in MISTAKES {
        let mut world = World::new();
        world.file("broken.toml", &format!("# one line before\n{written}\n"));
        let problems = world.problems();
        let told: Vec<_> = problems.iter().collect();
        assert_eq!(told.len(), 1, "{written}\n{problems}");
        assert_eq!(told[0].key, *key, "{written}\n{problems}");
        assert!(told[0].what.contains(what), "{written}\n{problems}");
        assert!(told[0].mend.contains(mend), "{written}\n{problems}");
        assert_ne!(told[0].origin, Origin::Default, "{written}");
    }
}

/// What is written, the key of the one problem, a piece of what is wrong and of the mend.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("listen.adress = \"127.0.0.1:1\"", "listen.adress", "is not a key", "did you mean listen.address?"),
    ("region = \"us\"", "region", "is not a key", "did you mean frontegg.region?"),
    ("frontegg = 3", "frontegg", "must be a table", "[frontegg]"),
    ("[callers]\nname = \"a\"", "callers", "must be a list of tables", "[[callers]]"),
    ("listen.max_body = 65536", "listen.max_body", "must be a size, not a number", "64KiB"),
    ("listen.max_body = \"64kb\"", "listen.max_body", "\"64kb\" is not a size", "64KiB"),
    ("listen.header_timeout = \"10\"", "listen.header_timeout", "\"10\" is not a duration", "10s"),
    ("listen.header_timeout = \"0s\"", "listen.header_timeout", "out of range", "from 10ms to 10m"),
    ("listen.max_in_flight = 0", "listen.max_in_flight", "out of range", "from 1"),
    ("listen.address = \"localhost:8080\"", "listen.address", "is not a valid address", "127.0.0.1:8080"),
    ("listen.address = \":8080\"", "listen.address", "is not a valid address", "0.0.0.0:8080"),
    ("listen.address = \"unix:run.sock\"", "listen.address", "absolute", "unix:/run"),
    ("listen.address = []", "listen.address", "is empty", "127.0.0.1:8080"),
    ("listen.address = \"0.0.0.0:8080\"", "listen.address", "nobody is named", "[[callers]]"),
    ("listen.address = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "listen.address", "is taken", "of its own"),
    ("admin.address = \"127.0.0.1:8080\"", "admin.address", "taken by listen.address", "of its own"),
    ("admin.address = \"0.0.0.0:8080\"", "admin.address", "taken by listen.address", "of its own"),
    ("listen.base_path = \"/frontegg/\"", "listen.base_path", "not a plain path", "/frontegg"),
    ("listen.allowed_hosts = [\"a.example:80\"]", "listen.allowed_hosts", "not a valid host name", "without scheme, port"),
    ("listen.allowed_origins = [\"https://a.example/\"]", "listen.allowed_origins", "not an origin", "https://app.example.com"),
    ("listen.unix_mode = \"0999\"", "listen.unix_mode", "permission bits", "octal"),
    ("listen.tls.certificate_file = \"/x.pem\"", "listen.tls.private_key_file", "is needed", "private key"),
    ("listen.tls.client_ca_file = \"/x.pem\"", "listen.tls.certificate_file", "speak plain HTTP", "private_key_file"),
    ("listen.trusted_proxies = [\"10.0.0.1/8\"]", "listen.trusted_proxies", "bits behind its prefix", "10.0.0.0/8"),
    ("listen.trusted_proxies = [\"proxy.internal\"]", "listen.trusted_proxies", "is not a valid network", "or unix"),
    ("listen.proxy_protocol = true", "listen.proxy_protocol", "every connection would be closed", "trusted_proxies"),
    ("listen.proxy_protocol = true\nlisten.trusted_proxies = [\"10.0.0.0/8\"]\nlisten.address = \"unix:/run/g.sock\"", "listen.proxy_protocol", "over the unix socket", "add \"unix\""),
    ("listen.unix_group = \"no-such-group\"", "listen.unix_group", "is not a group", "/etc/group"),
    ("frontegg.client_ip.shared_secret = \"a b\"", "frontegg.client_ip.shared_secret", "can't travel", "portal"),
    ("[[callers]]\nname = \"a\"\nuid = 1000", "callers[0].uid", "none is listened on", "unix:/run"),
    ("[[callers]]\nname = \"a\"\nspiffe_id = \"spiffe://a/b\"", "callers[0].spiffe_id", "no listener asks", "client_ca_file"),
    ("[[callers]]\nname = \"a\"\nspiffe_id = \"https://a/b\"", "callers[0].spiffe_id", "not the SPIFFE ID", "spiffe://"),
    ("[[callers]]\nname = \"a\"\ncertificate_dns = \"*.a.example\"", "callers[0].certificate_dns", "not a valid DNS name", "in full"),
    ("[[callers]]\nname = \"a\"\ncertificate_dns = \"a.example\"\nspiffe_id = \"spiffe://a/b\"", "callers[0].certificate_dns", "beside spiffe_id", "of its own"),
    ("[[callers]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\nuid = 1", "callers[0].uid", "beside token", "of its own"),
    ("[[callers]]\nname = \"a\"\ntoken = \"0123456789abcdef\\n\\n\"", "callers[0].token", "a line is empty", "in one line"),
    ("listen.address = \"unix:/run/g.sock\"\n[[callers]]\nname = \"a\"\nuid = 1\n[[callers]]\nname = \"b\"\nuid = 1", "callers[1].uid", "same as", "of its own"),
    ("subject.from = \"user-token\"\nsubject.user_token.audience = \"a\"", "subject.user_token.issuer", "is needed", "https://acme.frontegg.com"),
    ("subject.from = \"user-token\"\nsubject.user_token.issuer = \"https://i\"", "subject.user_token.audience", "is needed", "client ID"),
    ("subject.from = \"user-token\"\nsubject.user_token = { issuer = \"i\", audience = \"a\" }", "subject.user_token.issuer", "not an https URL", "jwks_url"),
    ("subject.from = \"user-token\"\nsubject.user_token = { issuer = \"i\", audience = \"a\", jwks_url = \"http://i\" }", "subject.user_token.jwks_url", "is not https", "ca_file"),
    ("subject.from = \"user-token\"\nsubject.user_token = { issuer = \"i\", audience = \"a\", jwks_url = \"https://i\", jwks_file = \"/x\" }", "subject.user_token.jwks_file", "jwks_url is given too", "keep one"),
    ("subject.from = \"user-token\"\nsubject.user_token = { issuer = \"i\", audience = \"a\", jwks_file = \"/nowhere\" }", "subject.user_token.jwks_file", "/nowhere can't be read", "key set"),
    ("subject.from = \"user-token\"\nsubject.user_token = { issuer = \"https://i\", audience = \"a\", algorithms = [\"HS256\"] }", "subject.user_token.algorithms", "never accepted", "RS256"),
    ("subject.from = \"user-token\"\nsubject.user_token = { issuer = \"https://i\", audience = \"a\", algorithms = [] }", "subject.user_token.algorithms", "is empty", "ES256"),
    ("subject.from = \"user-token\"\nsubject.user_token = { issuer = \"https://i\", audience = \"a\", require_mfa_within = \"10\" }", "subject.user_token.require_mfa_within", "not a duration", "10m"),
    ("subject.user = \"u\"\nsubject.from = \"user-token\"\nsubject.user_token = { issuer = \"https://i\", audience = \"a\" }", "subject.user", "\"fixed\" alone", "remove"),
    ("[[callers]]\nname = \"a\"\nservice_account = \"shop\"\n[kubernetes]\nissuer = \"i\"", "callers[0].service_account", "is not a service account", "namespace/name"),
    ("[[callers]]\nname = \"a\"\nservice_account = \"shop/login\"\ntoken = \"0123456789abcdef\"", "callers[0].service_account", "is given beside token", "of its own"),
    ("[[callers]]\nname = \"a\"\nservice_account = \"shop/login\"\n[kubernetes]\nca_file = \"/nowhere\"", "kubernetes.ca_file", "no certificate", "PEM"),
    ("[[callers]]\nname = \"a\"\nservice_account = \"shop/login\"\n[kubernetes]\njwks_file = \"/dev/null\"", "kubernetes.issuer", "is needed", "iss"),
    ("[[callers]]\nname = \"a\"\nservice_account = \"shop/login\"\n[kubernetes]\naudience = \"\"\nca_file = \"\"", "kubernetes.audience", "is empty", "mfa-gateway"),
    ("audit.rotate = { age = \"500d\" }", "audit.rotate.age", "is out of range", "366d"),
    ("audit.previous_key_files = [\"/nowhere\"]", "audit.previous_key_files", "can't be read", "earlier audit.key"),
    ("limits.store = \"redis\"", "limits.key", "is needed with a shared store", "limits.key_file"),
    ("limits.store = \"redis\"\nlimits.key = \"\"", "limits.key", "is needed with a shared store", "limits.key_file"),
    ("limits.store = \"redis\"\nlimits.key = \"0123456789abcdef\"\nlimits.redis.url = \"redis://u:p@x\"", "limits.redis.url", "holds a user or password", "limits.redis.password_file"),
    ("limits.store = \"redis\"\nlimits.key = \"0123456789abcdef\"\nlimits.redis.url = [\"redis://x\", \"rediss://y\"]", "limits.redis.url", "otherwise than others", "same scheme"),
    ("limits.store = \"redis\"\nlimits.key = \"0123456789abcdef\"\nlimits.redis.url = [\"redis://x\", \"redis://y/1\"]", "limits.redis.url", "otherwise than others", "same scheme"),
    ("limits.store = \"redis\"\nlimits.key = \"0123456789abcdef\"\nlimits.redis.url = \"http://x\"", "limits.redis.url", "not the URL of a Redis", "redis://redis:6379"),
    ("limits.store = \"redis\"\nlimits.key = \"0123456789abcdef\"\nlimits.redis.prefix = \"a{b}\"", "limits.redis.prefix", "can't begin a key", "no braces"),
    ("limits.store = \"redis\"\nlimits.key = \"0123456789abcdef\"\nlimits.redis.username = \"u\"", "limits.redis.password", "is needed with a user", "limits.redis.password_file"),
    ("frontegg.region = \"uk\"", "frontegg.region", "must be one of eu, us, ca, au", ""),
    ("frontegg.domain = \"https://acme.frontegg.com\"", "frontegg.domain", "is not a valid domain", "acme.frontegg.com"),
    ("frontegg.identity_url = \"http://x\"", "frontegg.identity_url", "is not https", "ca_file"),
    ("frontegg.identity_url = \"https://x/identity\"", "frontegg.identity_url", "has a path", "leave off"),
    ("frontegg.auth_url = \"https://x\"", "frontegg.auth_url", "has no path", "/auth/vendor/"),
    ("frontegg.proxy = \"socks5://x\"", "frontegg.proxy", "not the URL of an HTTP proxy", "http://proxy:3128"),
    ("frontegg.ca_file = \"/nowhere.pem\"", "frontegg.ca_file", "/nowhere.pem holds no certificate", "PEM"),
    ("frontegg.environment_id = \"a b\"", "frontegg.environment_id", "visible ASCII", "portal"),
    ("admin.key_file = \"/nowhere\"", "admin.key_file", "/nowhere can't be read", "put the secret"),
    ("routes.allow = [\"recovr\"]", "routes.allow", "\"recovr\" is neither an operation nor a category", "did you mean recover?"),
    ("routes.allow = [\"user.*unenroll\"]", "routes.allow", "enrolment or management", "in full: user.unenroll"),
    ("routes.deny = [\"x*\"]", "routes.deny", "stands for no operation", "routes"),
    ("routes.extra_fields.recover = [\"Email\"]", "routes.extra_fields.recover", "checked", "always go on"),
    ("headers.forward = [\"authorization\"]", "headers.forward", "the gateway's own", "remove"),
    ("headers.forward = [\"x-user\"]\nsubject.user_header = \"x-user\"", "headers.forward", "read by the gateway", "remove"),
    ("headers.cookies = [\"a b\"]", "headers.cookies", "not a valid cookie name", "fe_*"),
    ("subject.user_header = \"host\"", "subject.user_header", "the gateway's own", "another name"),
    ("subject.user_header = \"x-id\"\nsubject.tenant_header = \"X-Id\"", "subject.user_header", "same as", "of its own"),
    ("subject.user = \"u\"", "subject.user", "\"fixed\" alone", "remove"),
    ("subject.from = \"fixed\"\nsubject.tenant = \"t\"", "subject.user", "is needed", "set it"),
    ("subject.from = \"fixed\"\nsubject.user = \"u\"", "subject.tenant", "user.sms.disable acts for a tenant", "routes.deny"),
    ("[[callers]]\ntoken = \"0123456789abcdef\"", "callers[0].name", "is needed", "support-console"),
    ("[[callers]]\nname = \"a\"", "callers[0].token", "is needed", "openssl rand"),
    ("[[callers]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\n[[callers]]\nname = \"a\"\ntoken = \"0123456789abcdeg\"", "callers[1].name", "callers[0] too", "of its own"),
    ("[[callers]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\n[[callers]]\nname = \"b\"\ntoken = \"0123456789abcdef\"", "callers[1].token", "same as", "of its own"),
    ("[[callers]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\ntenants = [\"t-*\"]", "callers[0].tenants", "is not a tenant", "in full"),
    ("[[callers]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\ntenants = [\"t\"]\n[subject]\ntenant = \"u\"", "callers[0].tenants", "isn't among them", "add it"),
    ("[[callers]]\nname = \"a\"\ntoken = \"0123456789abcdef\"\noperations = []", "callers[0].operations", "do nothing", "name what"),
    ("limits.email.quotas = [{ attempts = 0, per = \"1m\" }]", "limits.email.quotas", "quota 1: attempts", "quotas = []"),
    ("limits.emial.quotas = []", "limits.emial", "is not a key", "limits.email"),
    ("[limits.upstream.recovr]", "limits.upstream.recovr", "is not an operation", "did you mean recover?"),
    ("limits.upstream.login.verify.attempts = 3", "limits.upstream.login.verify", "is not a key", "in quotes"),
    ("audit.output = \"stdot\"", "audit.output", "is not an output", "did you mean stdout?"),
    ("audit.output = \"/nowhere/at/all\"", "audit.output", "no directory", "mkdir -p /nowhere/at"),
    ("audit.output = [\"stdout\", \"stdout\"]", "audit.output", "twice", "once"),
    ("audit.durability = \"synced\"", "audit.durability", "is for files", "written"),
    ("audit.output = [\"stdout\", \"otlp\"]", "audit.output", "has no collector", "telemetry.otlp_endpoint"),
    ("audit.output = \"otpl\"", "audit.output", "is not an output", "did you mean otlp?"),
    ("telemetry.otlp_endpoint = \"collector:4318\"", "telemetry.otlp_endpoint", "is not a valid URL", "http://collector:4318"),
    ("telemetry.otlp_endpoint = \"http://c:4318/v1/logs\"\naudit.output = \"otlp\"", "telemetry.otlp_endpoint", "one signal's URL", "leave off"),
    ("telemetry.log = \"inof\"", "telemetry.log", "is not a level", "did you mean info?"),
    ("telemetry.log = \"a=b=c\"", "telemetry.log", "is not a valid filter", "info"),
    ("frontegg.api_key_file = \"/x\"\nfrontegg.api_key = \"y\"", "frontegg.api_key_file", "api_key is given", "keep one"),
];

/// What is set, and a piece of each problem that it must give.
#[rustfmt::skip]
const SEVERAL: &[(&[&str], &[&str])] = &[
    (&["routes.allow=recovr,polcy.get"], &["\"recovr\" is", "\"polcy.get\" is"]),
    (&["headers.forward=authorization,host"], &["\"authorization\" names", "\"host\" names"]),
    (&["audit.output=stdot,stder"], &["\"stdot\" is", "\"stder\" is"]),
    (&["subject.from=user-token", "subject.user_header=host"], &["\"host\" names", "subject.user_token.issuer: is needed", "subject.user_token.audience: is needed"]),
    (&["subject.from=user-token", "subject.user_token={ issuer = \"https://i\", audience = \"a\", algorithms = [\"HS256\", \"none\"] }"], &["\"HS256\" is never", "\"none\" is not"]),
    (&["limits.store=redis", "limits.key=0123456789abcdef", "limits.redis.url=redis", "limits.redis.ca_file=/nowhere"], &["limits.redis.url: is not the URL of", "/nowhere holds no certificate"]),
    (&["callers=[{ name = \"a\", service_account = \"shop/login\" }]", "kubernetes={ jwks_url = \"http://i\", audience = \"\", ca_file = \"/nowhere\" }"], &["kubernetes.jwks_url: is not https", "kubernetes.audience: is empty", "/nowhere holds no certificate"]),
];

/// The keys of all problems of these files, which aren't there, and assignments, in order.
fn told(files: &[&str], set: &[&str]) -> Vec<String> {
    let folder = tempfile::TempDir::new().unwrap();
    let sources = Sources {
        files: files.iter().map(|name| folder.path().join(name)).collect(),
        set: set.iter().map(|&text| text.to_owned()).collect(),
        ..Sources::default()
    };
    let problems = load(&sources).unwrap_err();
    let mut keys: Vec<_> = problems.iter().map(|problem| problem.key.clone()).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn what_a_file_that_cannot_be_read_may_have_said_is_not_missed() {
    let open = "listen.address=0.0.0.0:8080";
    assert_eq!(told(&["gone.toml"], &[open]), [""]);
    assert_eq!(
        told(&["gone.toml"], &["limits.mode=x"]),
        ["", "limits.mode"]
    );
}

#[test]
fn an_assignment_that_is_none_hides_nothing() {
    let needed = ["audit.key", "frontegg.api_key", "frontegg.client_id"];
    assert_eq!(told(&[], &["nonsense"])[1..], needed);
    let open = told(&[], &["nonsense", "listen.address=0.0.0.0:8080"]);
    assert_eq!(open[1..4], needed);
    assert_eq!((open[0].as_str(), open[4].as_str()), ("", "listen.address"));
}

#[test]
fn several_mistakes_are_told_at_once_each_by_itself() {
    for (sets, pieces) in SEVERAL {
        let mut world = World::new();
        for set in *sets {
            world.set(set);
        }
        let problems = world.problems();
        assert_eq!(problems.len(), pieces.len(), "{sets:?}\n{problems}");
        for piece in *pieces {
            assert!(problems.to_string().contains(piece), "{piece}\n{problems}");
        }
    }
    let mut world = World::new();
    world.file("size.toml", "listen.max_body = 1");
    world.variable("MFA_GATEWAY__LISTEN__MAX_BODY", "xx");
    assert_eq!(world.problems().len(), 2);
}

/// A value of the wrong type for this kind, or one that can't be read.
fn wrong(kind: Kind) -> BoxedStrategy<serde_json::Value> {
    let typed = match kind {
        Kind::Choice(_) | Kind::Path | Kind::Secret | Kind::Text | Kind::Url => {
            vec![1.into(), true.into(), serde_json::json!(["x"])]
        }
        Kind::Count { .. } => vec![
            true.into(),
            (-1).into(),
            1.5.into(),
            u64::MAX.into(),
            "1".into(),
        ],
        Kind::Duration { .. } | Kind::Size { .. } => {
            vec![1.into(), "1x".into(), "99999999d".into()]
        }
        Kind::Flag => vec![0.into(), "true".into()],
        Kind::List | Kind::OneOrMore => vec![1.into(), serde_json::json!([1])],
        Kind::Quotas => vec!["x".into(), serde_json::json!([{ "attempts": 5 }])],
    };
    proptest::sample::select(typed).boxed()
}

fn key_and_wrong_value() -> impl Strategy<Value = (&'static Key, serde_json::Value)> {
    (0..KEYS.len()).prop_flat_map(|index| (Just(&KEYS[index]), wrong(KEYS[index].kind)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_one_broken_key_is_the_one_that_is_told((key, value) in key_and_wrong_value()) {
        thread_local! {
            static BASE: World = World::new();
        }
        BASE.with(|base| {
            let mut written = serde_json::json!({ key.name(): value });
            for segment in key.section().rsplit('.') {
                written = match segment {
                    "*" => serde_json::json!({ "recover": written }),
                    "callers" => {
                        let mut caller = serde_json::json!({ "name": "a", "token": "0123456789abcdef" });
                        caller[key.name()] = written[key.name()].clone();
                        serde_json::json!({ "callers": [caller] })
                    }
                    segment => serde_json::json!({ segment: written }),
                };
            }
            let path = base.path("broken.json");
            fs::write(&path, written.to_string()).unwrap();
            let mut sources = base.sources.clone();
            sources.files.push(path);
            let problems = load(&sources).map(|_loaded| ()).unwrap_err();
            let expected = key.path.replace('*', "recover").replace("callers.", "callers[0].");
            let told: Vec<_> = problems.iter().map(|problem| problem.key.clone()).collect();
            prop_assert_eq!(told, [expected], "{}\n{}", written, problems);
            Ok(())
        })?;
    }

    #[test]
    fn no_file_makes_it_panic(bytes: Vec<u8>, cut in 0..10_000_usize, byte: u8) {
        raw_toml(&bytes);
        let mut defaults = defaults().into_bytes();
        if let Some(place) = defaults.get_mut(cut) {
            *place = byte;
        }
        raw_toml(&defaults);
    }
}

#[test]
fn a_secret_that_is_no_good_is_reported_where_its_file_is_named() {
    let mut world = World::new();
    let (token, other) = (world.path("token"), world.path("other"));
    fs::write(&token, "two words").unwrap();
    fs::write(&other, "a-token-that-can-travel-in-a-header").unwrap();
    world.file(
        "callers.toml",
        &format!(
            "[[callers]]\nname = 'a'\ntoken_file = {token:?}\n[[callers]]\nname = 'b'\ntoken_file = {other:?}\n[[callers]]\nname = 'c'\ntoken_file = {other:?}\n"
        ),
    );
    let problems = world.problems();
    let seen: Vec<_> = problems
        .iter()
        .map(|problem| (problem.key.as_str(), problem.origin.to_string()))
        .collect();
    let file = world.path("callers.toml").display().to_string();
    assert_eq!(
        seen,
        [
            ("callers[0].token_file", format!("{file}:3")),
            ("callers[2].token_file", format!("{file}:9")),
        ]
    );
}
