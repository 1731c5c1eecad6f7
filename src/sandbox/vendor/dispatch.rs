//! From a request that was read to its answer: every endpoint has its handler here.

use std::net::SocketAddr;

use http::{StatusCode, request::Parts};
use serde_json::to_value;

use super::{
    answer::{Answer, Refusal},
    auth,
    call::{Call, Fields, Handled},
    endpoint::Endpoint,
    login, policy, session,
    shared::Shared,
    user,
};
use crate::{
    route::Operation,
    sandbox::world::{Purpose, World},
};

/// Does what is asked. The world is changed in one go: no other request comes between.
pub(super) fn answer(
    shared: &Shared,
    peer: SocketAddr,
    head: &Parts,
    body: &[u8],
    (endpoint, parameter): (Endpoint, Option<&str>),
) -> Answer {
    shared
        .world
        .with(|world| handle(shared, world, peer, head, body, (endpoint, parameter)))
        .unwrap_or_else(Answer::from)
}

fn handle(
    shared: &Shared,
    world: &mut World,
    peer: SocketAddr,
    head: &Parts,
    body: &[u8],
    (endpoint, parameter): (Endpoint, Option<&str>),
) -> Handled {
    let (path, headers) = (head.uri.path(), &head.headers);
    let fields = || Fields::read(body);
    match endpoint {
        Endpoint::FirstFactor => session::first_factor(shared, world, headers, &fields()?),
        Endpoint::Jwks => {
            let keys = to_value(shared.signer.jwks()?).unwrap_or_default();
            Ok(Answer::json(StatusCode::OK, &keys))
        }
        Endpoint::Me => session::me(shared, world, headers),
        Endpoint::Tenants => session::tenants(shared, world, path, headers),
        Endpoint::TokenExchange => auth::exchange(shared, &fields()?),
        Endpoint::Unknown => Err(Refusal::not_found(format!("Cannot {} {path}", head.method))),
        Endpoint::Operation(operation) => {
            let who = auth::identify(shared, path, headers)?;
            let now = shared.clock.now();
            let address = shared.client_address(headers, peer);
            shared.limits.admit(operation, address, now)?;
            let mut call = Call {
                shared,
                world,
                now,
                who: &who,
                headers,
                query: head.uri.query(),
                parameter: parameter.unwrap_or_default(),
                fields: &fields()?,
            };
            operate(&mut call, operation)
        }
    }
}

#[rustfmt::skip] // it is a table: let it look like one
fn operate(call: &mut Call<'_>, operation: Operation) -> Handled {
    use Operation as O;
    let subject = |call: &Call<'_>| user::subject(call, operation);
    let device = call.parameter;
    match operation {
        O::Recover                        => login::recover(call),
        O::LoginVerify                    => login::verify(call, None),
        O::LoginEmailRequest              => login::email_request(call),
        O::LoginEmailVerify               => login::code_verify(call, &Purpose::LoginByEmail),
        O::LoginAuthenticatorEnroll       => login::authenticator_enroll(call),
        O::LoginAuthenticatorEnrollVerify => login::authenticator_enroll_verify(call),
        O::LoginAuthenticatorVerify       => login::verify(call, Some(device)),
        O::LoginSmsEnroll                 => login::sms_enroll(call),
        O::LoginSmsEnrollVerify           => login::sms_enroll_verify(call),
        O::LoginSmsRequest                => login::sms_request(call),
        O::LoginSmsVerify                 => login::code_verify(call, &Purpose::LoginByPhone(device.to_owned())),
        O::LoginWebauthnEnroll            => login::webauthn_enroll(call),
        O::LoginWebauthnEnrollVerify      => login::webauthn_enroll_verify(call),
        O::LoginWebauthnRequest           => login::webauthn_request(call),
        O::LoginWebauthnVerify            => login::webauthn_verify(call),
        O::LoginRememberDevice            => login::remember_device(call),
        O::UserDevices                    => user::devices(call, &subject(call)?),
        O::UserEnroll
        | O::UserAuthenticatorEnroll      => user::authenticator_enroll(call, &subject(call)?),
        O::UserEnrollVerify
        | O::UserAuthenticatorEnrollVerify => user::authenticator_enroll_verify(call, &subject(call)?),
        O::UserDisable                    => user::disable(call, &subject(call)?),
        O::UserAuthenticatorDisable       => user::authenticator_disable(call, &subject(call)?),
        O::UserSmsEnroll                  => user::sms_enroll(call, &subject(call)?),
        O::UserSmsEnrollVerify            => user::sms_enroll_verify(call, &subject(call)?),
        O::UserSmsDisable                 => user::sms_disable(call, &subject(call)?),
        O::UserSmsDisableVerify           => user::sms_disable_verify(call, &subject(call)?),
        O::UserWebauthnEnroll             => user::webauthn_enroll(call, &subject(call)?),
        O::UserWebauthnEnrollVerify       => user::webauthn_enroll_verify(call, &subject(call)?),
        O::UserWebauthnDisable            => user::webauthn_disable(call, &subject(call)?),
        O::UserWebauthnDisableVerify      => user::webauthn_disable_verify(call, &subject(call)?),
        O::PolicyGet                      => policy::get(call),
        O::PolicyCreate                   => policy::create(call),
        O::PolicyUpdate                   => policy::update(call),
        O::PolicyUpsert                   => policy::upsert(call),
        O::PolicyEnvironmentGet           => policy::environment_get(call),
        O::ConfigGet                      => policy::config_get(call),
        O::ConfigUpdate                   => policy::config_update(call),
        O::StrategiesGet                  => policy::strategies_get(call),
        O::StrategiesSet                  => policy::strategies_set(call),
        O::UserUnenroll                   => user::unenroll(call),
    }
}
