//! A secret is in no text that the configuration makes.

use std::fmt::Write as _;

use super::{CANARY, World};

#[test]
fn nothing_secret_is_told_or_shown() {
    let mut world = World::new();
    world.set(&format!("frontegg.proxy=http://me:{CANARY}@proxy:3128"));
    let loaded = world.load();
    let mut seen = format!("{loaded:?}{}{}", loaded.show_toml(), loaded.show_json());
    world
        .file("a.toml", &format!("frontegg.apikey = \"{CANARY}\"\nadmin = \"{CANARY}\"\nfrontegg.client_ip.shared_secret = \"{CANARY}\"\n"))
        .file("b.toml", &format!("frontegg.api_key = [\"{CANARY}\"]\nlimits.key = {{ {CANARY} = 1 }}\n").replace(&format!("{{ {CANARY} = 1 }}"), &format!("{{ a = \"{CANARY}\" }}")))
        .file("c.toml", &format!("frontegg.api_key = \"{CANARY}\nx = 1"))
        .file("d.yaml", &format!("frontegg:{CANARY}\n"))
        .file("e.json", &format!("{{\"a\": {CANARY}}}"))
        .variable("MFA_GATEWAY__FRONTEGG__API_KEE", CANARY)
        .set(CANARY)
        .set(&format!("frontegg.identity_url=http://me:{CANARY}@x"))
        .set(&format!("frontegg.auth_url=https://me:{CANARY}@x/y"))
        .set(&format!("limits.redis.url=redis://me:{CANARY}@x"))
        .set(&format!("frontegg.proxy=socks5://me:{CANARY}@x"))
        .set(&format!("admin.kay={CANARY}"));
    let problems = world.problems();
    assert!(problems.len() >= 12, "{problems}");
    write!(seen, "{problems}{problems:?}").unwrap();
    for problem in &problems {
        write!(seen, "{}", problem.json()).unwrap();
    }
    let before = seen.split_once(CANARY).map(|(before, _after)| before);
    assert_eq!(before.map(str::len), None, "{}", before.unwrap_or_default());
    assert!(seen.contains("[redacted]"));
}
