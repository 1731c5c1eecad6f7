//! The rules, with subjects from headers and from the configuration.

use http::HeaderValue;

use super::*;

const TENANT: &str = "frontegg-tenant-id";
const USER: &str = "frontegg-user-id";

fn rules(guard: Option<&str>) -> Rules {
    Rules {
        from: SubjectFrom::Headers {
            tenant: HeaderName::from_static(TENANT),
            user: HeaderName::from_static(USER),
        },
        tenant: guard.map(|guard| TenantId::parse(guard).unwrap()),
    }
}

fn read(
    operation: Operation,
    rules: &Rules,
    tenants: Option<&[&str]>,
    said: &[(&'static str, &'static str)],
) -> Result<(Option<String>, Option<String>), SubjectError> {
    let mut headers = HeaderMap::new();
    for (name, value) in said {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let tenants: Option<Vec<TenantId>> = tenants.map(|tenants| {
        tenants
            .iter()
            .map(|tenant| TenantId::parse(tenant).unwrap())
            .collect()
    });
    let spoken = Spoken {
        headers: &headers,
        path_user: None,
        token: None,
        now: 0,
    };
    Subject::read(operation.facts(), rules, tenants.as_deref(), spoken).map(|subject| {
        (
            subject.tenant().map(|tenant| tenant.as_str().to_owned()),
            subject.user().map(|user| user.as_str().to_owned()),
        )
    })
}

fn both(tenant: Option<&str>, user: Option<&str>) -> (Option<String>, Option<String>) {
    (tenant.map(str::to_owned), user.map(str::to_owned))
}

#[test]
fn what_the_operation_sends_is_all_that_leaves() {
    let said = [(TENANT, "t"), (USER, "u")];
    for (operation, expected) in [
        (Operation::Recover, both(None, None)),
        (Operation::ConfigGet, both(None, None)),
        (Operation::PolicyGet, both(Some("t"), None)),
        (Operation::LoginRememberDevice, both(Some("t"), None)),
        (Operation::UserDisable, both(Some("t"), Some("u"))),
        (Operation::UserSmsDisable, both(Some("t"), Some("u"))),
    ] {
        assert_eq!(
            read(operation, &rules(None), None, &said),
            Ok(expected),
            "{operation:?}"
        );
    }
}

#[test]
fn what_the_operation_needs_must_be_known_once_and_well_formed() {
    let free = rules(None);
    let name = |name| HeaderName::from_static(name);
    assert_eq!(
        read(Operation::UserDisable, &free, None, &[(TENANT, "t")]),
        Err(SubjectError::Missing(name(USER)))
    );
    assert_eq!(
        read(Operation::UserSmsDisable, &free, None, &[(USER, "u")]),
        Err(SubjectError::Missing(name(TENANT)))
    );
    assert_eq!(
        read(Operation::UserDisable, &free, None, &[(USER, "u")]),
        Ok(both(None, Some("u")))
    );
    for said in [
        vec![(USER, "")],
        vec![(USER, "a b")],
        vec![(USER, "u"), (USER, "u")],
        vec![(USER, "u"), (TENANT, "t"), (TENANT, "x")],
    ] {
        let refused = read(Operation::UserDisable, &free, None, &said);
        assert!(
            matches!(refused, Err(SubjectError::Malformed(_))),
            "{said:?}"
        );
    }
}

#[test]
fn the_guard_refuses_another_tenant_whatever_the_operation() {
    let guarded = rules(Some("acme"));
    for operation in [
        Operation::Recover,
        Operation::UserDisable,
        Operation::PolicyGet,
    ] {
        let another = read(operation, &guarded, None, &[(TENANT, "other"), (USER, "u")]);
        assert_eq!(another, Err(SubjectError::NotOfGateway), "{operation:?}");
    }
    let own = read(
        Operation::UserDisable,
        &guarded,
        None,
        &[(TENANT, "acme"), (USER, "u")],
    );
    assert_eq!(own, Ok(both(Some("acme"), Some("u"))));
}

#[test]
fn a_request_without_a_tenant_is_for_the_guards() {
    let guarded = rules(Some("acme"));
    for (operation, expected) in [
        (Operation::UserDevices, both(Some("acme"), Some("u"))),
        (Operation::UserSmsDisable, both(Some("acme"), Some("u"))),
        (Operation::PolicyUpdate, both(Some("acme"), None)),
        (Operation::Recover, both(None, None)),
    ] {
        let read = read(operation, &guarded, None, &[(USER, "u")]);
        assert_eq!(read, Ok(expected), "{operation:?}");
    }
    let bound = read(
        Operation::UserDevices,
        &guarded,
        Some(&["acme"]),
        &[(USER, "u")],
    );
    assert_eq!(
        bound,
        Err(SubjectError::Missing(HeaderName::from_static(TENANT)))
    );
}

#[test]
fn a_caller_bound_to_tenants_has_no_way_round() {
    let (free, own) = (rules(None), Some(["acme"].as_slice()));
    assert_eq!(
        read(Operation::UserDisable, &free, own, &[(USER, "u")]),
        Err(SubjectError::Missing(HeaderName::from_static(TENANT)))
    );
    assert_eq!(
        read(Operation::PolicyGet, &free, own, &[]),
        Err(SubjectError::Missing(HeaderName::from_static(TENANT)))
    );
    assert_eq!(
        read(
            Operation::UserDisable,
            &free,
            own,
            &[(USER, "u"), (TENANT, "other")]
        ),
        Err(SubjectError::NotOfCaller)
    );
    assert_eq!(
        read(
            Operation::LoginRememberDevice,
            &free,
            own,
            &[(TENANT, "other")]
        ),
        Err(SubjectError::NotOfCaller)
    );
    assert_eq!(
        read(
            Operation::UserDisable,
            &free,
            own,
            &[(USER, "u"), (TENANT, "acme")]
        ),
        Ok(both(Some("acme"), Some("u")))
    );
    for operation in [
        Operation::ConfigGet,
        Operation::ConfigUpdate,
        Operation::StrategiesSet,
        Operation::PolicyEnvironmentGet,
        Operation::UserUnenroll,
    ] {
        assert_eq!(
            read(operation, &free, own, &[(TENANT, "acme")]),
            Err(SubjectError::EnvironmentWide),
            "{operation:?}"
        );
    }
    assert_eq!(
        read(Operation::Recover, &free, own, &[]),
        Ok(both(None, None))
    );
}

#[test]
fn a_fixed_subject_cannot_be_chosen() {
    let fixed = Rules {
        from: SubjectFrom::Fixed {
            tenant: TenantId::parse("acme").ok(),
            user: UserId::parse("ann").ok(),
        },
        tenant: TenantId::parse("acme").ok(),
    };
    let read = read(
        Operation::UserDisable,
        &fixed,
        None,
        &[(TENANT, "other"), (USER, "bob")],
    );
    assert_eq!(read, Ok(both(Some("acme"), Some("ann"))));
}
