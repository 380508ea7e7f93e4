//! One table: each call declares a key, reads it, and answers with a value whatever is wrong.

use crate::config::mistakes::Mistake;
use crate::config::mistakes::Place;
use crate::config::reader::Reader;
use crate::config::reader::Setting;
use crate::config::reader::variable;
use crate::config::secrets::Connection;
use crate::config::secrets::Secret;
use crate::config::secrets::SecretRef;
use crate::config::values::Written;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::ops::RangeInclusive;
use toml_edit::TableLike;

/// One table of the document, present or not. With a mistake the value answered is a default, and
/// of no consequence: the whole is refused.
pub(super) struct Section<'r, 'd> {
    pub(super) reader: &'r mut Reader<'d>,
    pub(super) table: Option<&'d dyn TableLike>,
    pub(super) path: Vec<String>,
    /// Where the table begins.
    pub(super) place: Place,
}

impl Section<'_, '_> {
    /// The value of a key, or its default, which may be to have none.
    pub(super) fn maybe<T: Written>(&mut self, key: &str, default: Option<T>) -> Option<T> {
        let path = self.path_to(key);
        let read = match self.reader.overrides.get(&variable(&path)) {
            Some((_, text)) => Some(T::from_text(text)),
            None => self.table.and_then(|table| table.get(key)).map(T::from_item),
        };
        self.reader.known.keys.insert(path.clone());
        if matches!(read, Some(None)) {
            self.mistake(key, format!("must be {}", T::FORM));
        }
        let value = read.flatten().or(default)?;
        self.reader.settings.push(Setting { path, value: value.to_json(), secret: T::SECRET });
        Some(value)
    }

    /// The value of a key, or its default.
    pub(super) fn or<T: Written + Clone>(&mut self, key: &str, default: T) -> T {
        self.maybe(key, Some(default.clone())).unwrap_or(default)
    }

    /// The same, within limits.
    pub(super) fn within<T: Written + Clone + PartialOrd>(
        &mut self,
        key: &str,
        default: T,
        limits: RangeInclusive<T>,
    ) -> T {
        self.maybe_within(key, Some(default.clone()), limits).unwrap_or(default)
    }

    /// The same, where the default may be to have none.
    pub(super) fn maybe_within<T: Written + PartialOrd>(
        &mut self,
        key: &str,
        default: Option<T>,
        limits: RangeInclusive<T>,
    ) -> Option<T> {
        let value = self.maybe(key, default);
        if value.as_ref().is_some_and(|value| !limits.contains(value)) {
            let (least, most) = (limits.start().to_json(), limits.end().to_json());
            self.mistake(key, format!("must be from {least} to {most}"));
        }
        value
    }

    /// The value of a key that has no default.
    pub(super) fn required<T: Written>(&mut self, key: &str) -> Option<T> {
        if !self.has(key) {
            self.mistake(key, format!("is missing; must be {}", T::FORM));
        }
        self.maybe(key, None)
    }

    /// A secret, looked up.
    pub(super) fn secret(&mut self, key: &str, default: Option<SecretRef>) -> Option<Secret> {
        let reference = self.maybe(key, default)?;
        match reference.look_up(self.reader.source.dir, self.reader.source.env) {
            Ok(value) => Some(Secret { reference, value }),
            Err(message) => {
                self.mistake(key, message);
                None
            }
        }
    }

    /// An address that may hold a password, beginning with one of `schemes`.
    pub(super) fn connection(&mut self, key: &str, default: &str, schemes: &[&str]) -> SecretString {
        let address = match self.maybe(key, Connection::from_text(default)) {
            Some(Connection::Open(address, _)) => Ok(Some(address)),
            Some(Connection::Kept(reference)) => reference.look_up(self.reader.source.dir, self.reader.source.env),
            None => Ok(None),
        };
        let problem = match address {
            Ok(Some(address)) if schemes.iter().any(|scheme| address.expose_secret().starts_with(scheme)) => {
                return address;
            }
            Ok(Some(_)) => format!("must begin with {}", schemes.join(" or ")),
            Ok(None) => "names a variable that is not set".to_owned(),
            Err(message) => message,
        };
        self.mistake(key, problem);
        SecretString::default()
    }

    /// Reports the table's own name unless it is 1 to 64 of `A-Za-z0-9_-`: it appears in steps and metrics.
    pub(super) fn check_name(&mut self) {
        let plain = |name: &String| {
            (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        if !self.path.last().is_some_and(plain) {
            let message = "a name is 1 to 64 letters, digits, `_` or `-`";
            self.reader.mistakes.push(Mistake::new(self.place.clone(), &self.path, message));
        }
    }

    /// Written in the file or the environment, rightly or wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        let overridden = self.reader.overrides.contains_key(&variable(&self.path_to(key)));
        overridden || self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Reports a key that is for other tables of its group, if it is written here.
    pub(super) fn refuse(&mut self, key: &str, message: impl Into<String>) {
        if self.has(key) {
            // Otherwise it would be reported as unknown as well.
            let path = self.path_to(key);
            self.reader.known.keys.insert(path);
            self.mistake(key, message);
        }
    }

    /// Reports a mistake where the key is written, or where its table begins.
    pub(super) fn mistake(&mut self, key: &str, message: impl Into<String>) {
        let path = self.path_to(key);
        let overridden = self.reader.overrides.get(&variable(&path)).map(|(name, _)| Place::Variable(name.clone()));
        let written = || self.table?.key(key).map(|key| self.reader.source.place(key.span()));
        let place = overridden.or_else(written).unwrap_or_else(|| self.place.clone());
        self.reader.mistakes.push(Mistake::new(place, &path, message));
    }

    fn path_to(&self, key: &str) -> Vec<String> {
        [self.path.as_slice(), &[key.to_owned()]].concat()
    }
}
