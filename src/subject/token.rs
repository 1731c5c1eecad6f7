//! The subject from a user's verified token: a caller can name nobody but the user whose token
//! it holds.
//!
//! Operations on a user or a tenant ask for a token, those of a login and of the environment as
//! a whole don't: nobody is named in them, and a user in the middle of a login has none yet.
//! Whether a caller may change what is the environment's is for `routes` and `callers` to say.

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use super::{Spoken, SubjectError};
use crate::{
    config::UserToken as Rules,
    jwt::{StepUp, UserToken},
    model::{Repeated, single},
    route::{Audited, Category, Facts, Operation, SubjectRule},
};

/// Whether a request for this operation must come with a user's token.
#[must_use]
pub fn is_asked_for(facts: &Facts, rules: &Rules, headers: &HeaderMap) -> bool {
    match (facts.subject, facts.category) {
        (SubjectRule::User | SubjectRule::UserAndTenant, _)
        | (SubjectRule::TenantIfKnown, Category::Management) => true,
        // a step of a login may be without a tenant; one that names a tenant must prove it
        (
            SubjectRule::TenantIfKnown,
            Category::Authentication | Category::Enrolment | Category::SelfService,
        ) => [&AUTHORIZATION, &rules.tenant_header, &rules.user_header]
            .into_iter()
            .any(|name| headers.contains_key(name)),
        (SubjectRule::Nobody, _) => facts.operation == Operation::UserUnenroll,
    }
}

/// The token that a request carries, not verified yet.
///
/// # Errors
/// [`SubjectError::TokenMissing`], [`SubjectError::NotBearer`].
pub fn bearer(headers: &HeaderMap) -> Result<&str, SubjectError> {
    let only = single(headers, &AUTHORIZATION).map_err(|Repeated| SubjectError::NotBearer)?;
    let only = only.ok_or(SubjectError::TokenMissing)?;
    after_scheme(only).ok_or(SubjectError::NotBearer)
}

/// What follows `Bearer` (RFC 6750, section 2.1).
fn after_scheme(value: &HeaderValue) -> Option<&str> {
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    let credentials = credentials.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !credentials.is_empty()).then_some(credentials)
}

/// Who speaks, if anybody does: everything else that is said agrees with the token, and the
/// user is present as surely as the operation asks.
pub(super) fn speaker<'a>(
    facts: &Facts,
    rules: &Rules,
    spoken: Spoken<'a>,
) -> Result<Option<&'a UserToken>, SubjectError> {
    let Some(token) = spoken.token else {
        if is_asked_for(facts, rules, spoken.headers) {
            return Err(SubjectError::TokenMissing);
        }
        return Ok(None);
    };
    agrees(
        spoken.headers,
        &rules.tenant_header,
        token.tenant().as_header(),
    )?;
    agrees(spoken.headers, &rules.user_header, token.user().as_header())?;
    // SECURITY: compared as bytes; both are of visible ASCII, so there is one spelling.
    if spoken
        .path_user
        .is_some_and(|user| user != token.user().as_str())
    {
        return Err(SubjectError::AnotherUser);
    }
    if let Some(asked) = step_up(facts, rules) {
        token
            .shows(asked, spoken.now)
            .map_err(|error| SubjectError::StepUp { error, asked })?;
    }
    Ok(Some(token))
}

fn agrees(
    headers: &HeaderMap,
    name: &HeaderName,
    token_says: &HeaderValue,
) -> Result<(), SubjectError> {
    match single(headers, name) {
        Ok(None) => Ok(()),
        Ok(Some(said)) if said == token_says => Ok(()),
        Ok(Some(_other)) => Err(SubjectError::Disagrees(name.clone())),
        Err(Repeated) => Err(SubjectError::Malformed(name.clone())),
    }
}

