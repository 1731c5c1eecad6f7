//! `[subject]`: on whose behalf.

use http::HeaderName;

use super::{Reader, headers};
use crate::{
    config::settings::{Listen, Routes, Subject, SubjectFrom},
    model::{TenantId, UserId},
    route::{Operation, SubjectRule},
};

const TENANT: &str = "subject.tenant";
const USER: &str = "subject.user";
const FROM: &str = "subject.from";

pub(super) fn read(reader: &mut Reader<'_>, routes: &Routes, listen: &[Listen]) -> Option<Subject> {
    const MEND: &str = "copy the id from the vendor's portal";
    let tenant = reader.parsed(TENANT, TenantId::parse, MEND);
    let user = reader.parsed(USER, UserId::parse, MEND);
    let tenant_header = header(reader, "subject.tenant_header", "frontegg-tenant-id");
    let user_header = header(reader, "subject.user_header", "frontegg-user-id");
    let from = match reader.text(FROM) {
        "fixed" => {
            let missing = |key: &str, reader: &Reader<'_>| {
                reader.given(key).is_none() && !reader.problems.touch(key)
            };
            if let Some(operation) =
                needing(routes, &[SubjectRule::User, SubjectRule::UserAndTenant])
                && missing(USER, reader)
            {
                let what = format!(
                    "is needed with subject.from = \"fixed\": {} acts for a user",
                    operation.name()
                );
                reader.problem(
                    USER,
                    what,
                    "set it, or take the operations of users off routes.allow",
                );
            }
            if let Some(operation) = needing(routes, &[SubjectRule::UserAndTenant])
                && missing(TENANT, reader)
            {
                let what = format!(
                    "is needed with subject.from = \"fixed\": {} acts for a tenant",
                    operation.name()
                );
                let mend = format!("set it, or add {:?} to routes.deny", operation.name());
                reader.problem(TENANT, what, mend);
            }
            SubjectFrom::Fixed {
                tenant: tenant.clone(),
                user,
            }
        }
        _headers => {
            if user.is_some() && !reader.problems.touch(FROM) {
                reader.problem(
                    USER,
                    "is used with subject.from = \"fixed\" alone",
                    "remove it, or set subject.from = \"fixed\"",
                );
            }
            if listen
                .iter()
                .flat_map(|listen| &listen.addresses)
                .any(|bind| !bind.is_local())
            {
                reader.warn(
                    FROM,
                    "callers on other machines say themselves which user they act for",
                    "give each of the callers its tenants, and a key that nobody else has",
                );
            }
            SubjectFrom::Headers {
                tenant: tenant_header?,
                user: user_header?,
            }
        }
    };
    if let SubjectFrom::Headers { tenant, user } = &from
        && tenant == user
    {
        reader.problem(
            "subject.user_header",
            "is the same as subject.tenant_header",
            "name a header of its own",
        );
    }
    Some(Subject { from, tenant })
}

/// The first operation that is let through and has one of these rules.
fn needing(routes: &Routes, rules: &[SubjectRule]) -> Option<Operation> {
    let mut allowed = routes.allowed.iter().copied();
    allowed.find(|operation| rules.contains(&operation.facts().subject))
}

fn header(reader: &mut Reader<'_>, key: &str, standard: &str) -> Option<HeaderName> {
    let text = reader.text(key);
    // The two of the vendor's are the very purpose here, and nobody else's.
    if text.eq_ignore_ascii_case(standard) {
        return standard.parse().ok();
    }
    headers::name(text)
        .map_err(|(what, mend)| {
            let mend = match text {
                "" => format!("write a header's name, such as {standard}"),
                _ => mend.replace(
                    "remove it: only the gateway may set it",
                    "choose another name",
                ),
            };
            reader.problem(key, format!("{text:?} {what}"), mend);
        })
        .ok()
}
