//! Lists to enrich, and what stands in an enriched one.

use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// The eight added columns, in order.
pub(super) const ADDED: [&str; 8] = [
    "weir_status",
    "weir_reason",
    "weir_email",
    "weir_email_verdict",
    "weir_found_by",
    "weir_verified_by",
    "weir_cost_usd",
    "weir_attempts",
];

/// So many leads in each scene of the sandbox (`hit`, `miss`, `only-prospeo`, ...), all different people.
pub(super) fn list_of(scenes: &[(usize, &str)]) -> String {
    let scene_of_each = scenes.iter().flat_map(|(count, scene)| std::iter::repeat_n(scene, *count));
    let row = |(n, scene): (usize, &&str)| format!("{n},Ada{n},Sample,c{n}.{scene}.test\n");
    let rows: String = (1..).zip(scene_of_each).map(row).collect();
    format!("id,first_name,last_name,domain\n{rows}")
}

/// The rows of a table, each by the names of its columns.
pub(super) fn rows(table: &str) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_reader(table.as_bytes()).into_deserialize().map(Result::unwrap).collect()
}

/// How many leads ended how, like `10 not_found/none, 2 verified/none`.
pub(super) fn endings(enriched: &str) -> String {
    let mut counts = BTreeMap::new();
    for row in rows(enriched) {
        *counts.entry(format!("{}/{}", row["weir_status"], row["weir_reason"])).or_insert(0) += 1;
    }
    let counts: Vec<String> = counts.into_iter().map(|(ending, count)| format!("{count} {ending}")).collect();
    counts.join(", ")
}

/// An amount of USD; equal whatever its places.
pub(super) fn usd(text: &str) -> Decimal {
    text.parse().unwrap()
}
