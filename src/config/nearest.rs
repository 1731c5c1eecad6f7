//! What was probably meant.

/// The candidate nearest to `text`, if one is near enough to be worth a word.
pub(super) fn nearest<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(text, candidate), candidate))
        .filter(|(likeness, _candidate)| *likeness > 0.8)
        .max_by(|one, two| one.0.total_cmp(&two.0))
        .map(|(_likeness, candidate)| candidate)
}

/// "did you mean x?", or else `otherwise`.
pub(super) fn did_you_mean<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    nearest(text, candidates).map_or_else(
        || otherwise.to_owned(),
        |near| format!("did you mean {near}?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let words = ["recover", "login.verify", "user.devices"];
        assert_eq!(nearest("recovr", words), Some("recover"));
        assert_eq!(nearest("login.verfiy", words), Some("login.verify"));
        assert_eq!(nearest("zebra", words), None);
    }
}
