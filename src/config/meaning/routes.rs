//! `[routes]`: which operations are let through.

use super::Reader;
use crate::{
    config::{Loaded, meant::Meant, nearest::did_you_mean, pattern::Pattern, settings::Routes},
    route::{Category, Operation},
};

/// What a `*` may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stars {
    /// Any operation.
    All,
    /// SECURITY: adding a factor for an absent user, or acting as an administrator, must be
    /// asked for by name; it never comes along with a pattern.
    Harmless,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Routes {
    const ALLOW: &str = "routes.allow";
    const DENY: &str = "routes.deny";
    let mut allowed = operations(reader, ALLOW, Stars::Harmless);
    let denied = operations(reader, DENY, Stars::All);
    for operation in &denied {
        if reader
            .list(ALLOW)
            .iter()
            .any(|name| name == operation.name())
        {
            reader.warn(
                ALLOW,
                format!(
                    "{} has no effect: routes.deny takes it off again",
                    operation.name()
                ),
                "remove it here, or set routes.deny without it",
            );
        }
    }
    allowed.retain(|operation| !denied.contains(operation));
    if allowed.is_empty() && !reader.problems.touch("routes") {
        reader.warn(
            ALLOW,
            "no operation is let through: every request will be refused",
            "name a category such as authentication, or an operation such as recover",
        );
    }
    Routes {
        allowed,
        recover_extra_fields: extra_fields(reader),
    }
}

/// The operations that a list of categories, names and patterns stands for, in the
/// order of the route table.
pub(super) fn operations(reader: &mut Reader<'_>, key: &str, stars: Stars) -> Vec<Operation> {
    let mut chosen = Vec::new();
    for text in reader.list(key) {
        match selected(text, stars) {
            Ok(operations) => chosen.extend(operations),
            Err((what, mend)) => reader.problem(key, format!("{text:?} {what}"), mend),
        }
    }
    let all = Operation::ALL.iter().copied();
    all.filter(|operation| chosen.contains(operation)).collect()
}

fn selected(text: &str, stars: Stars) -> Result<Vec<Operation>, (&'static str, String)> {
    let all = || Operation::ALL.iter().copied();
    if let Some(category) = Category::ALL
        .iter()
        .find(|category| category.as_str() == text)
    {
        let within = |operation: &Operation| operation.facts().category == *category;
        return Ok(all().filter(within).collect());
    }
    if let Some(operation) = Operation::named(text) {
        return Ok(vec![operation]);
    }
    let pattern = Pattern::new(text.to_owned());
    if !pattern.is_wild() {
        let categories = Category::ALL.iter().map(|category| category.as_str());
        let names = all().map(Operation::name).chain(categories);
        let mend = did_you_mean(text, names, "`mfa-gateway routes` lists all operations");
        return Err(("is neither an operation nor a category", mend));
    }
    let matching: Vec<_> = all()
        .filter(|operation| pattern.matches(operation.name()))
        .collect();
    if matching.is_empty() {
        let mend = "`mfa-gateway routes` lists all operations".to_owned();
        return Err(("stands for no operation", mend));
    }
    let harmless = |operation: &Operation| match operation.facts().category {
        Category::Authentication | Category::SelfService => true,
        Category::Enrolment | Category::Management => stars == Stars::All,
    };
    let let_through: Vec<_> = matching.iter().copied().filter(harmless).collect();
    if let_through.is_empty() {
        let names: Vec<_> = matching.iter().map(|operation| operation.name()).collect();
        return Err((
            "stands for enrolment or management operations alone, which no pattern lets through",
            format!("name them in full: {}", names.join(", ")),
        ));
    }
    Ok(let_through)
}

/// Whether an operation is let through, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Allowed,
    /// `routes.deny` takes it off.
    Denied,
    /// `routes.allow` doesn't name it.
    NotNamed,
}

impl Verdict {
    /// In a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "yes",
            Self::Denied => "no: denied",
            Self::NotNamed => "no: not allowed",
        }
    }
}

impl Loaded {
    /// Whether this configuration lets the operation through, or why not.
    #[must_use]
    pub fn verdict(&self, operation: Operation) -> Verdict {
        if self.settings.routes.allowed.contains(&operation) {
            return Verdict::Allowed;
        }
        let denied = match self.entries.at("routes.deny").map(|entry| &entry.meant) {
            Some(Meant::List(items)) => items.iter().any(|text| {
                selected(text, Stars::All).is_ok_and(|chosen| chosen.contains(&operation))
            }),
            _no_list => false,
        };
        if denied {
            Verdict::Denied
        } else {
            Verdict::NotNamed
        }
    }
}

fn extra_fields(reader: &mut Reader<'_>) -> Vec<String> {
    const KEY: &str = "routes.extra_fields.recover";
    let fields = reader.list(KEY);
    for field in fields {
        let lower = field.to_lowercase();
        if field.is_empty() || field.chars().any(char::is_control) {
            reader.problem(
                KEY,
                "holds something that is not a field name",
                "write the name as it stands in the body",
            );
        } else if ["email", "recoverycode"].contains(&lower.as_str()) {
            reader.problem(
                KEY,
                format!("{field:?} is one of the two fields that are checked"),
                "remove it: they always go on",
            );
        }
    }
    fields.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, stars: Stars) -> Vec<&'static str> {
        let operations = selected(text, stars).unwrap();
        operations.into_iter().map(Operation::name).collect()
    }

    #[test]
    fn no_pattern_lets_enrolment_or_management_through() {
        let all = selected("*", Stars::Harmless).unwrap();
        assert!(all.contains(&Operation::Recover) && all.contains(&Operation::UserSmsDisable));
        for operation in all {
            let category = operation.facts().category;
            assert!(matches!(
                category,
                Category::Authentication | Category::SelfService
            ));
        }
        assert_eq!(selected("*", Stars::All).unwrap().len(), 41);
        assert_eq!(names("user.unenroll", Stars::Harmless), ["user.unenroll"]);
        assert_eq!(selected("management", Stars::Harmless).unwrap().len(), 10);
        let (what, mend) = selected("user.sms.enroll*", Stars::Harmless).unwrap_err();
        assert!(what.contains("no pattern"), "{what}");
        assert_eq!(
            mend,
            "name them in full: user.sms.enroll, user.sms.enroll.verify"
        );
    }

    #[test]
    fn a_star_crosses_dots() {
        assert_eq!(
            names("user.*disable", Stars::Harmless),
            [
                "user.disable",
                "user.authenticator.disable",
                "user.sms.disable",
                "user.webauthn.disable"
            ]
        );
    }

    #[test]
    fn an_unknown_name_is_mended() {
        assert_eq!(
            selected("recovr", Stars::All).unwrap_err().1,
            "did you mean recover?"
        );
        assert_eq!(
            selected("enrollment", Stars::All).unwrap_err().1,
            "did you mean enrolment?"
        );
        assert_eq!(
            selected("x*", Stars::All).unwrap_err().0,
            "stands for no operation"
        );
    }
}
