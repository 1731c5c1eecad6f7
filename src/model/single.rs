//! Headers of which there can be only one.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A header is there more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

/// The one value of a header, where it is there.
///
/// # Errors
/// [`Repeated`]: of several, two readers might take different ones, so nobody may pick.
pub fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Repeated> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (only, None) => Ok(only),
        (_, Some(_)) => Err(Repeated),
    }
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;

    #[test]
    fn of_several_none_is_picked() {
        let mut headers = HeaderMap::new();
        assert_eq!(single(&headers, &HOST), Ok(None));
        let value = HeaderValue::from_static("a");
        headers.append(HOST, value.clone());
        assert_eq!(single(&headers, &HOST), Ok(Some(&value)));
        headers.append(HOST, value);
        assert_eq!(single(&headers, &HOST), Err(Repeated));
    }
}
