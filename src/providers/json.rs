//! JSON both ways. Reading is tolerant: a field of the wrong type is a field that is not there.

use crate::domain::Address;
use crate::domain::Company;
use crate::domain::Person;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;

/// The body if it is a JSON object, else `Null`, in which no field is found. All the APIs answer in
/// objects; whatever else comes is not from them. The parser refuses more than 128 levels.
pub(super) fn object(body: &str) -> Value {
    serde_json::from_str(body).ok().filter(Value::is_object).unwrap_or_default()
}

/// The text at a JSON pointer, trimmed; `None` when it is empty.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// The address at a JSON pointer; `None` when it is masked or cannot be one.
pub(super) fn address(value: &Value, pointer: &str) -> Option<Address> {
    text(value, pointer).and_then(Address::parse)
}

/// The boolean at a JSON pointer.
pub(super) fn flag(value: &Value, pointer: &str) -> Option<bool> {
    value.pointer(pointer)?.as_bool()
}

/// The number of credits or dollars at a JSON pointer, from the digits it prints as and never by way
/// of a float's arithmetic; `None` when it is negative or beyond a `Decimal`.
pub(super) fn decimal(value: &Value, pointer: &str) -> Option<Decimal> {
    let Value::Number(number) = value.pointer(pointer)? else { return None };
    number.to_string().parse().ok().filter(|amount: &Decimal| !amount.is_sign_negative())
}

/// Name and company as LeadMagic and Prospeo take them; they differ in the domain's field.
pub(super) fn by_name(person: &Person, company: &Company, domain_field: &str) -> Value {
    let (field, text) = match company {
        Company::Domain(domain) => (domain_field, domain),
        Company::Name(name) => ("company_name", name),
    };
    if person.first.is_empty() || person.last.is_empty() {
        json!({ "full_name": person.full, field: text })
    } else {
        json!({ "first_name": person.first, "last_name": person.last, field: text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_never_negative() {
        let body = json!({ "a": 0.1, "b": 1, "c": 1e-7, "d": -1, "e": "1", "f": 1e300, "g": 1.0 });
        for (pointer, exact) in [
            ("/a", Some("0.1")),
            ("/b", Some("1")),
            ("/c", Some("0.0000001")),
            ("/d", None),
            ("/e", None),
            ("/f", None),
            ("/g", Some("1.0")),
            ("/h", None),
        ] {
            assert_eq!(decimal(&body, pointer), exact.map(|text| text.parse().unwrap()), "{pointer}");
        }
    }

    #[test]
    fn what_is_not_an_object_has_no_fields() {
        let nested = "{\"a\":".repeat(100_000);
        for body in ["", "null", "[]", "\"text\"", "<html>", "{\"a\":1", nested.as_str()] {
            assert_eq!(object(body), Value::Null);
        }
        assert_eq!(text(&Value::Null, "/a"), None);
    }
}
