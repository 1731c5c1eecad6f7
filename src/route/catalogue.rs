//! The MFA operations of Frontegg's identity API, as data.
//!
//! This table is the whole allow-list: what isn't here is never sent. It follows the
//! vendor's OpenAPI description of the identity service and the calls of its own
//! JavaScript client; the operation names, categories and the columns `on_401` and
//! `counted` are ours. To let one more operation through, add a row.

use http::Method;

/// What kind of act an operation is; whole categories are let through at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Steps of a login, and recovery: the user proves who they are in the body.
    Authentication,
    /// Adding a factor to a user who the gateway can't know to be present.
    Enrolment,
    /// An administrator's act.
    Management,
    /// A user looks at their own factors or removes one with proof.
    SelfService,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Authentication,
        Self::SelfService,
        Self::Enrolment,
        Self::Management,
    ];

    /// As written in `routes.allow`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Enrolment => "enrolment",
            Self::Management => "management",
            Self::SelfService => "self-service",
        }
    }
}

/// On whose behalf an operation is done, and so which subject headers leave with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectRule {
    /// Nobody's: no subject header is sent, whatever the caller says.
    Nobody,
    /// A tenant's, as soon as it is known.
    TenantIfKnown,
    /// A user's; the tenant goes along as soon as it is known.
    User,
    /// A user's of a tenant; both must be known.
    UserAndTenant,
}

/// What a body field must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Any JSON value.
    Any,
    /// The account's email address, parsed as such.
    Email,
    /// A secret like those below, and what the vendor knows a login by. The first of a body says
    /// whose guesses are counted together, so it is one without which the vendor does nothing.
    Login,
    /// An object with at least one member.
    Object,
    /// A phone number, parsed as such.
    Phone,
    /// A non-empty string that is a secret: a proof, or a token.
    Secret,
    /// A non-empty string.
    Text,
}

/// One field of an operation's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the JSON object.
    pub name: &'static str,
    /// What it must be where it is.
    pub kind: FieldKind,
    /// Whether it must be there.
    pub required: bool,
}

/// What to do on a `401` to the environment's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnauthorized {
    /// Pass it on: it may mean a wrong code, and a proof must not be spent twice.
    Pass,
    /// Renew the credential and try once more: the request holds no proof.
    Retry,
}

/// What an attempt is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A guess of a one-time code.
    Code,
    /// Nothing to guess and nothing to send.
    Nothing,
    /// A guess of a recovery code.
    Recovery,
    /// A code that is sent and costs money.
    Send,
}

/// What an operation is in the audit log's terms (OCSF 1.8.0 class and activity).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// API Activity, Create.
    Create,
    /// Account Change, MFA Factor(s) Disable.
    FactorDisable,
    /// Account Change, MFA Factor(s) Enable.
    FactorEnable,
    /// Account Change, a step on the way to one of the two.
    FactorStep,
    /// Authentication, Logon with a second factor.
    Logon,
    /// Authentication, Preauth: the request for a code.
    Preauth,
    /// API Activity, Read.
    Read,
    /// Authentication, our own activity "MFA Recovery".
    Recovery,
    /// API Activity, Update.
    Update,
}

/// The facts of one operation.
#[derive(Debug)]
pub struct Facts {
    /// Which one.
    pub operation: Operation,
    /// Its one name in configuration, metrics and the audit log.
    pub name: &'static str,
    /// The only method.
    pub method: Method,
    /// The vendor's path; `{…}` stands for one parameter.
    pub path: &'static str,
    /// Its category.
    pub category: Category,
    /// Whose subject headers leave with it.
    pub subject: SubjectRule,
    /// The fields of its JSON body that are checked.
    pub fields: &'static [Field],
    /// On a `401` to the environment's credential.
    pub on_401: OnUnauthorized,
    /// What an attempt is counted as.
    pub counted: Counted,
    /// What it is in the audit log.
    pub audited: Audited,
}

