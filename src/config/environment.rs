//! The environment a process was started with, kept so that a reload sees what the start saw.

use std::env;
use std::ffi::OsString;
use std::fmt;

/// All variables of a process. They may hold keys, so they are never shown.
#[derive(Clone)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// This process's own; what is not UTF-8 is left out.
    pub fn of_process() -> Self {
        let utf8 = |(name, text): (OsString, OsString)| Some((name.into_string().ok()?, text.into_string().ok()?));
        Self(env::vars_os().filter_map(utf8).collect())
    }

    /// The text of a variable; `None` when it is not set.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone())
    }

    /// Names and texts of all.
    pub fn variables(&self) -> &[(String, String)] {
        &self.0
    }
}

impl From<Vec<(String, String)>> for Environment {
    fn from(variables: Vec<(String, String)>) -> Self {
        Self(variables)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}
