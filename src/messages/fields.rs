//! The fields of one JSON object, read with refusals that name them.

use crate::domain::AmountError;
use crate::domain::Usd;
use crate::messages::limits::ID_FORM;
use crate::messages::limits::TEXT_LIMIT;
use crate::messages::limits::is_id;
use crate::messages::refusal::Refusal;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// Bytes of a name, an id or a reference: they stand in indexes, whose rows have 2,704 bytes at most in PostgreSQL.
pub(super) const NAME_LIMIT: usize = 1024;

/// One object of a body. A value is looked at when it is asked for: what nobody knows costs nothing,
/// whatever it holds. `null` is the same as absent.
pub(super) struct Fields<'b> {
    values: BTreeMap<String, &'b RawValue>,
    place: Place,
}

/// Where an object stands in the body.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// It is the body.
    Body,
    /// It is the value of this field.
    Field(&'static str),
    /// It stands at this place of this list, counted from 0.
    Item(&'static str, usize),
}

impl fmt::Display for Place {
    /// What stands before the name of a field: `leads[17].`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => Ok(()),
            Self::Field(name) => write!(f, "{name}."),
            Self::Item(list, at) => write!(f, "{list}[{at}]."),
        }
    }
}

impl<'b> Fields<'b> {
    /// The object in `text`. The error's message may quote a person's text; its place does not.
    pub(super) fn of(text: &'b str, place: Place) -> Result<Self, serde_json::Error> {
        let values: BTreeMap<String, &'b RawValue> = serde_json::from_str(text)?;
        Ok(Self { values, place })
    }

    /// Is there such a field?
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// A text, possibly empty.
    pub(super) fn maybe_text(&self, name: &str, limit: usize) -> Result<Option<String>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let text: String = serde_json::from_str(value).map_err(|_| self.refuse(name, "must be a text"))?;
        if text.len() > limit {
            return Err(Refusal::too_large(format!("{}{name} is longer than {limit} bytes", self.place)));
        }
        // No store of text takes it.
        if text.contains('\0') {
            return Err(self.refuse(name, "holds a NUL character"));
        }
        Ok(Some(text))
    }

    /// A text that says something.
    pub(super) fn text(&self, name: &str, limit: usize) -> Result<String, Refusal> {
        let text = self.maybe_text(name, limit)?.ok_or_else(|| self.missing(name))?;
        if text.trim().is_empty() { Err(self.refuse(name, "is empty")) } else { Ok(text) }
    }

    /// A name, an id of the sender's own, or a reference.
    pub(super) fn name(&self, name: &str) -> Result<String, Refusal> {
        self.text(name, NAME_LIMIT)
    }

    /// A name or a reference that may be left out, but not empty.
    pub(super) fn maybe_name(&self, name: &str) -> Result<Option<String>, Refusal> {
        if self.has(name) { self.name(name).map(Some) } else { Ok(None) }
    }

    /// An address that may be left out, but not empty.
    pub(super) fn maybe_address(&self, name: &str) -> Result<Option<String>, Refusal> {
        if self.has(name) { self.text(name, TEXT_LIMIT).map(Some) } else { Ok(None) }
    }

    /// An id of the contract's form.
    pub(super) fn id(&self, name: &str) -> Result<String, Refusal> {
        let text = self.maybe_text(name, NAME_LIMIT)?.ok_or_else(|| self.missing(name))?;
        if is_id(&text) { Ok(text) } else { Err(self.refuse(name, ID_FORM)) }
    }

    /// An amount of zero or more, as a text: a JSON number may have gone through a float.
    pub(super) fn maybe_amount(&self, name: &str) -> Result<Option<Usd>, Refusal> {
        if self.value(name).is_some_and(|value| !value.starts_with('"')) {
            return Err(self.refuse(name, "must be a text like \"12.50\", never a number"));
        }
        let Some(text) = self.maybe_text(name, TEXT_LIMIT)? else { return Ok(None) };
        let amount: Usd = text.parse().map_err(|error| self.refuse(name, amount_problem(error)))?;
        // No schema would let a `-0` through.
        if text.starts_with('-') { Err(self.refuse(name, "is below zero")) } else { Ok(Some(amount)) }
    }

    /// A truth value; left out, it is false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.value(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(self.refuse(name, "must be true or false")),
        }
    }

    /// A whole number from 1 to `most`.
    pub(super) fn maybe_count(&self, name: &str, most: u32) -> Result<Option<u32>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let count = serde_json::from_str(value).ok().filter(|count: &u32| (1..=most).contains(count));
        let problem = || self.refuse(name, format_args!("must be a whole number from 1 to {most}"));
        count.map(Some).ok_or_else(problem)
    }

    /// A list of anything.
    pub(super) fn maybe_list(&self, name: &str) -> Result<Option<Vec<&'b RawValue>>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        serde_json::from_str(value).map(Some).map_err(|_| self.refuse(name, "must be a list"))
    }

    /// An object inside this one.
    pub(super) fn maybe_object(&self, name: &'static str) -> Result<Option<Self>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        Self::of(value, Place::Field(name)).map(Some).map_err(|_| self.refuse(name, "must be an object"))
    }

    /// The message is wrong in this field.
    pub(super) fn refuse(&self, name: &str, problem: impl fmt::Display) -> Refusal {
        Refusal::invalid(format!("{}{name} {problem}", self.place))
    }

    fn missing(&self, name: &str) -> Refusal {
        self.refuse(name, "is missing")
    }

    /// The JSON text of a field, without spaces around it.
    fn value(&self, name: &str) -> Option<&'b str> {
        let value: &'b RawValue = self.values.get(name)?;
        Some(value.get()).filter(|text| *text != "null")
    }
}

const fn amount_problem(error: AmountError) -> &'static str {
    match error {
        AmountError::NotDecimal => "is not a decimal amount like \"12.50\"",
        AmountError::TooFine => "has more than nine digits after the point",
        AmountError::TooLarge => "is larger than can be counted",
    }
}