/// How surely a user must be present.
fn step_up(facts: &Facts, rules: &Rules) -> Option<StepUp> {
    let within = rules.require_mfa_within;
    let removes = facts.audited == Audited::FactorDisable
        || (facts.audited == Audited::FactorStep && facts.category == Category::SelfService);
    if removes {
        return within.map(|within| StepUp {
            within: Some(within),
        });
    }
    let adds = facts.category == Category::Enrolment;
    (adds && rules.require_mfa_for_enrolment).then_some(StepUp { within })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        config::{self, ActingWith, KeySource, SubjectFrom},
        jwt::{Compact, Expected, KeySet, Token, testing::Issuer},
        model::{Signature, TenantId},
        subject::Subject,
    };

    const NOW: u64 = 1_800_000_000;
    const TENANT: HeaderName = HeaderName::from_static("frontegg-tenant-id");
    const USER: HeaderName = HeaderName::from_static("frontegg-user-id");

    /// Ann's token of acme.
    fn token(more: &Value) -> UserToken {
        thread_local! {
            static ISSUER: Issuer = Issuer::p256("k");
        }
        let mut claims = json!({
            "iss": "i", "aud": "a", "exp": NOW + 60,
            "type": "userToken", "sub": "ann", "tenantId": "acme",
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let (keys, text) = ISSUER.with(|issuer| (issuer.jwks(), issuer.sign(&claims)));
        let keys = KeySet::parse(keys.as_bytes()).unwrap();
        let text = Compact::parse(&text, &Signature::ALL).unwrap();
        let expected = Expected {
            issuer: "i",
            audience: "a",
            now: NOW,
        };
        UserToken::read(&keys.verify(&text).unwrap(), &expected).unwrap()
    }

    fn rules(within: Option<u64>, for_enrolment: bool) -> Rules {
        Rules {
            tenant_header: TENANT,
            user_header: USER,
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            keys: KeySource::File("/keys".into()),
            signatures: Signature::ALL.to_vec(),
            credential: ActingWith::Environment,
            require_mfa_within: within.map(Duration::from_secs),
            require_mfa_for_enrolment: for_enrolment,
        }
    }

    struct Asked<'a> {
        operation: Operation,
        guard: Option<&'a str>,
        tenants: Option<&'a str>,
        said: &'a [(HeaderName, &'static str)],
        path_user: Option<&'a str>,
    }

    const fn asked(operation: Operation) -> Asked<'static> {
        Asked {
            operation,
            guard: None,
            tenants: None,
            said: &[],
            path_user: None,
        }
    }

    fn read(
        asked: &Asked<'_>,
        rules: Rules,
        token: Option<&UserToken>,
    ) -> Result<(Option<String>, Option<String>), SubjectError> {
        let mut headers = HeaderMap::new();
        for (name, value) in asked.said {
            headers.append(name, HeaderValue::from_static(value));
        }
        let rules = config::Subject {
            from: SubjectFrom::UserToken(Box::new(rules)),
            tenant: asked.guard.map(|tenant| TenantId::parse(tenant).unwrap()),
        };
        let tenants = asked
            .tenants
            .map(|tenant| [TenantId::parse(tenant).unwrap()]);
        let spoken = Spoken {
            headers: &headers,
            path_user: asked.path_user,
            token,
            now: NOW,
        };
        let tenants = tenants.as_ref().map(<[TenantId; 1]>::as_slice);
        Subject::read(asked.operation.facts(), &rules, tenants, spoken).map(|subject| {
            (
                subject.tenant().map(|tenant| tenant.as_str().to_owned()),
                subject.user().map(|user| user.as_str().to_owned()),
            )
        })
    }

    fn of(tenant: &str, user: Option<&str>) -> (Option<String>, Option<String>) {
        (Some(tenant.to_owned()), user.map(str::to_owned))
    }

    #[test]
    fn the_token_alone_says_who_it_is() {
        let ann = token(&json!({}));
        let plain = || rules(None, false);
        let own = of("acme", Some("ann"));
        let disable = asked(Operation::UserDisable);
        assert_eq!(read(&disable, plain(), Some(&ann)), Ok(own.clone()));
        assert_eq!(
            read(&asked(Operation::PolicyGet), plain(), Some(&ann)),
            Ok(of("acme", None))
        );
        let agreeing = Asked {
            said: &[(TENANT, "acme"), (USER, "ann")],
            ..disable
        };
        assert_eq!(read(&agreeing, plain(), Some(&ann)), Ok(own));
        for (said, name) in [
            (&[(USER, "bob")][..], USER),
            (&[(TENANT, "other")], TENANT),
            (&[(USER, "")], USER),
            (&[(USER, "ANN")], USER),
        ] {
            let asked = Asked {
                said,
                ..asked(Operation::UserDisable)
            };
            let refused = read(&asked, plain(), Some(&ann));
            assert_eq!(refused, Err(SubjectError::Disagrees(name)), "{said:?}");
        }
        for twice in [["ann", "ann"], ["ann", "bob"]] {
            let asked = Asked {
                said: &twice.map(|user| (USER, user)),
                ..asked(Operation::UserDisable)
            };
            let refused = read(&asked, plain(), Some(&ann));
            assert_eq!(refused, Err(SubjectError::Malformed(USER)), "{twice:?}");
        }
    }

    #[test]
    fn whoever_is_named_must_be_proved() {
        let nobody = |operation, said| {
            let asked = Asked {
                said,
                ..asked(operation)
            };
            read(&asked, rules(None, false), None)
        };
        let said: &[_] = &[(TENANT, "acme"), (USER, "ann")];
        for facts in Operation::ALL.iter().map(|operation| operation.facts()) {
            let refused = nobody(facts.operation, said).is_err();
            let names_somebody =
                facts.subject != SubjectRule::Nobody || facts.operation == Operation::UserUnenroll;
            assert_eq!(refused, names_somebody, "{}", facts.name);
        }
        let remember = nobody(Operation::LoginRememberDevice, &[]);
        assert_eq!(remember, Ok((None, None)));
        assert_eq!(nobody(Operation::Recover, said), Ok((None, None)));
        assert_eq!(
            nobody(Operation::PolicyGet, &[]),
            Err(SubjectError::TokenMissing)
        );
    }

    #[test]
    fn the_user_in_the_path_is_the_tokens() {
        let ann = token(&json!({}));
        let unenroll = |user| {
            let asked = Asked {
                path_user: Some(user),
                ..asked(Operation::UserUnenroll)
            };
            read(&asked, rules(None, false), Some(&ann))
        };
        assert_eq!(unenroll("ann"), Ok((None, None)));
        assert_eq!(unenroll("bob"), Err(SubjectError::AnotherUser));
        assert_eq!(unenroll("ann."), Err(SubjectError::AnotherUser));
    }

    #[test]
    fn guard_and_callers_tenants_hold_for_tokens_too() {
        let ann = token(&json!({}));
        let by = |guard, tenants| {
            let asked = Asked {
                guard,
                tenants,
                ..asked(Operation::UserDevices)
            };
            read(&asked, rules(None, false), Some(&ann))
        };
        assert_eq!(by(Some("acme"), Some("acme")), Ok(of("acme", Some("ann"))));
        assert_eq!(by(Some("other"), None), Err(SubjectError::NotOfGateway));
        assert_eq!(by(None, Some("other")), Err(SubjectError::NotOfCaller));
    }

    #[test]
    fn removing_a_factor_asks_for_a_recent_step_up() {
        let plain = token(&json!({}));
        let acr = "http://schemas.openid.net/pape/policies/2007/06/multi-factor";
        let sure = token(&json!({"acr": acr, "amr": ["mfa"], "auth_time": NOW - 300}));
        let stale = token(&json!({"acr": acr, "amr": ["mfa"], "auth_time": NOW - 900}));
        for facts in Operation::ALL.iter().map(|operation| operation.facts()) {
            if facts.category == Category::Authentication {
                continue;
            }
            let ask = |token, for_enrolment| {
                let asked = Asked {
                    path_user: (facts.operation == Operation::UserUnenroll).then_some("ann"),
                    ..asked(facts.operation)
                };
                read(&asked, rules(Some(600), for_enrolment), Some(token)).is_ok()
            };
            let removes = facts.name.contains("disable") || facts.name.contains("unenroll");
            assert!(ask(&sure, true), "{}", facts.name);
            assert_eq!(ask(&plain, false), !removes, "{}", facts.name);
            assert_eq!(ask(&stale, false), !removes, "{}", facts.name);
            let adds = facts.category == Category::Enrolment;
            assert_eq!(ask(&plain, true), !removes && !adds, "{}", facts.name);
        }
        let enroll = asked(Operation::UserEnroll);
        assert!(read(&enroll, rules(None, true), Some(&stale)).is_ok());
        assert!(read(&enroll, rules(None, true), Some(&plain)).is_err());
        assert!(
            read(
                &asked(Operation::UserDisable),
                rules(None, true),
                Some(&plain)
            )
            .is_ok()
        );
    }

    #[test]
    fn a_bearer_token_stands_in_one_header() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of(&["Bearer a.b.c"]), Ok("a.b.c".to_owned()));
        assert_eq!(of(&["bearer  a.b.c"]), Ok("a.b.c".to_owned()));
        assert_eq!(of(&[]), Err(SubjectError::TokenMissing));
        for values in [
            &["Basic a"][..],
            &["Bearer"],
            &["Bearer "],
            &["a.b.c"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(of(values), Err(SubjectError::NotBearer), "{values:?}");
        }
    }
}
