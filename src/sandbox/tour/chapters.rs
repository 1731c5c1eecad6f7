//! What the tour shows, in its order.

use http::StatusCode;

use super::{Call, Tour, TourError};
use crate::{
    route::Operation,
    sandbox::world::seed::{self, Person},
};

/// Attempts of one email that go to the vendor at once: the first of the default quotas.
const ATTEMPTS: u32 = 5;

/// Tells all of it.
pub(super) async fn tell(tour: &mut Tour<'_>) -> Result<(), TourError> {
    introduce(tour)?;
    recover(tour).await?;
    guess(tour).await?;
    disable_authenticator(tour).await?;
    disable_phone(tour).await?;
    enrol(tour).await?;
    disable_without_proof(tour).await?;
    bring_credentials(tour).await?;
    name_another_tenant(tour).await
}

fn introduce(tour: &mut Tour<'_>) -> Result<(), TourError> {
    let (gateway, vendor) = (tour.gateway, tour.vendor.address());
    tour.page.prose(
        "The gateway below is the real one. The vendor is a stand-in on this machine, with \
         made-up users; the calls and the TLS between the two are real.",
    )?;
    tour.page.picture(&[
        "  this tour ──HTTP──▶ gateway ────────TLS──▶ stand-in of the vendor".to_owned(),
        format!("{:22}{:<23}{vendor}", "", gateway.to_string()),
    ])?;
    Ok(())
}

async fn recover(tour: &mut Tour<'_>) -> Result<(), TourError> {
    let barbara = seed::BARBARA;
    tour.chapter(
        "Recovery with the right code",
        "Barbara has lost the phone with her authenticator app. She sends her email and her \
         recovery code, without any credential of the environment's: the gateway adds it. One \
         audit record is written before the request leaves, another before the answer goes out.",
    )?;
    let code = barbara.recovery_code.unwrap_or_default();
    tour.secret("a recovery code", code);
    tour.secret("an email", barbara.email);
    let done = tour.show(&recovery(barbara.email, code)).await?;
    tour.expect_exchange(&done, StatusCode::OK)?;
    let credential = done
        .received
        .iter()
        .any(|one| one.header("authorization").is_some_and(is_bearer));
    tour.expect(credential, "it arrived with the environment's credential")?;
    let enrolled = is_enrolled(tour, &barbara);
    tour.expect(!enrolled, "Barbara has no second factor any more")?;
    let hashed = done
        .records
        .iter()
        .filter_map(super::Record::user)
        .all(|user| user.starts_with("email:"));
    tour.expect(hashed, "her email stands in the audit log as a keyed hash")?;
    Ok(())
}

