//! Secrets by reference: the configuration says where a secret lies, never what it is.

use crate::config::values::Written;
use secrecy::SecretString;
use serde_json::Value;
use std::fmt;
use std::fs;
use std::path::Path;

/// How an environment variable is read; empty and unset are the same.
pub(super) type Lookup<'d> = &'d dyn Fn(&str) -> Option<String>;

/// Where a secret lies.
pub(super) enum SecretRef {
    /// `env:NAME`.
    Variable(String),
    /// `file:PATH`, relative to the configuration's folder.
    File(String),
}

/// A secret that was looked up; `value` is `None` while its variable is unset.
pub(super) struct Secret {
    pub(super) reference: SecretRef,
    pub(super) value: Option<SecretString>,
}

impl SecretRef {
    /// The secret there, without spaces and line ends around it; `None` for an unset variable.
    pub(super) fn look_up(&self, dir: &Path, env: Lookup<'_>) -> Result<Option<SecretString>, String> {
        match self {
            Self::Variable(name) => {
                let text = env(name).unwrap_or_default();
                Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(SecretString::from))
            }
            Self::File(path) => {
                let text =
                    fs::read_to_string(dir.join(path)).map_err(|error| format!("cannot read {path}: {error}"))?;
                match text.trim() {
                    "" => Err(format!("{path} is empty")),
                    secret => Ok(Some(SecretString::from(secret))),
                }
            }
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

impl Written for SecretRef {
    const FORM: &'static str = "\"env:NAME\" or \"file:PATH\": a key itself is not written into the configuration";
    const SECRET: bool = true;

    fn from_text(text: &str) -> Option<Self> {
        let is_variable = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match text.split_once(':')? {
            ("env", name) if is_variable(name) => Some(Self::Variable(name.to_owned())),
            ("file", path) if !path.is_empty() => Some(Self::File(path.to_owned())),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        Value::from(self.to_string())
    }
}

/// The address of a store or broker, which may hold a password: written out, or kept elsewhere.
pub(super) enum Connection {
    /// In the configuration.
    Open(SecretString, String),
    /// In a variable or a file.
    Kept(SecretRef),
}

impl Written for Connection {
    const FORM: &'static str = "an address in quotes, or \"env:NAME\" or \"file:PATH\"";

    fn from_text(text: &str) -> Option<Self> {
        let open = || Self::Open(SecretString::from(text), without_password(text));
        Some(SecretRef::from_text(text).map_or_else(open, Self::Kept))
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Open(_, shown) => Value::from(shown.as_str()),
            Self::Kept(reference) => reference.to_json(),
        }
    }
}

/// `amqp://user:***@host/%2f`. Parameters may hold a password too, so none is shown.
fn without_password(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let (login, host) = rest.rsplit_once('@').map_or((None, rest), |(login, host)| (Some(login), host));
    let host = host.split_once('?').map_or(host.to_owned(), |(host, _)| format!("{host}?***"));
    match login.map(|login| (login, login.split_once([':', '/', '?']))) {
        None => format!("{scheme}://{host}"),
        Some((user, None)) => format!("{scheme}://{user}@{host}"),
        Some((_, Some((user, _)))) => format!("{scheme}://{user}:***@{host}"),
    }
}
