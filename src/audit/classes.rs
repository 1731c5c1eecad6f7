//! What OCSF calls things, as it stands in a record.

use crate::{
    event::{Outcome, Stage},
    route::Audited,
};

/// A class and activity as they stand in a record: ids, name, and what else is constant.
#[rustfmt::skip]
pub(super) const fn class(audited: Audited) -> &'static str {
    match audited {
        Audited::Create        => r#"},"class_uid":6003,"category_uid":6,"activity_id":1,"type_uid":600301,"activity_name":"Create""#,
        Audited::FactorDisable => r#"},"class_uid":3001,"category_uid":3,"activity_id":11,"type_uid":300111,"activity_name":"MFA Factor(s) Disable""#,
        Audited::FactorEnable  => r#"},"class_uid":3001,"category_uid":3,"activity_id":10,"type_uid":300110,"activity_name":"MFA Factor(s) Enable""#,
        // its name is the operation's
        Audited::FactorStep    => r#"},"class_uid":3001,"category_uid":3,"activity_id":99,"type_uid":300199"#,
        Audited::Logon         => r#"},"class_uid":3002,"category_uid":3,"activity_id":1,"type_uid":300201,"activity_name":"Logon","is_mfa":true,"service":{"name":"Frontegg"}"#,
        Audited::Preauth       => r#"},"class_uid":3002,"category_uid":3,"activity_id":6,"type_uid":300206,"activity_name":"Preauth","service":{"name":"Frontegg"}"#,
        Audited::Read          => r#"},"class_uid":6003,"category_uid":6,"activity_id":2,"type_uid":600302,"activity_name":"Read""#,
        Audited::Recovery      => r#"},"class_uid":3002,"category_uid":3,"activity_id":99,"type_uid":300299,"activity_name":"MFA Recovery","service":{"name":"Frontegg"}"#,
        Audited::Update        => r#"},"class_uid":6003,"category_uid":6,"activity_id":3,"type_uid":600303,"activity_name":"Update""#,
    }
}

/// Whether OCSF's API Activity is the class: it has no `user` of its own, and needs `api`.
pub(super) const fn is_api(audited: Audited) -> bool {
    matches!(audited, Audited::Create | Audited::Read | Audited::Update)
}

/// OCSF's severity: 1 Informational, 2 Low, 3 Medium.
pub(super) const fn severity(audited: Audited, outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Denied | Outcome::Failed | Outcome::Refused => r#","severity_id":2"#,
        Outcome::Pending => r#","severity_id":1"#,
        // a second factor is gone
        Outcome::Succeeded => match audited {
            Audited::FactorDisable | Audited::Recovery => r#","severity_id":3"#,
            Audited::Create
            | Audited::FactorEnable
            | Audited::FactorStep
            | Audited::Logon
            | Audited::Preauth
            | Audited::Read
            | Audited::Update => r#","severity_id":1"#,
        },
    }
}

/// OCSF's status.
pub(super) const fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Denied | Outcome::Failed | Outcome::Refused => {
            r#","status_id":2,"status":"Failure""#
        }
        Outcome::Pending => r#","status_id":99,"status":"Pending""#,
        Outcome::Succeeded => r#","status_id":1,"status":"Success""#,
    }
}

/// As written in the log.
pub(super) const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Admitted => r#"","stage":"admitted""#,
        Stage::Completed => r#"","stage":"completed""#,
        Stage::Refused => r#"","stage":"refused""#,
    }
}
