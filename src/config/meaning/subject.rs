//! `[subject]`: on whose behalf.

use http::HeaderName;

use super::{Reader, headers, tokens};
use crate::{
    config::settings::{Listen, Routes, Subject, SubjectFrom},
    model::{TenantId, UserId},
    route::SubjectRule,
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
    let from = reader.text(FROM);
    if from != "user-token" {
        tokens::user_token_is_unused(reader);
    }
    let from = if from == "fixed" {
        fixed_is_whole(reader, routes);
        SubjectFrom::Fixed {
            tenant: tenant.clone(),
            user,
        }
    } else {
        if user.is_some() && !reader.problems.touch(FROM) {
            reader.problem(
                USER,
                "is used with subject.from = \"fixed\" alone",
                "remove it, or set subject.from = \"fixed\"",
            );
        }
        let headers = tenant_header.zip(user_header);
        if headers
            .as_ref()
            .is_some_and(|(tenant, user)| tenant == user)
        {
            reader.problem(
                "subject.user_header",
                "is the same as subject.tenant_header",
                "name a header of its own",
            );
        }
        if from == "user-token" {
            SubjectFrom::UserToken(Box::new(tokens::user_token(reader, headers)?))
        } else {
            headers_are_meant(reader, listen);
            let (tenant, user) = headers?;
            SubjectFrom::Headers { tenant, user }
        }
    };
    Some(Subject { from, tenant })
}

/// What no request brings along must be here, or an operation would never succeed.
fn fixed_is_whole(reader: &mut Reader<'_>, routes: &Routes) {
    let needing = |rules: &[SubjectRule]| {
        let mut allowed = routes.allowed.iter().copied();
        allowed.find(|operation| rules.contains(&operation.facts().subject))
    };
    let for_user = needing(&[SubjectRule::User, SubjectRule::UserAndTenant]);
    let for_tenant = needing(&[SubjectRule::UserAndTenant]);
    for (key, whose, operation) in [(USER, "user", for_user), (TENANT, "tenant", for_tenant)] {
        let Some(operation) = operation else { continue };
        if reader.given(key).is_some() || reader.problems.touch(key) {
            continue;
        }
        let name = operation.name();
        reader.missing(
            key,
            FROM,
            format!("is needed with subject.from = \"fixed\": {name} acts for a {whose}"),
            format!("set it, or add {name:?} and its like to routes.deny"),
        );
    }
}

fn headers_are_meant(reader: &mut Reader<'_>, listen: &[Listen]) {
    let mut binds = listen.iter().flat_map(|listen| &listen.addresses);
    if binds.any(|bind| !bind.is_local()) {
        reader.warn(
            FROM,
            "callers on other machines say themselves which user they act for",
            "give each of the callers its tenants, and a key that nobody else has",
        );
    }
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
