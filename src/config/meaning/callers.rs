//! `[[callers]]`: who may call.

use super::{
    Reader, known_by,
    routes::{Stars, operations},
};
use crate::{
    config::{
        caller::Caller,
        settings::{Routes, Subject, SubjectFrom},
    },
    model::{CallerName, TenantId},
};

const LONGEST_NAME: usize = 128;

pub(super) fn read(reader: &mut Reader<'_>) -> Vec<Caller> {
    let tables = reader.entries.tables("callers");
    let callers: Vec<_> = tables
        .iter()
        .map(|table| (table, caller(reader, table)))
        .collect();
    let mut names: Vec<(&str, &str)> = Vec::new();
    let mut marks: Vec<(&str, String)> = Vec::new();
    for (table, caller) in &callers {
        let key = format!("{table}.name");
        let name = reader.text(&key);
        match names
            .iter()
            .find(|(_table, other)| *other == name && !name.is_empty())
        {
            Some((other, _name)) => {
                let what = format!("{name:?} is the name of {other} too");
                reader.problem(&key, what, "give each caller a name of its own");
            }
            None => names.push((table.as_str(), name)),
        }
        let Some(caller) = caller else { continue };
        for mark in known_by::texts(&caller.known_by) {
            match marks.iter().find(|(_table, other)| *other == mark) {
                Some((other, _mark)) => {
                    let what =
                        format!("is the same as that of {other}: nobody could tell the two apart");
                    let key = known_by::place_of(&caller.known_by, table);
                    reader.problem(&key, what, "give each caller one of its own");
                }
                None => marks.push((table.as_str(), mark)),
            }
        }
    }
    callers
        .into_iter()
        .filter_map(|(_table, caller)| caller)
        .collect()
}

fn caller(reader: &mut Reader<'_>, table: &str) -> Option<Caller> {
    let at = |name: &str| format!("{table}.{name}");
    let name = name(reader, table);
    let known_by = known_by::read(reader, table);
    let operations_key = at("operations");
    let operations = operations(reader, &operations_key, Stars::All);
    if operations.is_empty() {
        reader.problem(
            &operations_key,
            "lets this caller do nothing",
            "name what it may do, or remove the caller",
        );
    }
    let tenants = tenants(reader, &at("tenants"));
    let anything = |name: &str| reader.list(&at(name)).iter().any(|item| item == "*");
    if anything("operations") && anything("tenants") {
        reader.warn(
            &operations_key,
            "this caller may do everything for every tenant",
            "name its operations or its tenants, if it needs fewer",
        );
    }
    Some(Caller {
        name: name?,
        known_by: known_by?,
        operations,
        tenants: tenants?,
    })
}

fn name(reader: &mut Reader<'_>, table: &str) -> Option<CallerName> {
    let key = &format!("{table}.name");
    let text = reader.text(key);
    let fits = (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Some(CallerName::new(text));
    }
    let what = match text {
        "" => "is needed".to_owned(),
        _ => format!("{text:?} is not a valid name"),
    };
    let mend =
        format!("write 1 to {LONGEST_NAME} visible ASCII characters, such as support-console");
    reader.missing(key, table, what, mend);
    None
}

/// `Some(None)`: all of them.
fn tenants(reader: &mut Reader<'_>, key: &str) -> Option<Option<Vec<TenantId>>> {
    let written = reader.list(key);
    if written.len() == 1 && written.first().is_some_and(|only| only == "*") {
        return Some(None);
    }
    if written.is_empty() {
        reader.problem(
            key,
            "lets this caller act for nobody",
            "name its tenants, or write [\"*\"] for all",
        );
        return None;
    }
    let mut tenants = Vec::new();
    for text in written {
        match TenantId::parse(text) {
            Ok(_) if text.contains('*') => {
                reader.problem(
                    key,
                    format!("{text:?} is not a tenant"),
                    "name each tenant in full, or write [\"*\"] alone for all",
                );
            }
            Ok(tenant) => tenants.push(tenant),
            Err(error) => reader.problem(
                key,
                format!("{text:?} {error}"),
                "copy the id from the vendor's portal",
            ),
        }
    }
    Some(Some(tenants))
}

/// A caller whose every request would be refused is a mistake.
pub(super) fn agree(
    reader: &mut Reader<'_>,
    callers: &[Caller],
    routes: &Routes,
    subject: &Option<Subject>,
) {
    let tables = reader.entries.tables("callers");
    if tables.len() != callers.len() {
        return;
    }
    for (table, caller) in tables.iter().zip(callers) {
        let may = |operation| routes.allowed.contains(operation);
        if !routes.allowed.is_empty() && !caller.operations.iter().any(may) {
            reader.warn(
                &format!("{table}.operations"),
                "routes lets none of them through: every request of this caller will be refused",
                "add them to routes.allow",
            );
        }
        let (Some(tenants), Some(subject)) = (&caller.tenants, subject) else {
            continue;
        };
        let key = format!("{table}.tenants");
        match (&subject.tenant, &subject.from) {
            (Some(tenant), _) if !tenants.contains(tenant) => reader.problem(
                &key,
                "subject.tenant isn't among them: every request of this caller would be refused",
                "add it, or leave tenants out",
            ),
            (None, SubjectFrom::Fixed { .. }) => reader.problem(
                &key,
                "no request has a tenant: subject.from is \"fixed\", without subject.tenant",
                "set subject.tenant, or leave tenants out",
            ),
            (Some(_), _) | (None, SubjectFrom::Headers { .. } | SubjectFrom::UserToken(_)) => {}
        }
    }
}