async fn guess(tour: &mut Tour<'_>) -> Result<(), TourError> {
    let hedy = seed::HEDY;
    tour.chapter(
        "Guessing a recovery code",
        "Somebody guesses Hedy's recovery code. The vendor's own limit counts by address, and \
         behind a gateway all users share one. So the gateway counts by email: 5 attempts in 15 \
         minutes, 20 a day.",
    )?;
    tour.secret("an email", hedy.email);
    let first = "wrong-recovery-code-1";
    tour.secret("a wrong code", first);
    let done = tour.show(&recovery(hedy.email, first)).await?;
    tour.expect_exchange(&done, StatusCode::UNAUTHORIZED)?;
    tour.page.gap()?;
    for number in 2..=ATTEMPTS {
        let code = format!("wrong-recovery-code-{number}");
        tour.secret("a wrong code", &code);
        let done = tour.make(&recovery(hedy.email, &code)).await?;
        let status = done.answer.status;
        let what = format!("attempt {number}, with another code: {status}");
        let came = (done.received.len(), done.records.len()) == (1, 2);
        tour.expect(came && status == StatusCode::UNAUTHORIZED, &what)?;
    }

    tour.page.gap()?;
    tour.page.prose(
        "The sixth spells the email in another way and has the right code. It is refused all the \
         same: the spelling doesn't matter, and the answer doesn't tell right codes from wrong ones.",
    )?;
    let right = hedy.recovery_code.unwrap_or_default();
    tour.secret("a recovery code", right);
    let done = tour.show(&recovery("Hedy@ACME.example", right)).await?;
    tour.expect_refusal(&done, StatusCode::TOO_MANY_REQUESTS, "rate-limited")?;
    let waits = done.answer.headers.get_all("retry-after").iter().count();
    let wait: u64 = done
        .answer
        .header("retry-after")
        .parse()
        .unwrap_or_default();
    tour.expect(
        waits == 1 && (1..=180).contains(&wait),
        &format!(
            "Retry-After says when the next attempt is free: in {wait} s (15 min / 5 at most)"
        ),
    )?;
    let told = done.answer.header("ratelimit-policy")
        == r#""email";q=5;w=900, "email";q=20;w=86400"#
        && done
            .answer
            .header("ratelimit")
            .starts_with(r#""email";r=0;"#);
    tour.expect(
        told,
        "RateLimit-Policy and RateLimit say which limit it was",
    )?;
    let enrolled = is_enrolled(tour, &hedy);
    tour.expect(enrolled, "Hedy still has her security key")?;
    Ok(())
}

async fn disable_authenticator(tour: &mut Tour<'_>) -> Result<(), TourError> {
    let ada = seed::ADA;
    let (device, secret) = ada.authenticator.unwrap_or_default();
    tour.chapter(
        "Disabling an authenticator app",
        "Ada removes her authenticator app. The proof is the code that it shows now (TOTP, RFC \
         6238). Guesses of it are limited too, by device.",
    )?;
    let code = tour.vendor.totp(secret).unwrap_or_default();
    tour.secret("a one-time code", &code);
    let path = path(Operation::UserAuthenticatorDisable, device);
    let call = Call::post(path, &format!(r#"{{"token":"{code}"}}"#));
    let done = tour.show(&call.on_behalf_of(ada.tenant, ada.id)).await?;
    tour.expect_exchange(&done, StatusCode::OK)?;
    let enrolled = is_enrolled(tour, &ada);
    tour.expect(!enrolled, "Ada's authenticator app is gone")?;
    Ok(())
}

async fn disable_phone(tour: &mut Tour<'_>) -> Result<(), TourError> {
    let grace = seed::GRACE;
    let (device, number) = grace.phone.unwrap_or_default();
    tour.chapter(
        "Disabling SMS, in two steps",
        "Grace removes her phone. The first step sends a code to it and answers an otcToken; \
         the second takes both. How many codes are sent is limited as well: they cost money.",
    )?;
    let call = Call::post(path(Operation::UserSmsDisable, device), "{}");
    let done = tour
        .show(&call.on_behalf_of(grace.tenant, grace.id))
        .await?;
    tour.expect_exchange(&done, StatusCode::OK)?;
    let token = done.answer.field("otcToken");
    let code = tour.vendor.last_code_to(number).unwrap_or_default();
    tour.secret("an otcToken", &token);
    tour.secret("a code sent by SMS", &code);
    tour.page.gap()?;
    tour.page
        .prose(&format!("The stand-in sends an SMS to {number}: {code}"))?;
    let body = format!(r#"{{"otcToken":"{token}","code":"{code}"}}"#);
    let call = Call::post(path(Operation::UserSmsDisableVerify, device), &body);
    let done = tour
        .show(&call.on_behalf_of(grace.tenant, grace.id))
        .await?;
    tour.expect_exchange(&done, StatusCode::OK)?;
    let user = tour.vendor.user(grace.id).unwrap_or_default();
    tour.expect(
        user.phones.is_empty() && user.authenticators.len() == 1,
        "Grace's phone is gone, her authenticator app is not",
    )?;
    Ok(())
}

async fn enrol(tour: &mut Tour<'_>) -> Result<(), TourError> {
    let katherine = seed::KATHERINE;
    tour.chapter(
        "A route that is not let through",
        "Whoever may name a user could add a factor of their own to that user's account. So \
         enrolment is off until routes.allow has it.",
    )?;
    let call = Call::post(path(Operation::UserAuthenticatorEnroll, ""), "{}");
    let call = call.on_behalf_of(katherine.tenant, katherine.id);
    let done = tour.show(&call).await?;
    tour.expect_refusal(&done, StatusCode::FORBIDDEN, "route-not-allowed")?;
    Ok(())
}

async fn disable_without_proof(tour: &mut Tour<'_>) -> Result<(), TourError> {
    let grace = seed::GRACE;
    let (device, _secret) = grace.authenticator.unwrap_or_default();
    tour.chapter(
        "Removing a factor without a proof",
        "On the environment's credential the vendor takes this request with an empty body, and \
         removes every second factor of the user that it names. A gateway that adds the \
         credential must not pass it on: routes.deny has it by default.",
    )?;
    let call = Call::post(path(Operation::UserDisable, ""), "{}");
    let done = tour
        .show(&call.on_behalf_of(grace.tenant, grace.id))
        .await?;
    tour.expect_refusal(&done, StatusCode::FORBIDDEN, "route-not-allowed")?;
    tour.page.gap()?;
    tour.page.prose(
        "The vendor's schema has the code optional here too. Where the route table names a \
         proof, the gateway insists on it.",
    )?;
    let call = Call::post(path(Operation::UserAuthenticatorDisable, device), "{}");
    let done = tour
        .show(&call.on_behalf_of(grace.tenant, grace.id))
        .await?;
    tour.expect_refusal(&done, StatusCode::BAD_REQUEST, "invalid-body")?;
    let enrolled = is_enrolled(tour, &grace);
    tour.expect(enrolled, "Grace still has her authenticator app")?;
    Ok(())
}

async fn bring_credentials(tour: &mut Tour<'_>) -> Result<(), TourError> {
    const FORGED: [(&str, &str); 4] = [
        ("authorization", "Bearer forged-by-the-caller"),
        ("x-access-token", "forged-access-token"),
        ("x-frontegg-forwarded-for", "203.0.113.7"),
        ("cookie", "session=cookie-of-the-app"),
    ];
    let grace = seed::GRACE;
    tour.chapter(
        "A caller with credentials of its own",
        "The caller sends a credential, an address to be counted by, and the app's own session. \
         Nothing of that goes on: headers go by an allow-list, and what names a credential, \
         tenant, user or address is set by the gateway alone.",
    )?;
    let mut call = Call::get(path(Operation::UserDevices, ""));
    for (name, value) in FORGED {
        let what = "what the caller sent as a credential";
        tour.secret(what, value.strip_prefix("Bearer ").unwrap_or(value));
        call = call.header(name, value);
    }
    let done = tour
        .show(&call.on_behalf_of(grace.tenant, grace.id))
        .await?;
    tour.page
        .picture(&["  the stand-in received these headers".to_owned()])?;
    let headers: Vec<_> = done
        .received
        .iter()
        .flat_map(|received| &received.headers)
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()))
        .collect();
    for (name, value) in &headers {
        let value = match value.strip_prefix("Bearer ") {
            Some(token) => format!("Bearer {token:.12}… (the environment's)"),
            None => (*value).to_owned(),
        };
        tour.page.received(name, &value)?;
    }
    tour.page.gap()?;
    tour.expect_exchange(&done, StatusCode::OK)?;
    let ours = headers
        .iter()
        .filter(|(name, _value)| *name == "authorization")
        .all(|(_name, value)| is_bearer(value));
    let foreign = |(name, value): &(&str, &str)| FORGED.contains(&(*name, *value));
    let arrived = headers.iter().any(foreign);
    tour.expect(ours && !arrived, "nothing that the caller made up arrived")?;
    Ok(())
}

async fn name_another_tenant(tour: &mut Tour<'_>) -> Result<(), TourError> {
    let edith = seed::EDITH;
    tour.chapter(
        "Another tenant",
        "This gateway is bound to the tenant Acme (subject.tenant). Edith is a user of Globex. \
         A caller that is bound to tenants of its own ([[callers]]) is refused in the same way.",
    )?;
    let call = Call::get(path(Operation::UserDevices, ""));
    let done = tour
        .show(&call.on_behalf_of(edith.tenant, edith.id))
        .await?;
    tour.expect_refusal(&done, StatusCode::FORBIDDEN, "subject-not-allowed")?;
    Ok(())
}

fn recovery(email: &str, code: &str) -> Call {
    let body = format!(r#"{{"recoveryCode":"{code}","email":"{email}"}}"#);
    Call::post(path(Operation::Recover, ""), &body)
}

/// An operation's path, for this device if it has one.
fn path(operation: Operation, device: &str) -> String {
    operation.facts().path.replace("{deviceId}", device)
}

/// A token of the stand-in's is a JWT, which begins with the beginning of a JSON object.
fn is_bearer(value: &str) -> bool {
    value.starts_with("Bearer eyJ")
}

fn is_enrolled(tour: &Tour<'_>, person: &Person) -> bool {
    let user = tour.vendor.user(person.id);
    user.is_some_and(|user| user.is_enrolled())
}