impl Facts {
    /// Whether a body without a byte is as good as `{}`.
    #[must_use]
    pub fn takes_empty_body(&self) -> bool {
        !self.fields.iter().any(|field| field.required)
    }
}

const fn required(name: &'static str, kind: FieldKind) -> Field {
    Field {
        name,
        kind,
        required: true,
    }
}

const fn optional(name: &'static str, kind: FieldKind) -> Field {
    Field {
        name,
        kind,
        required: false,
    }
}

// The fields that occur, and the bodies made of them.
const CODE: Field = required("code", FieldKind::Secret);
const DEVICE_TYPE: Field = required("deviceType", FieldKind::Text);
const EMAIL: Field = required("email", FieldKind::Email);
const MFA_TOKEN: Field = required("mfaToken", FieldKind::Login);
/// The vendor's client sends it along where its API doesn't ask for it.
const MFA_TOKEN_TOO: Field = optional("mfaToken", FieldKind::Login);
const OPTIONS: Field = required("options", FieldKind::Object);
const OTC_TOKEN: Field = required("otcToken", FieldKind::Secret);
/// The vendor knows the login by it alone.
const OTC_TOKEN_ALONE: Field = required("otcToken", FieldKind::Login);
const PHONE: Field = required("phoneNumber", FieldKind::Phone);
const RECOVERY_CODE: Field = required("recoveryCode", FieldKind::Secret);
const REMEMBER: Field = optional("rememberDevice", FieldKind::Any);
const TOKEN: Field = required("token", FieldKind::Secret);
const VALUE: Field = required("value", FieldKind::Secret);
const WEBAUTHN: Field = required("webauthnToken", FieldKind::Secret);

const NONE: &[Field] = &[];
const LOGIN: &[Field] = &[MFA_TOKEN];
const LOGIN_CODE: &[Field] = &[OTC_TOKEN, CODE, MFA_TOKEN, REMEMBER];
const LOGIN_TOKEN: &[Field] = &[TOKEN, MFA_TOKEN, REMEMBER];
const LOGIN_VALUE: &[Field] = &[VALUE, MFA_TOKEN, REMEMBER];
const LOGIN_PHONE: &[Field] = &[PHONE, MFA_TOKEN_TOO];
const LOGIN_PHONE_CODE: &[Field] = &[OTC_TOKEN_ALONE, CODE, MFA_TOKEN_TOO, REMEMBER];
const LOGIN_WEBAUTHN: &[Field] = &[WEBAUTHN, OPTIONS, MFA_TOKEN, REMEMBER];
const LOGIN_WEBAUTHN_NEW: &[Field] = &[DEVICE_TYPE, WEBAUTHN, OPTIONS, MFA_TOKEN, REMEMBER];
const RECOVER: &[Field] = &[RECOVERY_CODE, EMAIL];
const SENT_CODE: &[Field] = &[OTC_TOKEN, CODE];
const TOTP: &[Field] = &[TOKEN];
const USER_PHONE: &[Field] = &[PHONE];
const USER_WEBAUTHN: &[Field] = &[WEBAUTHN, OPTIONS];
const USER_WEBAUTHN_NEW: &[Field] = &[DEVICE_TYPE, WEBAUTHN, OPTIONS];
const POLICY: &[Field] = &[
    optional("enforceMFAType", FieldKind::Any),
    optional("allowRememberMyDevice", FieldKind::Any),
    optional("mfaDeviceExpiration", FieldKind::Any),
];
const CONFIG: &[Field] = &[
    optional("authenticationApp", FieldKind::Any),
    optional("sms", FieldKind::Any),
    optional("email", FieldKind::Any),
];
const STRATEGY: &[Field] = &[
    required("isActive", FieldKind::Any),
    required("strategy", FieldKind::Text),
];

