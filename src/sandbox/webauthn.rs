//! WebAuthn as far as the stand-in looks at it.
//!
//! It checks what ties an answer to a question (the ceremony's type, the challenge,
//! the credential) and that the other members are there. It checks no signature and
//! no attestation: [`assertion`] and [`attestation`] make what it takes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// The `options` with which a security key proves to be there, for a `challenge` that
/// the stand-in gave and the credential that it asked for.
#[must_use]
pub fn assertion(challenge: &str, credential: &str) -> Value {
    json!({
        "id": credential,
        "response": {
            "clientDataJSON": client_data("webauthn.get", challenge),
            "authenticatorData": URL_SAFE_NO_PAD.encode("sandbox authenticator data"),
            "signature": URL_SAFE_NO_PAD.encode("sandbox signature"),
            "userHandle": "",
        },
    })
}

/// The `options` with which a new security key introduces itself as `credential`.
#[must_use]
pub fn attestation(challenge: &str, credential: &str) -> Value {
    json!({
        "id": credential,
        "response": {
            "clientDataJSON": client_data("webauthn.create", challenge),
            "attestationObject": URL_SAFE_NO_PAD.encode("sandbox attestation"),
        },
    })
}

/// The credential that proves itself in `options`, if it answers this challenge.
pub(super) fn asserted<'a>(options: &'a Map<String, Value>, challenge: &str) -> Option<&'a str> {
    let members = ["authenticatorData", "signature"];
    answered(options, "webauthn.get", challenge, &members)
}

/// The new credential in `options`, if it answers this challenge.
pub(super) fn attested<'a>(options: &'a Map<String, Value>, challenge: &str) -> Option<&'a str> {
    answered(
        options,
        "webauthn.create",
        challenge,
        &["attestationObject"],
    )
}

fn answered<'a>(
    options: &'a Map<String, Value>,
    ceremony: &str,
    challenge: &str,
    members: &[&str],
) -> Option<&'a str> {
    let response = options.get("response")?;
    let text = |name: &str| response.get(name)?.as_str().filter(|text| !text.is_empty());
    let data = URL_SAFE_NO_PAD.decode(text("clientDataJSON")?).ok()?;
    let data: Value = serde_json::from_slice(&data).ok()?;
    let asked = data.get("type")? == ceremony && data.get("challenge")? == challenge;
    let complete = members.iter().all(|member| text(member).is_some());
    (asked && complete).then_some(())?;
    options
        .get("id")?
        .as_str()
        .filter(|credential| !credential.is_empty())
}

fn client_data(ceremony: &str, challenge: &str) -> String {
    let data = json!({
        "type": ceremony,
        "challenge": challenge,
        "origin": "https://localhost",
    });
    URL_SAFE_NO_PAD.encode(data.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_for_its_own_challenge_and_ceremony_only() {
        let proof = assertion("question", "key");
        let proof = proof.as_object().unwrap();
        assert_eq!(asserted(proof, "question"), Some("key"));
        assert_eq!(asserted(proof, "another"), None);
        assert_eq!(attested(proof, "question"), None);

        let new = attestation("question", "key");
        let new = new.as_object().unwrap();
        assert_eq!(attested(new, "question"), Some("key"));
        assert_eq!(asserted(new, "question"), None);
    }

    #[test]
    fn an_answer_with_a_member_missing_is_refused() {
        for member in ["clientDataJSON", "authenticatorData", "signature"] {
            let mut proof = assertion("question", "key");
            proof["response"].as_object_mut().unwrap().remove(member);
            assert_eq!(asserted(proof.as_object().unwrap(), "question"), None);
        }
    }
}
