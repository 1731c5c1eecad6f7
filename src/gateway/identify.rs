//! Steps 3 and 5: who calls, and on whose behalf; and whom the request's tokens speak for.
//!
//! A token may have to wait for the keys that verify it: a user's within the time of a request, a
//! caller's, whom nothing tells from a stranger yet, only briefly.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Connection, Gateway, rejection::Rejection, trail::Trail};
use crate::{
    caller::{Caller, CallerError, Callers},
    config::{ActingWith, Settings, SubjectFrom, UserToken as Rules},
    jwks::{self, Keys, Patience, Verifier, VerifyError},
    jwt::{JwtError, ServiceAccountToken, UserToken},
    model::{Deadline, Signature},
    route::{Category, Facts, Operation, RouteMatch},
    subject::{Spoken, Subject, SubjectError, token},
};

/// The keys that tokens are verified with, where there are tokens to verify.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    /// Of users' tokens.
    pub users: Option<Keys>,
    /// Of service accounts' tokens.
    pub accounts: Option<Keys>,
}

/// One worker's verifiers.
#[derive(Debug)]
pub(super) struct Tokens {
    users: Option<(Rules, Verifier<UserToken>)>,
    accounts: Option<Verifier<ServiceAccountToken>>,
    /// The longest that a known caller's request waits for keys.
    patience: Duration,
}

/// The longest that a caller's token waits for keys. A place in `max_in_flight` is taken meanwhile,
/// and by anybody: as long as a fetch takes where all is well, and not as long as one may hang.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(2);

/// A user whose token was verified.
struct Present {
    token: UserToken,
    /// The token itself, where the request goes on with it.
    own: Option<HeaderValue>,
}

impl Gateway {
    /// Step 3.
    pub(super) async fn caller(
        &self,
        trail: &mut Trail,
        facts: &Facts,
        connection: &Connection,
        headers: &HeaderMap,
    ) -> Result<Caller, Rejection> {
        let token = self.tokens.account(&self.callers, headers).await?;
        let caller =
            self.callers
                .identify(&connection.proof, headers, token.as_ref(), facts.operation);
        let caller = caller.map_err(|error| {
            trail.caller(error.name());
            Rejection::Caller(error, self.callers.ways())
        })?;
        trail.caller(caller.name());
        Ok(caller)
    }

    /// Step 5, with the user's own token where it goes on in the credential's place. Whom a
    /// request is said to be for is in the record even if it is refused.
    pub(super) async fn subject(
        &self,
        trail: &mut Trail,
        matched: &RouteMatch<'_>,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<(Subject, Option<HeaderValue>), Rejection> {
        let facts = matched.facts();
        let names_a_user = facts.operation == Operation::UserUnenroll;
        let path_user = matched.parameter().filter(|_parameter| names_a_user);
        let mut spoken = Spoken {
            headers,
            path_user: path_user.as_ref().map(|user| user.as_str()),
            token: None,
            now: jwks::now(),
        };
        let said = |spoken| Subject::said(&self.subject, spoken);
        let present = self.tokens.user(facts, headers).await;
        let present = present.inspect_err(|_refused| trail.subject(&said(spoken)))?;
        spoken.token = present.as_ref().map(|present| &present.token);
        let subject = Subject::read(facts, &self.subject, caller.tenants(), spoken);
        let subject = subject.inspect_err(|_refused| trail.subject(&said(spoken)))?;
        trail.subject(&subject);
        Ok((subject, present.and_then(|present| present.own)))
    }
}

impl Tokens {
    pub(super) fn new(settings: &Settings, keys: &TokenKeys) -> Self {
        let users = match (&settings.subject.from, &keys.users) {
            (SubjectFrom::UserToken(rules), Some(keys)) => {
                let verifier = Verifier::new(
                    keys.clone(),
                    Some(rules.issuer.clone()),
                    rules.audience.clone(),
                    rules.signatures.clone(),
                );
                Some((Rules::clone(rules), verifier))
            }
            (_, _) => None,
        };
        let accounts = settings.kubernetes.as_ref().zip(keys.accounts.clone());
        Self {
            users,
            accounts: accounts.map(|(cluster, keys)| {
                let (issuer, audience) = (cluster.issuer.clone(), cluster.audience.clone());
                Verifier::new(keys, issuer, audience, Signature::ALL.to_vec())
            }),
            patience: settings.frontegg.request_timeout,
        }
    }