/// Makes the enum, the table and the way from one to the other out of the rows below.
macro_rules! catalogue {
    ($($variant:ident $name:literal $method:ident $path:literal
       $category:ident $subject:ident $fields:ident $on_401:ident $counted:ident $audited:ident;)*) => {
        /// An operation of the vendor's MFA API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation {
            $(#[doc = concat!("`", stringify!($method), " ", $path, "`")] $variant,)*
        }

        impl Operation {
            /// Its facts.
            #[must_use]
            pub fn facts(self) -> &'static Facts {
                $(const $variant: &Facts = &Facts {
                    operation: Operation::$variant,
                    name: $name,
                    method: Method::$method,
                    path: $path,
                    category: Category::$category,
                    subject: SubjectRule::$subject,
                    fields: $fields,
                    on_401: OnUnauthorized::$on_401,
                    counted: Counted::$counted,
                    audited: Audited::$audited,
                };)*
                match self { $(Self::$variant => $variant,)* }
            }

            /// Its place in [`Operation::ALL`].
            #[must_use]
            #[expect(clippy::as_conversions, reason = "the only way to a variant's number")]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// All operations, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }
    };
}

#[expect(
    non_upper_case_globals,
    reason = "the macro names a constant after its variant"
)]
mod table {
    use super::*;

