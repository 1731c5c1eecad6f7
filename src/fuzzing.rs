//! What the fuzz targets run: functions of any bytes that fail by panicking.
//!
//! `tests/fuzz/` drives them with new input; here they run over the committed corpus, so that
//! every `cargo test` walks what was found before.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri, header};

use crate::{
    body::{self, Rules},
    client_ip, config, credential,
    edge::proxy,
    jwt,
    model::{CanonicalEmail, Subaddress},
    route::{Operation, RouteTable},
    upstream,
};

/// Any bytes are an answer of the vendor's, or none, however they are cut on the way.
pub fn answer(data: &[u8]) {
    upstream::answer_is_one_however_it_comes(data);
}

/// Any body has an answer for every operation, and what `recover` sends is taken again as it is.
pub fn body(data: &[u8]) {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let rules = Rules::default();
    for operation in Operation::ALL {
        let sent = Bytes::copy_from_slice(data);
        let Ok(checked) = body::check(operation.facts(), &rules, &headers, sent) else {
            continue;
        };
        if *operation == Operation::Recover {
            let again = body::check(operation.facts(), &rules, &headers, checked.bytes.clone());
            assert_eq!(
                again.map(|again| again.bytes).ok(),
                Some(checked.bytes),
                "it is read in another way"
            );
        }
    }
}

/// Any bytes are a configuration with problems, or one without.
pub fn configuration(data: &[u8]) {
    config::raw_toml(data);
}

/// Any text has an answer, and the canonical form of an email is its own.
pub fn email(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for subaddress in [Subaddress::Fold, Subaddress::Keep] {
        if let Ok(email) = CanonicalEmail::parse(text, subaddress) {
            let again = CanonicalEmail::parse(email.as_str(), subaddress);
            assert_eq!(again.as_ref(), Ok(&email), "it is not its own form");
        }
    }
}

/// What a user writes into `X-Forwarded-For` or `Forwarded` never says from where it comes.
pub fn forwarded(data: &[u8]) {
    client_ip::prefix_is_powerless(data);
}

/// A path is a route as it stands, or none.
pub fn path(data: &[u8]) {
    let Ok(uri) = Uri::try_from(data) else {
        return;
    };
    let table = RouteTable::new(Operation::ALL);
    for operation in Operation::ALL {
        if let Ok(matched) = table.find(&operation.facts().method, &uri, "") {
            assert_eq!(
                Some(matched.target()),
                uri.path_and_query(),
                "it goes on as something else"
            );
        }
    }
}

/// Any bytes are a PROXY protocol header, or a fault.
pub fn proxy_header(data: &[u8]) {
    proxy::any_bytes(data);
}

/// Any answer of the token endpoint is a token or an error.
pub fn token_answer(data: &[u8]) {
    credential::token_answer(data);
}

/// Any bytes are a token, a key set or a token's claims, or an error; never a good signature.
pub fn user_token(data: &[u8]) {
    jwt::any_bytes(data);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Runs `target` over its committed corpus.
    fn replay(name: &str, target: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz/corpus")
            .join(name);
        let inputs: Vec<_> = fs::read_dir(corpus).unwrap().collect();
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for input in inputs {
            target(&fs::read(input.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn the_answer_corpus_holds() {
        replay("answer", super::answer);
    }

    #[test]
    fn the_body_corpus_holds() {
        replay("body", super::body);
    }

    #[test]
    fn the_configuration_corpus_holds() {
        replay("configuration", super::configuration);
    }

    #[test]
    fn the_email_corpus_holds() {
        replay("email", super::email);
    }

    #[test]
    fn the_forwarded_corpus_holds() {
        replay("forwarded", super::forwarded);
    }

    #[test]
    fn the_path_corpus_holds() {
        replay("path", super::path);
    }

    #[test]
    fn the_proxy_header_corpus_holds() {
        replay("proxy_header", super::proxy_header);
    }

    #[test]
    fn the_token_answer_corpus_holds() {
        replay("token_answer", super::token_answer);
    }

    #[test]
    fn the_user_token_corpus_holds() {
        replay("user_token", super::user_token);
    }
}
