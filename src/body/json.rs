//! What a JSON body must hold, by the route table.

use std::fmt;

use bytes::Bytes;

use super::{
    Rules,
    strict::{Member, Value, members},
};
use crate::{
    json::{raw, text},
    model::{CanonicalEmail, CanonicalPhone, EmailError, PhoneError},
    route::{Facts, Field, FieldKind},
};

/// What is wrong with a body. Says nothing that the caller did not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A name stands twice in one object, so that two readers may see two things.
    #[error("a name stands twice in one object")]
    DuplicateName,
    /// The email can't be counted for certain.
    #[error("field email: {0}")]
    Email(EmailError),
    /// An object without a member where a proof belongs.
    #[error("field {0} must be an object with at least one member")]
    EmptyObject(&'static str),
    /// A required field is not there.
    #[error("field {0} is required")]
    Missing(&'static str),
    /// It is JSON, but not one object.
    #[error("must be one JSON object")]
    NotAnObject,
    /// It is no JSON text in UTF-8, or something follows it.
    #[error("must be one JSON text in UTF-8 and nothing after it")]
    NotJson,
    /// Not a string, an empty one, or a secret without a letter or digit.
    #[error("field {0} must be a string with a letter or digit in it")]
    NotText(&'static str),
    /// The number can't be counted for certain.
    #[error("field phoneNumber: {0}")]
    Phone(PhoneError),
    /// A field that this operation doesn't know.
    #[error("has a field that is not allowed here; routes.extra_fields lets more through")]
    UnknownField,
    /// A body where none belongs.
    #[error("must be absent: this operation takes none")]
    Unwanted,
}

/// A body that was checked.
///
/// Invariant: every secret that the route table names is in it and not blank.
#[derive(Clone)]
pub struct Checked {
    /// What goes on to the vendor.
    pub bytes: Bytes,
    /// The account, where the operation names it by email.
    pub email: Option<CanonicalEmail>,
    /// The login that the request is a step of, by what the vendor knows it by. A secret.
    pub login_token: Option<Box<str>>,
    /// Where a code goes to.
    pub phone: Option<CanonicalPhone>,
}

impl Checked {
    /// No body at all.
    pub(super) const fn empty() -> Self {
        Self {
            bytes: Bytes::new(),
            email: None,
            login_token: None,
            phone: None,
        }
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked")
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Checks a body that goes on as it came.
pub(super) fn check(facts: &Facts, rules: &Rules, body: Bytes) -> Result<Checked, Fault> {
    let members = members(&body, &[])?;
    let fields = known(facts, &members)?;
    let checked = named(&fields, rules)?;
    drop(members);
    Ok(Checked {
        bytes: body,
        ..checked
    })
}

/// Checks the body of `recover` and writes it anew from its checked fields, so that no reader
/// behind us can find another email in it.
pub(super) fn recover(facts: &Facts, rules: &Rules, body: &[u8]) -> Result<Checked, Fault> {
    let members = members(body, &rules.recover_extra_fields)?;
    let fields = known(facts, &members)?;
    let extra = |member: &&Member<'_>| !facts.fields.iter().any(|field| field.name == member.name);
    if members
        .iter()
        .filter(extra)
        .any(|member| member.raw.is_none())
    {
        return Err(Fault::UnknownField);
    }
    let checked = named(&fields, rules)?;
    let written = fields
        .iter()
        .map(|(_field, member)| *member)
        .chain(members.iter().filter(extra));
    Ok(Checked {
        bytes: write(written, body.len()),
        ..checked
    })
}

/// The fields that the route table names, each what it must be.
fn known<'m, 'b>(
    facts: &Facts,
    members: &'m [Member<'b>],
) -> Result<Vec<(Field, &'m Member<'b>)>, Fault> {
    let mut found = Vec::with_capacity(facts.fields.len());
    for &field in facts.fields {
        let Some(member) = members.iter().find(|member| member.name == field.name) else {
            if field.required {
                return Err(Fault::Missing(field.name));
            }
            continue;
        };
        match (field.kind, &member.value) {
            (FieldKind::Any, _) | (FieldKind::Object, Value::Object { empty: false }) => {}
            (FieldKind::Object, _) => return Err(Fault::EmptyObject(field.name)),
            (FieldKind::Email | FieldKind::Phone | FieldKind::Text, Value::Text(text))
                if !text.is_empty() => {}
            // SECURITY: who trims " " or takes no notice of a zero-width space finds no proof, and
            // that is enough for the vendor
            (FieldKind::Login | FieldKind::Secret, Value::Text(text))
                if text.contains(char::is_alphanumeric) => {}
            (
                FieldKind::Email
                | FieldKind::Login
                | FieldKind::Phone
                | FieldKind::Secret
                | FieldKind::Text,
                _,
            ) => return Err(Fault::NotText(field.name)),
        }
        found.push((field, member));
    }
    Ok(found)
}

/// Who the body is about.
fn named(fields: &[(Field, &Member<'_>)], rules: &Rules) -> Result<Checked, Fault> {
    let mut checked = Checked::empty();
    for (field, member) in fields {
        let Value::Text(text) = &member.value else {
            continue;
        };
        match field.kind {
            FieldKind::Email => {
                let email = CanonicalEmail::parse(text, rules.subaddress);
                checked.email = Some(email.map_err(Fault::Email)?);
            }
            FieldKind::Login if checked.login_token.is_none() => {
                checked.login_token = Some(text.as_ref().into());
            }
            FieldKind::Phone => {
                let phone = CanonicalPhone::parse(text);
                checked.phone = Some(phone.map_err(Fault::Phone)?);
            }
            FieldKind::Any
            | FieldKind::Login
            | FieldKind::Object
            | FieldKind::Secret
            | FieldKind::Text => {}
        }
    }
    Ok(checked)
}

/// Writes an object of these members: names and texts escaped anew, what was asked for raw as it came.
fn write<'m, 'b: 'm>(members: impl Iterator<Item = &'m Member<'b>>, size: usize) -> Bytes {
    let mut out = Vec::with_capacity(size);
    for member in members {
        let before = if out.is_empty() { "{" } else { "," };
        text(&mut out, before, &member.name);
        match (member.raw, &member.value) {
            (Some(value), _) => {
                raw(&mut out, ":");
                raw(&mut out, value);
            }
            (None, Value::Text(value)) => text(&mut out, ":", value),
            (None, Value::Object { .. } | Value::Other) => raw(&mut out, ":null"),
        }
    }
    raw(&mut out, "}");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Operation;

    fn recovered(body: &str, extra: &[&str]) -> Result<String, Fault> {
        let rules = Rules {
            recover_extra_fields: extra.iter().map(|name| (*name).to_owned()).collect(),
            ..Rules::default()
        };
        recover(Operation::Recover.facts(), &rules, body.as_bytes())
            .map(|checked| String::from_utf8(checked.bytes.to_vec()).unwrap())
    }

    fn checked(operation: Operation, body: &str) -> Result<Checked, Fault> {
        check(
            operation.facts(),
            &Rules::default(),
            Bytes::copy_from_slice(body.as_bytes()),
        )
    }

    #[test]
    fn what_recover_sends_is_written_anew() {
        let body = r#" { "email" : "\u0061nn@example.com" , "recoveryCode" : "AB\"C" } "#;
        assert_eq!(
            recovered(body, &[]).unwrap(),
            r#"{"recoveryCode":"AB\"C","email":"ann@example.com"}"#
        );
        let body = r#"{"x":{"a":[1, 2]},"recoveryCode":"A","email":"a@b.c"}"#;
        assert_eq!(
            recovered(body, &["x"]).unwrap(),
            r#"{"recoveryCode":"A","email":"a@b.c","x":{"a":[1, 2]}}"#
        );
        assert_eq!(recovered(body, &[]), Err(Fault::UnknownField));
        let body = r#"{"x":{"a":1,"a":2},"recoveryCode":"A","email":"a@b.c"}"#;
        assert_eq!(recovered(body, &["x"]), Err(Fault::DuplicateName));
    }

    #[test]
    fn a_proof_that_is_absent_or_empty_is_refused() {
        for (body, fault) in [
            ("{}", Fault::Missing("token")),
            (r#"{"token":""}"#, Fault::NotText("token")),
            (r#"{"token":" "}"#, Fault::NotText("token")),
            (r#"{"token":"\u0000"}"#, Fault::NotText("token")),
            (r#"{"token":"\u200b"}"#, Fault::NotText("token")),
            (r#"{"token":null}"#, Fault::NotText("token")),
            (r#"{"token":123456}"#, Fault::NotText("token")),
            (r#"{"token":["1"]}"#, Fault::NotText("token")),
            (r#"{"Token":"123456"}"#, Fault::Missing("token")),
        ] {
            assert_eq!(
                checked(Operation::UserDisable, body).unwrap_err(),
                fault,
                "{body}"
            );
        }
        assert!(checked(Operation::UserDisable, r#"{"token":"123456","more":[{}]}"#).is_ok());
        let options = |value: &str| {
            checked(
                Operation::UserWebauthnDisableVerify,
                &format!(r#"{{"webauthnToken":"w","options":{value}}}"#),
            )
        };
        assert_eq!(options("{}").unwrap_err(), Fault::EmptyObject("options"));
        assert_eq!(options("[1]").unwrap_err(), Fault::EmptyObject("options"));
        assert!(options(r#"{"a":1}"#).is_ok());
        assert_eq!(
            checked(
                Operation::LoginSmsEnroll,
                r#"{"phoneNumber":"+1","mfaToken":""}"#
            )
            .unwrap_err(),
            Fault::NotText("mfaToken")
        );
    }

    #[test]
    fn only_one_strict_object_is_read() {
        for (body, fault) in [
            ("", Fault::NotJson),
            ("[]", Fault::NotAnObject),
            ("\"x\"", Fault::NotAnObject),
            (r#"{"token":"1","token":"2"}"#, Fault::DuplicateName),
            (r#"{"token":"1","\u0074oken":"2"}"#, Fault::DuplicateName),
            (
                r#"{"token":"1","a":[{"b":{"c":1,"c":1}}]}"#,
                Fault::DuplicateName,
            ),
            (r#"{"token":"1"} {}"#, Fault::NotJson),
            (r#"{"token":"1",}"#, Fault::NotJson),
            (r#"{"token":"\ud800"}"#, Fault::NotJson),
            ("\u{feff}{\"token\":\"1\"}", Fault::NotJson),
            (r#"{"token":"1","a":1e999}"#, Fault::NotJson),
        ] {
            assert_eq!(
                checked(Operation::UserDisable, body).unwrap_err(),
                fault,
                "{body}"
            );
        }
        let deep = format!(
            r#"{{"token":"1","a":{}{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        assert_eq!(
            checked(Operation::UserDisable, &deep).unwrap_err(),
            Fault::NotJson
        );
        assert_eq!(
            check(
                Operation::UserDisable.facts(),
                &Rules::default(),
                Bytes::from_static(b"{\"token\":\"\xff\"}")
            )
            .unwrap_err(),
            Fault::NotJson
        );
    }

    #[test]
    fn many_names_are_still_compared() {
        let names: Vec<String> = (0..5_000)
            .map(|number| format!("\"n{number}\":1"))
            .collect();
        let body = format!(r#"{{"token":"1",{},"n4999":2}}"#, names.join(","));
        assert_eq!(
            checked(Operation::UserDisable, &body).unwrap_err(),
            Fault::DuplicateName
        );
    }

    #[test]
    fn who_it_is_about_is_told() {
        let told = checked(
            Operation::LoginSmsEnroll,
            r#"{"phoneNumber":"+4930","mfaToken":"m"}"#,
        )
        .unwrap();
        assert_eq!(
            (told.phone, told.login_token.as_deref()),
            (CanonicalPhone::parse("+4930").ok(), Some("m"))
        );
        let login = |operation, body: &str| checked(operation, body).unwrap().login_token;
        let body = r#"{"mfaToken":"m","otcToken":"o","code":"1"}"#;
        let by_mfa_token = login(Operation::LoginEmailVerify, body);
        assert_eq!(by_mfa_token.as_deref(), Some("m"));
        let by_otc_token = login(Operation::LoginSmsEnrollVerify, body);
        assert_eq!(by_otc_token.as_deref(), Some("o"));
    }
}