    #[rustfmt::skip]
    catalogue! {
        // variant                     name                                  method path                                                                              category       subject       body               on_401 counted audited
        Recover                        "recover"                             POST  "/identity/resources/auth/v1/user/mfa/recover"                                     Authentication Nobody        RECOVER            Pass  Recovery Recovery;
        LoginVerify                    "login.verify"                        POST  "/identity/resources/auth/v1/user/mfa/verify"                                      Authentication Nobody        LOGIN_VALUE        Pass  Code     Logon;
        LoginEmailRequest              "login.email.request"                 POST  "/identity/resources/auth/v1/user/mfa/emailcode"                                   Authentication Nobody        LOGIN              Pass  Send     Preauth;
        LoginEmailVerify               "login.email.verify"                  POST  "/identity/resources/auth/v1/user/mfa/emailcode/verify"                            Authentication Nobody        LOGIN_CODE         Pass  Code     Logon;
        LoginAuthenticatorEnroll       "login.authenticator.enroll"          POST  "/identity/resources/auth/v1/user/mfa/authenticator/enroll"                        Authentication Nobody        LOGIN              Pass  Nothing  FactorStep;
        LoginAuthenticatorEnrollVerify "login.authenticator.enroll.verify"   POST  "/identity/resources/auth/v1/user/mfa/authenticator/enroll/verify"                 Authentication Nobody        LOGIN_TOKEN        Pass  Code     FactorEnable;
        LoginAuthenticatorVerify       "login.authenticator.verify"          POST  "/identity/resources/auth/v1/user/mfa/authenticator/{deviceId}/verify"             Authentication Nobody        LOGIN_VALUE        Pass  Code     Logon;
        LoginSmsEnroll                 "login.sms.enroll"                    POST  "/identity/resources/auth/v1/user/mfa/sms/enroll"                                  Authentication Nobody        LOGIN_PHONE        Pass  Send     FactorStep;
        LoginSmsEnrollVerify           "login.sms.enroll.verify"             POST  "/identity/resources/auth/v1/user/mfa/sms/enroll/verify"                           Authentication Nobody        LOGIN_PHONE_CODE   Pass  Code     FactorEnable;
        LoginSmsRequest                "login.sms.request"                   POST  "/identity/resources/auth/v1/user/mfa/sms/{deviceId}"                              Authentication Nobody        LOGIN              Pass  Send     Preauth;
        LoginSmsVerify                 "login.sms.verify"                    POST  "/identity/resources/auth/v1/user/mfa/sms/{deviceId}/verify"                       Authentication Nobody        LOGIN_CODE         Pass  Code     Logon;
        LoginWebauthnEnroll            "login.webauthn.enroll"               POST  "/identity/resources/auth/v1/user/mfa/webauthn/enroll"                             Authentication Nobody        LOGIN              Pass  Nothing  FactorStep;
        LoginWebauthnEnrollVerify      "login.webauthn.enroll.verify"        POST  "/identity/resources/auth/v1/user/mfa/webauthn/enroll/verify"                      Authentication Nobody        LOGIN_WEBAUTHN_NEW Pass  Code     FactorEnable;
        LoginWebauthnRequest           "login.webauthn.request"              POST  "/identity/resources/auth/v1/user/mfa/webauthn/{deviceId}"                         Authentication Nobody        LOGIN              Pass  Nothing  Preauth;
        LoginWebauthnVerify            "login.webauthn.verify"               POST  "/identity/resources/auth/v1/user/mfa/webauthn/{deviceId}/verify"                  Authentication Nobody        LOGIN_WEBAUTHN     Pass  Code     Logon;
        LoginRememberDevice            "login.remember-device"               GET   "/identity/resources/configurations/v1/mfa-policy/allow-remember-device"           Authentication TenantIfKnown NONE               Pass  Nothing  Read;
        UserDevices                    "user.devices"                        GET   "/identity/resources/users/v1/mfa/devices"                                         SelfService    User          NONE               Retry Nothing  Read;
        UserEnroll                     "user.enroll"                         POST  "/identity/resources/users/v1/mfa/enroll"                                          Enrolment      User          NONE               Retry Nothing  FactorStep;
        UserEnrollVerify               "user.enroll.verify"                  POST  "/identity/resources/users/v1/mfa/enroll/verify"                                   Enrolment      User          TOTP               Pass  Code     FactorEnable;
        UserDisable                    "user.disable"                        POST  "/identity/resources/users/v1/mfa/disable"                                         SelfService    User          TOTP               Pass  Code     FactorDisable;
        UserAuthenticatorEnroll        "user.authenticator.enroll"           POST  "/identity/resources/users/v1/mfa/authenticator/enroll"                            Enrolment      User          NONE               Retry Nothing  FactorStep;
        UserAuthenticatorEnrollVerify  "user.authenticator.enroll.verify"    POST  "/identity/resources/users/v1/mfa/authenticator/enroll/verify"                     Enrolment      User          TOTP               Pass  Code     FactorEnable;
        UserAuthenticatorDisable       "user.authenticator.disable"          POST  "/identity/resources/users/v1/mfa/authenticator/{deviceId}/disable/verify"         SelfService    User          TOTP               Pass  Code     FactorDisable;
        UserSmsEnroll                  "user.sms.enroll"                     POST  "/identity/resources/users/v1/mfa/sms/enroll"                                      Enrolment      User          USER_PHONE         Retry Send     FactorStep;
        UserSmsEnrollVerify            "user.sms.enroll.verify"              POST  "/identity/resources/users/v1/mfa/sms/enroll/verify"                               Enrolment      User          SENT_CODE          Pass  Code     FactorEnable;
        UserSmsDisable                 "user.sms.disable"                    POST  "/identity/resources/users/v1/mfa/sms/{deviceId}/disable"                          SelfService    UserAndTenant NONE               Retry Send     FactorStep;
        UserSmsDisableVerify           "user.sms.disable.verify"             POST  "/identity/resources/users/v1/mfa/sms/{deviceId}/disable/verify"                   SelfService    User          SENT_CODE          Pass  Code     FactorDisable;
        UserWebauthnEnroll             "user.webauthn.enroll"                POST  "/identity/resources/users/v1/mfa/webauthn/enroll"                                 Enrolment      User          NONE               Retry Nothing  FactorStep;
        UserWebauthnEnrollVerify       "user.webauthn.enroll.verify"         POST  "/identity/resources/users/v1/mfa/webauthn/enroll/verify"                          Enrolment      User          USER_WEBAUTHN_NEW  Pass  Code     FactorEnable;
        UserWebauthnDisable            "user.webauthn.disable"               POST  "/identity/resources/users/v1/mfa/webauthn/{deviceId}/disable"                     SelfService    User          NONE               Retry Nothing  FactorStep;
        UserWebauthnDisableVerify      "user.webauthn.disable.verify"        POST  "/identity/resources/users/v1/mfa/webauthn/{deviceId}/disable/verify"              SelfService    User          USER_WEBAUTHN      Pass  Code     FactorDisable;
        PolicyGet                      "policy.get"                          GET   "/identity/resources/configurations/v1/mfa-policy"                                 Management     TenantIfKnown NONE               Retry Nothing  Read;
        PolicyCreate                   "policy.create"                       POST  "/identity/resources/configurations/v1/mfa-policy"                                 Management     TenantIfKnown POLICY             Retry Nothing  Create;
        PolicyUpdate                   "policy.update"                       PATCH "/identity/resources/configurations/v1/mfa-policy"                                 Management     TenantIfKnown POLICY             Retry Nothing  Update;
        PolicyUpsert                   "policy.upsert"                       PUT   "/identity/resources/configurations/v1/mfa-policy"                                 Management     TenantIfKnown POLICY             Retry Nothing  Update;
        PolicyEnvironmentGet           "policy.environment.get"              GET   "/identity/resources/configurations/v1/mfa-policy/vendor"                          Management     Nobody        NONE               Retry Nothing  Read;
        ConfigGet                      "config.get"                          GET   "/identity/resources/configurations/v1/mfa"                                        Management     Nobody        NONE               Retry Nothing  Read;
        ConfigUpdate                   "config.update"                       POST  "/identity/resources/configurations/v1/mfa"                                        Management     Nobody        CONFIG             Retry Nothing  Update;
        StrategiesGet                  "strategies.get"                      GET   "/identity/resources/configurations/v1/mfa/strategies"                             Management     Nobody        NONE               Retry Nothing  Read;
        StrategiesSet                  "strategies.set"                      POST  "/identity/resources/configurations/v1/mfa/strategies"                             Management     Nobody        STRATEGY           Retry Nothing  Update;
        UserUnenroll                   "user.unenroll"                       POST  "/identity/resources/vendor-only/users/v1/{userId}/mfa/unenroll"                   Management     Nobody        NONE               Pass  Nothing  FactorDisable;
    }
}

