//! How a model's provider is spoken to: the keys of its table that only some kinds have.

use crate::config::kinds::KINDS;
use crate::config::kinds::Kind;
use crate::config::section::Section;
use crate::config::values::ApiVersion;
use crate::config::values::Written;
use crate::domain::Dialect;

/// Reads them from the table of a provider of this kind.
pub(super) fn read(table: &mut Section<'_, '_>, kind: &Kind) -> Dialect {
    let key = choice(table, kind, "key_header", |kind| kind.key_header);
    let api_version = choice(table, kind, "api_version", |kind| kind.api_version.map(|day| ApiVersion(day.to_owned())));
    let output_cap = choice(table, kind, "output_cap", |kind| kind.output_cap);
    let trusts_reported_cost = choice(table, kind, "trust_reported_cost", |kind| kind.trust_reported_cost);
    Dialect {
        key: key.unwrap_or_default(),
        api_version: api_version.map(|day| day.0),
        output_cap: output_cap.unwrap_or_default(),
        trusts_reported_cost: trusts_reported_cost.unwrap_or_default(),
    }
}

/// The value of a key, or what is usual for the kind; for a kind that has no such choice the key is a mistake.
fn choice<T: Written + Clone>(
    table: &mut Section<'_, '_>,
    kind: &Kind,
    key: &str,
    usual: fn(&Kind) -> Option<T>,
) -> Option<T> {
    if let Some(usual) = usual(kind) {
        return Some(table.or(key, usual));
    }
    let others: Vec<&str> = KINDS.iter().filter(|kind| usual(kind).is_some()).map(|kind| kind.name).collect();
    table.refuse(key, format!("is for a provider of kind {} only", others.join(" or ")));
    None
}
