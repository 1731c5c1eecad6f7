//! Which operation a request is for: the allow-list, and exact matching of raw paths.

mod catalogue;

pub use catalogue::{
    Audited, Category, Counted, Facts, Field, FieldKind, OnUnauthorized, Operation, SubjectRule,
};
