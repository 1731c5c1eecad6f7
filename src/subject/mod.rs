//! On whose behalf a request is: the tenant and user that leave with it.
//!
//! Promises that what the route table wants known is known, well-formed and said once, and that
//! it agrees with the guard of the configuration and with the caller's own tenants. Where a
//! user's token says it ([`token`]), nobody else does.

#[cfg(test)]
mod tests;
pub mod token;

use http::{HeaderMap, HeaderName};

use crate::{
    config::{Subject as Rules, SubjectFrom},
    jwt::{JwtError, StepUp, StepUpError, UserToken},
    model::{Repeated, TenantId, UserId, single},
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
    pub fn said(rules: &Rules, spoken: Spoken<'_>) -> Self {
        let said = match &rules.from {
            SubjectFrom::Fixed { tenant, user } => Said::configured(tenant.as_ref(), user.as_ref()),
            SubjectFrom::Headers { tenant, user } => Said::in_headers(spoken.headers, tenant, user),
            SubjectFrom::UserToken(rules) => {
                Said::in_headers(spoken.headers, &rules.tenant_header, &rules.user_header)
            }
        };
        let said = Self {
            tenant: said.tenant.optional().ok().flatten(),
            user: said.user.optional().ok().flatten(),
        };
        let tokens = spoken.token.filter(|_token| spoken.path_user.is_none());
        Self {
            tenant: said.tenant.or_else(|| Some(spoken.token?.tenant().clone())),
            user: said.user.or_else(|| Some(tokens?.user().clone())),
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

/// Where a request may say on whose behalf it is.
#[derive(Clone, Copy, Debug)]
pub struct Spoken<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The user in its path, where the operation has one.
    pub path_user: Option<&'a str>,
    /// Its user's token, which was verified, where [`token::is_asked_for`].
    pub token: Option<&'a UserToken>,
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// Why there is no subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The path names somebody else than the user's token.
    #[error("the user in the path is not the token's")]
    AnotherUser,
    /// A header names somebody else than the user's token.
    #[error("header {0} disagrees with the token")]
    Disagrees(HeaderName),
    /// The caller may not do this operation for one tenant only.
    #[error("the operation is for the whole environment, and the caller is bound to tenants")]
    EnvironmentWide,
    /// Said more than once, or not in 1 to 128 visible ASCII characters.
    #[error("header {0} is not one value of 1 to 128 visible ASCII characters")]
    Malformed(HeaderName),
    /// The operation needs it.
    #[error("header {0} is missing")]
    Missing(HeaderName),
    /// `Authorization` is there more than once, or holds no bearer token.
    #[error("header authorization is not one bearer token")]
    NotBearer,
    /// `subject.from = "fixed"` without what the operation needs.
    #[error("{0} is not configured")]
    NotConfigured(&'static str),
    /// Not one of the caller's tenants.
    #[error("the caller is not bound to this tenant")]
    NotOfCaller,
    /// Not the tenant that the gateway is bound to.
    #[error("the tenant is not subject.tenant")]
    NotOfGateway,
    /// The user isn't present as surely as the operation asks.
    #[error("{error}")]
    StepUp {
        /// Why not.
        error: StepUpError,
        /// What is asked.
        asked: StepUp,
    },
    /// The user's token isn't believed.
    #[error("the user's token is not believed: {0}")]
    Token(#[from] JwtError),
    /// The operation needs a user's token.
    #[error("the user's token is missing")]
    TokenMissing,
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
        spoken: Spoken<'_>,
    ) -> Result<Self, SubjectError> {
        if tenants.is_some() && is_environment_wide(facts) {
            return Err(SubjectError::EnvironmentWide);
        }
        let mut said = Said::read(facts, rules, spoken)?;
        let bound = tenants.is_some() && facts.category != Category::Authentication;
        if let Some(guard) = &rules.tenant {
            if said.tenant.names_another_than(guard) {
                return Err(SubjectError::NotOfGateway);
            }
            // SECURITY: a request without a tenant would reach users of any. Who is bound to some
            // tenants must say which.
            if !bound {
                said.tenant.default_to(guard);
            }
        }
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
    Token,
}

impl Said {
    fn read(facts: &Facts, rules: &Rules, spoken: Spoken<'_>) -> Result<Self, SubjectError> {
        Ok(match &rules.from {
            SubjectFrom::Fixed { tenant, user } => Self::configured(tenant.as_ref(), user.as_ref()),
            SubjectFrom::Headers { tenant, user } => Self::in_headers(spoken.headers, tenant, user),
            SubjectFrom::UserToken(rules) => match token::speaker(facts, rules, spoken)? {
                Some(token) => Self {
                    tenant: Claim::Known(token.tenant().clone()),
                    user: Claim::Known(token.user().clone()),
                },
                None => Self {
                    tenant: Claim::Unknown(Source::Token),
                    user: Claim::Unknown(Source::Token),
                },
            },
        })
    }

    fn configured(tenant: Option<&TenantId>, user: Option<&UserId>) -> Self {
        Self {
            tenant: Claim::configured(tenant, "subject.tenant"),
            user: Claim::configured(user, "subject.user"),
        }
    }

    fn in_headers(headers: &HeaderMap, tenant: &HeaderName, user: &HeaderName) -> Self {
        Self {
            tenant: Claim::said(headers, tenant, |value| TenantId::from_header(value).ok()),
            user: Claim::said(headers, user, |value| UserId::from_header(value).ok()),
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
        match single(headers, name) {
            Ok(None) => Self::Unknown(Source::Header(name.clone())),
            Ok(Some(only)) => {
                parse(only).map_or_else(|| Self::Malformed(name.clone()), Self::Known)
            }
            Err(Repeated) => Self::Malformed(name.clone()),
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
            Self::Unknown(Source::Token) => Err(SubjectError::TokenMissing),
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

    /// Where nothing else was said it is this.
    fn default_to(&mut self, guard: &T)
    where
        T: Clone,
    {
        if matches!(self, Self::Unknown(_)) {
            *self = Self::Known(guard.clone());
        }
    }
}
