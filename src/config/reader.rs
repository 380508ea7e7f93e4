//! Reads keys one by one and remembers: what was asked for, what is in force, what is wrong.

use crate::config::kinds::Kind;
use crate::config::mistakes::Mistake;
use crate::config::mistakes::Mistakes;
use crate::config::mistakes::Place;
use crate::config::mistakes::did_you_mean;
use crate::config::mistakes::dotted;
use crate::config::secrets::Lookup;
use crate::config::section::Section;
use crate::domain::ConfigVersion;
use serde_json::Value;
use sha2::Digest;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use toml_edit::Key;
use toml_edit::TableLike;

/// What overrides a key: `WEIR__` and its path, joined by `__`.
const OVERRIDE_PREFIX: &str = "WEIR__";
/// The tables of the live half; of `worker` only `leads_in_flight` belongs to it.
const LIVE_TABLES: [&str; 5] = ["cache", "wallet", "providers", "models", "waterfalls"];
/// What a live half is told about any other key there is.
const NOT_LIVE: &str = "needs a restart: it is not part of the live half";

/// The text that is read, and what it refers to.
pub(super) struct Source<'d> {
    /// How mistakes name the text as a whole.
    pub(super) place: Place,
    pub(super) text: &'d str,
    /// Where `file:` secrets are looked for.
    pub(super) dir: &'d Path,
    pub(super) env: Lookup<'d>,
}

impl Source<'_> {
    /// The line where `span` (bytes) begins.
    pub(super) fn place(&self, span: Option<Range<usize>>) -> Place {
        let before = span.and_then(|span| self.text.get(..span.start));
        self.place.at(before.map(|text| text.matches('\n').count() + 1))
    }
}

/// One key in force.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    /// `value` names where a secret lies.
    pub(super) secret: bool,
}

/// The tables and keys that were asked for; no others are known.
#[derive(Default)]
pub(super) struct Known {
    tables: BTreeSet<Vec<String>>,
    pub(super) keys: BTreeSet<Vec<String>>,
}

/// What a reader without mistakes leaves behind.
pub(super) struct Report {
    pub(super) settings: Vec<Setting>,
    pub(super) warnings: Vec<String>,
}

