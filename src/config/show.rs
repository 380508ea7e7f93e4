//! What is in force, for people and for programs.

use crate::config::load::Config;
use crate::config::mistakes::dotted;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// Instead of a secret.
const HIDDEN: &str = "***";

/// The configuration in force as TOML, its version first. A secret is `***`, with where it lies.
pub fn show(config: &Config) -> String {
    let mut text = format!("# version {}, from {}\n", config.live.version, config.origin);
    let mut open: &[String] = &[];
    for setting in &config.settings {
        let Some((key, table)) = setting.path.split_last() else { continue };
        if table != open {
            text += &format!("\n[{}]\n", dotted(table));
            open = table;
        }
        text += &match setting.value.as_str() {
            Some(reference) if setting.secret => format!("{key} = \"{HIDDEN}\" # {reference}\n"),
            Some(_) | None => format!("{key} = {}\n", setting.value),
        };
    }
    text
}

/// The same as one JSON object: `version`, `origin`, and the tables.
pub fn show_json(config: &Config) -> Value {
    let mut object = Map::new();
    object.insert("version".to_owned(), json!(config.live.version.as_str()));
    object.insert("origin".to_owned(), json!(config.origin.to_string()));
    for setting in &config.settings {
        let value = if setting.secret { json!(HIDDEN) } else { setting.value.clone() };
        insert(&mut object, &setting.path, value);
    }
    Value::Object(object)
}

fn insert(object: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            object.insert(key.clone(), value);
        }
        [table, rest @ ..] => {
            if let Value::Object(table) = object.entry(table.as_str()).or_insert_with(|| json!({})) {
                insert(table, rest, value);
            }
        }
    }
}