pub use table::Operation;

impl Operation {
    /// Its name, see [`Facts::name`].
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The operation with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|operation| operation.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_41_operations_with_names_and_routes_of_their_own() {
        assert_eq!(Operation::ALL.len(), 41);
        let indices = Operation::ALL.iter().map(|operation| operation.index());
        assert!(indices.eq(0..41));
        let names: HashSet<_> = Operation::ALL
            .iter()
            .map(|operation| operation.name())
            .collect();
        let routes: HashSet<_> = Operation::ALL
            .iter()
            .map(|operation| (&operation.facts().method, operation.facts().path))
            .collect();
        assert_eq!((names.len(), routes.len()), (41, 41));
        for operation in Operation::ALL {
            assert_eq!(Operation::named(operation.name()), Some(*operation));
            assert_eq!(operation.facts().operation, *operation);
        }
    }

    #[test]
    fn what_guesses_are_counted_by_can_neither_be_left_out_nor_made_up() {
        for facts in Operation::ALL.iter().map(|operation| operation.facts()) {
            let by_login = facts.counted == Counted::Code
                && facts.subject == SubjectRule::Nobody
                && !facts.path.contains('{');
            let mut logins = facts.fields.iter().filter(|f| f.kind == FieldKind::Login);
            let first = logins.next();
            assert!(
                !by_login || first.is_some_and(|first| first.required),
                "{}",
                facts.name
            );
        }
    }

    #[test]
    fn nothing_that_may_spend_a_proof_is_tried_twice() {
        for facts in Operation::ALL.iter().map(|operation| operation.facts()) {
            let proof = facts
                .fields
                .iter()
                .any(|field| matches!(field.kind, FieldKind::Login | FieldKind::Secret));
            if proof || facts.audited == Audited::FactorDisable {
                assert_eq!(facts.on_401, OnUnauthorized::Pass, "{}", facts.name);
            }
        }
    }
}