/// Reads one document, and the environment above it.
pub(super) struct Reader<'d> {
    pub(super) source: Source<'d>,
    root: &'d dyn TableLike,
    /// Variable and text by what [`variable`] makes of the variable.
    pub(super) overrides: BTreeMap<String, (String, String)>,
    pub(super) known: Known,
    /// What a restart alone reads; empty where both halves are read.
    boot: Known,
    pub(super) settings: Vec<Setting>,
    pub(super) warnings: Vec<String>,
    pub(super) mistakes: Vec<Mistake>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(source: Source<'d>, root: &'d dyn TableLike, environment: &[(String, String)]) -> Self {
        let ours = environment.iter().filter(|(name, _)| name.starts_with(OVERRIDE_PREFIX));
        Self {
            source,
            root,
            overrides: ours.map(|(name, text)| (comparable(name), (name.clone(), text.clone()))).collect(),
            known: Known::default(),
            boot: Known::default(),
            settings: Vec::new(),
            warnings: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// The table at `path`.
    pub(super) fn table<'r>(&'r mut self, path: &[&str]) -> Section<'r, 'd> {
        let mut place = self.source.place(None);
        let mut table = Some(self.root);
        let mut reached = Vec::new();
        for name in path {
            reached.push((*name).to_owned());
            self.known.tables.insert(reached.clone());
            let Some((key, item)) = table.and_then(|table| table.get_key_value(name)) else {
                table = None;
                continue;
            };
            place = self.source.place(key.span());
            table = item.as_table_like();
            if table.is_none() {
                self.mistakes.push(Mistake::new(place.clone(), &reached, "must be a table"));
            }
        }
        Section { reader: self, table, path: reached, place }
    }

    /// The names of the tables in a group such as `providers`: only what is written exists.
    pub(super) fn names(&mut self, group: &str) -> Vec<String> {
        let Some(table) = self.table(&[group]).table else { return Vec::new() };
        table.iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// The version of the live keys read so far: references stand for secrets, order does not count.
    pub(super) fn version(&self) -> ConfigVersion {
        let live = self.settings.iter().filter(|setting| is_live(&setting.path));
        let mut lines: Vec<String> =
            live.map(|setting| format!("{} = {}\n", dotted(&setting.path), setting.value)).collect();
        lines.sort();
        let digest = Sha256::digest(lines.concat());
        ConfigVersion::new(digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// What was read, or all mistakes; keys and variables nobody asked for are among them.
    pub(super) fn finish(mut self) -> Result<Report, Mistakes> {
        self.refuse_unknown_keys(self.root, &[]);
        self.refuse_unknown_variables();
        self.report()
    }

    /// The same for a text of the live half alone. A key that `boot` knows needs a restart; a variable
    /// that overrides one is none of this reader's business, and one that overrides nothing is worth a
    /// warning only: the process was started with it, and another text may have its table.
    pub(super) fn finish_live(mut self, boot: Known) -> Result<Report, Mistakes> {
        self.boot = boot;
        self.refuse_unknown_keys(self.root, &[]);
        self.warn_of_idle_variables();
        self.report()
    }

    fn report(mut self) -> Result<Report, Mistakes> {
        if self.mistakes.is_empty() {
            return Ok(Report { settings: self.settings, warnings: self.warnings });
        }
        self.mistakes.sort();
        self.mistakes.dedup();
        Err(Mistakes(self.mistakes))
    }

    fn refuse_unknown_keys(&mut self, table: &'d dyn TableLike, parent: &[String]) {
        for (name, item) in table.iter() {
            let path = [parent, &[name.to_owned()]].concat();
            let is_known_table = self.known.tables.contains(&path) || self.boot.tables.contains(&path);
            if let Some(table) = item.as_table_like().filter(|_| is_known_table) {
                self.refuse_unknown_keys(table, &path);
            } else if !self.known.contains(&path) {
                let message = self.objection(name, parent, &path);
                let place = self.source.place(table.key(name).and_then(Key::span));
                self.mistakes.push(Mistake::new(place, &path, message));
            }
        }
    }

    /// Why nobody asked for the key `name` of the table `parent`.
    fn objection(&self, name: &str, parent: &[String], path: &[String]) -> String {
        if self.boot.contains(path) {
            return NOT_LIVE.to_owned();
        }
        format!("unknown key{}", did_you_mean(name, self.known.names_in(parent)))
    }

    fn refuse_unknown_variables(&mut self) {
        let known = self.known.variables();
        for (form, (name, _)) in &self.overrides {
            if let Some(kind) = sandbox_address(form).filter(|_| !known.contains(form)) {
                self.warnings.push(format!("environment {name}: the configuration has no provider {kind}"));
            } else if !known.contains(form) {
                let near = did_you_mean(form, known.iter().map(String::as_str));
                let message = format!("overrides no key; its table must be in the file{near}");
                self.mistakes.push(Mistake::new(Place::Variable(name.clone()), &[], message));
            }
        }
    }

    fn warn_of_idle_variables(&mut self) {
        let (live, boot) = (self.known.variables(), self.boot.variables());
        let idle = self.overrides.iter().filter(|(form, _)| !live.contains(*form) && !boot.contains(*form));
        self.warnings
            .extend(idle.map(|(_, (name, _))| format!("environment {name}: overrides no key of this configuration")));
    }
}

impl Known {
    fn contains(&self, path: &[String]) -> bool {
        self.tables.contains(path) || self.keys.contains(path)
    }

    /// The names of the tables and keys that stand directly in `table`.
    fn names_in<'k>(&'k self, table: &[String]) -> impl Iterator<Item = &'k str> {
        let all = self.keys.iter().chain(&self.tables).filter_map(|known| known.split_last());
        all.filter(move |(_, above)| *above == table).map(|(name, _)| name.as_str())
    }

    /// The variables that override its keys, as they are compared.
    fn variables(&self) -> BTreeSet<String> {
        self.keys.iter().map(|path| variable(path)).collect()
    }
}

/// Does the key at `path` belong to the live half?
pub(super) fn is_live(path: &[String]) -> bool {
    path == ["worker", "leads_in_flight"] || path.first().is_some_and(|table| LIVE_TABLES.contains(&table.as_str()))
}

/// The variable that overrides the key at `path`, in the form that is compared.
pub(super) fn variable(path: &[String]) -> String {
    comparable(&format!("{OVERRIDE_PREFIX}{}", path.join("__")))
}

/// The kind whose address a variable names, as `weir sandbox` prints one for each: a configuration need not have them
/// all.
fn sandbox_address(form: &str) -> Option<&'static str> {
    let path = |kind: &str| ["providers", kind, "base_url"].map(str::to_owned);
    Kind::names().find(|kind| variable(&path(kind)) == form)
}

/// A variable's name as it is compared: upper case, and `_` for what a shell does not take in a name.
fn comparable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}