    /// The service account of a request's caller, where it shows a token of one.
    async fn account(
        &self,
        callers: &Callers,
        headers: &HeaderMap,
    ) -> Result<Option<ServiceAccountToken>, Rejection> {
        let (Some(verifier), Some(shown)) = (&self.accounts, callers.unverified(headers)) else {
            return Ok(None);
        };
        let limit = Deadline::after(self.patience.min(STRANGERS_PATIENCE));
        // boxed: else the futures of callers without a token would reserve space for it too
        match Box::pin(verifier.verify(shown, Patience::UntilFailure(limit))).await {
            Ok(token) => Ok(Some(token)),
            Err(VerifyError::Keys(error)) => Err(Rejection::Keys(error)),
            Err(VerifyError::Token(error)) => {
                Err(Rejection::Caller(CallerError::Token(error), callers.ways()))
            }
        }
    }

    /// The user on whose behalf a request is, where the operation asks for one.
    async fn user(&self, facts: &Facts, headers: &HeaderMap) -> Result<Option<Present>, Rejection> {
        let Some((rules, verifier)) = &self.users else {
            return Ok(None);
        };
        if !token::is_asked_for(facts, rules, headers) {
            return Ok(None);
        }
        let text = token::bearer(headers)?;
        let patience = Patience::Until(Deadline::after(self.patience));
        match Box::pin(verifier.verify(text, patience)).await {
            Ok(token) => Ok(Some(Present {
                token,
                own: own(facts, rules, text)?,
            })),
            Err(VerifyError::Keys(error)) => Err(Rejection::Keys(error)),
            Err(VerifyError::Token(error)) => Err(SubjectError::Token(error).into()),
        }
    }
}

/// The headers that say on whose behalf a request is.
pub(super) fn subject_headers(from: &SubjectFrom) -> Vec<HeaderName> {
    match from {
        SubjectFrom::Fixed { .. } => Vec::new(),
        SubjectFrom::Headers { tenant, user } => vec![tenant.clone(), user.clone()],
        SubjectFrom::UserToken(rules) => {
            vec![rules.tenant_header.clone(), rules.user_header.clone()]
        }
    }
}

/// The vendor takes a user's own token where users act for themselves, and nowhere else.
fn own(facts: &Facts, rules: &Rules, text: &str) -> Result<Option<HeaderValue>, SubjectError> {
    let for_themselves = matches!(facts.category, Category::Enrolment | Category::SelfService);
    if rules.credential == ActingWith::Environment || !for_themselves {
        return Ok(None);
    }
    let mut header = HeaderValue::try_from(format!("Bearer {text}"))
        .map_err(|_impossible| SubjectError::NotBearer)?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// What is wrong with a token, to the developer who sent it.
pub(super) const fn fault(error: JwtError) -> &'static str {
    match error {
        JwtError::Algorithm => "it is not signed in one of the accepted ways",
        JwtError::Audience => "it is for another audience: another environment's, perhaps",
        JwtError::Claim(_) => "it lacks a claim that is needed, or has it in another form",
        JwtError::Expired => "it has expired: get a new one",
        JwtError::Issuer => "it is from another issuer: another environment's, perhaps",
        JwtError::Malformed(_) => {
            "it is no JSON Web Token that is signed in one of the accepted ways"
        }
        JwtError::NotServiceAccount => "it is not a service account's",
        JwtError::NotUser => {
            "it is not a user's: only tokens of type userToken speak for a user who is present"
        }
        JwtError::NotYet => "it is not valid yet: check the clocks",
        JwtError::Signature => "its signature is wrong",
        JwtError::UnknownKey => "it is signed with a key that its issuer does not publish",
    }
}
