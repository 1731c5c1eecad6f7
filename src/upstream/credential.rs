//! On whose credential a request leaves.

use http::HeaderValue;

use crate::credential::Bearer;

/// On whose credential a request goes.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// The environment's.
    Environment(&'a Bearer),
    /// The user's own token, which was verified: `Bearer …`, marked sensitive.
    User(&'a HeaderValue),
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{
        HeaderMap,
        header::{AUTHORIZATION, HeaderName},
        uri::PathAndQuery,
    };

    use super::*;
    use crate::{
        config::Headers,
        credential::bearer_for_tests,
        model::{RequestId, TenantId, UserId},
        net::testing::Ca,
        route::Operation,
        upstream::{Blueprint, Outgoing},
    };

    fn build(credential: Credential<'_>) -> HeaderMap {
        let settings = Ca::new().settings(([127, 0, 0, 1], 8443).into());
        let headers = Headers {
            forward: Vec::new(),
            cookies: Vec::new(),
        };
        let mut caller_headers = HeaderMap::new();
        caller_headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer theirs"));
        let outgoing = Outgoing {
            operation: Operation::UserSmsDisable,
            path_and_query: &PathAndQuery::from_static("/identity/x"),
            tenant: Some(&TenantId::parse("tenant-1").unwrap()),
            user: Some(&UserId::parse("user-1").unwrap()),
            client: None,
            request_id: RequestId::new(),
            caller_headers: &caller_headers,
            trace: None,
            body: &Bytes::new(),
        };
        let blueprint = Blueprint::new(&settings, &headers, None);
        blueprint.build(outgoing, credential).headers()
    }

    #[test]
    fn a_users_own_token_says_itself_whose_it_is() {
        let subject = ["frontegg-tenant-id", "frontegg-user-id"].map(HeaderName::from_static);
        let own = HeaderValue::from_static("Bearer own");
        let headers = build(Credential::User(&own));
        assert_eq!(headers[AUTHORIZATION], "Bearer own");
        assert!(subject.iter().all(|name| !headers.contains_key(name)));
        let ours = bearer_for_tests("Bearer ours");
        let headers = build(Credential::Environment(&ours));
        assert_eq!(headers[AUTHORIZATION], "Bearer ours");
        assert!(subject.iter().all(|name| headers.contains_key(name)));
    }
}
