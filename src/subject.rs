//! On whose behalf a request is: the tenant and user that leave with it.
//!
//! Promises that what the route table wants known is known, well-formed and said once, and that
//! it agrees with the guard of the configuration and with the caller's own tenants.

use http::{HeaderMap, HeaderName};

use crate::{
    config::{Subject as Rules, SubjectFrom},
    model::{TenantId, UserId},
    route::{Category, Facts, Operation, SubjectRule},
};

/// The subject of one request, as it leaves: nothing where the operation sends none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    tenant: Option<TenantId>,
    user: Option<UserId>,
}

impl Subject {
    /// What a request says of its subject, as far as it is well-formed and whatever it is worth:
    /// for the record of a refusal, which must name whom the caller tried to act for.
    #[must_use]
    pub fn said(rules: &Rules, headers: &HeaderMap) -> Self {
        let said = Said::read(rules, headers);
        Self {
            tenant: said.tenant.optional().ok().flatten(),
            user: said.user.optional().ok().flatten(),
        }
    }

    /// The tenant, where one leaves.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The user, where one leaves.
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }
}

/// Why there is no subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The caller may not do this operation for one tenant only.
    #[error("the operation is for the whole environment, and the caller is bound to tenants")]
    EnvironmentWide,
    /// Said more than once, or not in 1 to 128 visible ASCII characters.
    #[error("header {0} is not one value of 1 to 128 visible ASCII characters")]
    Malformed(HeaderName),
    /// The operation needs it.
    #[error("header {0} is missing")]
    Missing(HeaderName),
    /// `subject.from = "fixed"` without what the operation needs.
    #[error("{0} is not configured")]
    NotConfigured(&'static str),
    /// Not one of the caller's tenants.
    #[error("the caller is not bound to this tenant")]
    NotOfCaller,
    /// Not the tenant that the gateway is bound to.
    #[error("the tenant is not subject.tenant")]
    NotOfGateway,
}

impl Subject {
    /// Reads the subject of a request for the operation `facts`, by a caller who is bound to
    /// `tenants` (`None`: to none).
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn read(
        facts: &Facts,
        rules: &Rules,
        tenants: Option<&[TenantId]>,
        headers: &HeaderMap,
    ) -> Result<Self, SubjectError> {
        if tenants.is_some() && is_environment_wide(facts) {
            return Err(SubjectError::EnvironmentWide);
        }
        let said = Said::read(rules, headers);
        if let Some(guard) = &rules.tenant
            && said.tenant.names_another_than(guard)
        {
            return Err(SubjectError::NotOfGateway);
        }
        let bound = tenants.is_some() && facts.category != Category::Authentication;
        let subject = match facts.subject {
            SubjectRule::Nobody => Self::default(),
            SubjectRule::TenantIfKnown if bound => Self {
                tenant: Some(said.tenant.required()?),
                user: None,
            },
            SubjectRule::TenantIfKnown => Self {
                tenant: said.tenant.optional()?,
                user: None,
            },
            SubjectRule::User if bound => Self {
                tenant: Some(said.tenant.required()?),
                user: Some(said.user.required()?),
            },
            SubjectRule::User => Self {
                tenant: said.tenant.optional()?,
                user: Some(said.user.required()?),
            },
            SubjectRule::UserAndTenant => Self {
                tenant: Some(said.tenant.required()?),
                user: Some(said.user.required()?),
            },
        };
        if let (Some(tenants), Some(tenant)) = (tenants, &subject.tenant)
            && !tenants.contains(tenant)
        {
            return Err(SubjectError::NotOfCaller);
        }
        Ok(subject)
    }
}

/// Operations that are for no tenant in particular, or reach a user of any.
fn is_environment_wide(facts: &Facts) -> bool {
    facts.operation == Operation::UserUnenroll
        || (facts.category == Category::Management && facts.subject == SubjectRule::Nobody)
}

/// What was said of tenant and user, before the operation is asked what it needs.
struct Said {
    tenant: Claim<TenantId>,
    user: Claim<UserId>,
}

/// What was said of one of the two.
enum Claim<T> {
    Malformed(HeaderName),
    Known(T),
    Unknown(Source),
}

/// Where it would have been said.
enum Source {
    Configuration(&'static str),
    Header(HeaderName),
}

impl Said {
    fn read(rules: &Rules, headers: &HeaderMap) -> Self {
        match &rules.from {
            SubjectFrom::Fixed { tenant, user } => Self {
                tenant: Claim::configured(tenant.as_ref(), "subject.tenant"),
                user: Claim::configured(user.as_ref(), "subject.user"),
            },
            SubjectFrom::Headers { tenant, user } => Self {
                tenant: Claim::said(headers, tenant, |value| TenantId::from_header(value).ok()),
                user: Claim::said(headers, user, |value| UserId::from_header(value).ok()),
            },
        }
    }
}

impl<T> Claim<T> {
    fn configured(value: Option<&T>, key: &'static str) -> Self
    where
        T: Clone,
    {
        value.map_or(Self::Unknown(Source::Configuration(key)), |value| {
            Self::Known(value.clone())
        })
    }

    fn said(
        headers: &HeaderMap,
        name: &HeaderName,
        parse: impl Fn(&http::HeaderValue) -> Option<T>,
    ) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Unknown(Source::Header(name.clone())),
            (Some(only), None) => {
                parse(only).map_or_else(|| Self::Malformed(name.clone()), Self::Known)
            }
            (Some(_), Some(_)) => Self::Malformed(name.clone()),
        }
    }

    fn optional(self) -> Result<Option<T>, SubjectError> {
        match self {
            Self::Known(value) => Ok(Some(value)),
            Self::Malformed(name) => Err(SubjectError::Malformed(name)),
            Self::Unknown(_) => Ok(None),
        }
    }

    fn required(self) -> Result<T, SubjectError> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Malformed(name) => Err(SubjectError::Malformed(name)),
            Self::Unknown(Source::Configuration(key)) => Err(SubjectError::NotConfigured(key)),
            Self::Unknown(Source::Header(name)) => Err(SubjectError::Missing(name)),
        }
    }
}

impl<T: PartialEq> Claim<T> {
    fn names_another_than(&self, guard: &T) -> bool {
        match self {
            Self::Known(value) => value != guard,
            Self::Malformed(_) => true,
            Self::Unknown(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
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
        Subject::read(operation.facts(), rules, tenants.as_deref(), &headers).map(|subject| {
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
}
