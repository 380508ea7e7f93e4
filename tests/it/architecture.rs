//! The house rules that a scan of the text can hold: which room may know which, what stays out of where, how long a
//! file may be. What is wrong is told with file, line and rule.

use std::fs;
use std::path::Path;

/// Every room, and the rooms it may import; they all stand above it.
const ROOMS: &[(&str, &str)] = &[
    ("domain", ""),
    ("waterfall", "domain"),
    ("pricing", "domain"),
    ("providers", "domain"),
    ("lists", "domain"),
    // For `Moment` alone.
    ("clock", "waterfall"),
    ("ledger", "domain"),
    ("http", "domain providers"),
    // For the numbers of jobs and slices, and the time of a message.
    ("queue", "clock ledger"),
    ("metrics", "domain queue"),
    ("messages", "domain queue"),
    ("jobs", "domain ledger"),
    ("keys", "domain ledger"),
    ("roster", "domain ledger"),
    ("store", "clock domain jobs keys ledger roster"),
    ("config", "domain providers waterfall"),
    // No adapter: both sides of the wire are written from the same pages.
    ("sandbox", "domain"),
    ("worker", "clock config domain http jobs keys ledger lists metrics pricing providers queue store waterfall"),
    ("crew", "clock config domain http jobs keys ledger lists messages metrics queue roster store worker"),
    (
        "cli",
        "clock config crew domain http jobs keys ledger lists messages pricing providers queue roster sandbox store \
         waterfall worker",
    ),
    ("main", "cli"),
    ("lib", ""),
];

/// Crates that stay where they are understood: nothing outside of these places names them.
const CRATES: &[(&str, &[&str])] = &[
    ("reqwest", &["src/http/", "src/cli/bench/floor_http.rs", "src/cli/bench/worker/floor.rs"]),
    ("governor", &["src/http/"]),
    ("rusqlite", &["src/store/", "src/cli/bench/floor_wallet.rs"]),
    ("tokio_postgres", &["src/store/postgres/", "src/cli/bench/"]),
    ("deadpool_postgres", &["src/store/postgres/"]),
    // The log names it, to silence it.
    ("lapin", &["src/queue/rabbitmq", "src/cli/logging.rs", "src/cli/bench/worker/results.rs"]),
    ("axum", &["src/sandbox/", "src/metrics/"]),
    ("metrics_exporter_prometheus", &["src/metrics/"]),
    ("chacha20poly1305", &["src/keys/"]),
    ("object_store", &["src/crew/s3.rs"]),
    ("anyhow", &["src/cli/", "src/main.rs"]),
    ("clap", &["src/cli/", "src/main.rs"]),
];

/// What only decides: no I/O, no task, no log, and so none of [`CRATES`] and [`IMPURE_CRATES`].
const PURE: &[&str] = &["src/domain/", "src/waterfall/", "src/pricing/", "src/providers/", "src/ledger/rules.rs"];
const IMPURE_CRATES: &[&str] = &["tokio", "tracing"];

/// Where money is counted.
const EXACT: &[&str] = &["src/domain/money.rs", "src/ledger/", "src/pricing/", "src/store/"];

/// Rooms that wait. They measure with tokio's clock, which tests pause.
const WAITING: &[&str] = &["http", "queue", "store", "sandbox", "worker", "crew", "cli"];

/// Lines, tests not counted.
const LONGEST_FILE: usize = 400;
const LONGEST_MAIN: usize = 80;
const LONGEST_ARCHITECTURE: usize = 150;

/// A file of `src/`.
struct Source {
    /// From the repository's root.
    path: String,
    text: String,
}

/// Says what is wrong with a file, a line each.
type Rule = fn(&Source) -> Vec<String>;

impl Source {
    /// `src/domain/money.rs` is in `domain`, `src/clock.rs` in `clock`.
    fn room(&self) -> &str {
        self.path.trim_start_matches("src/").split(['/', '.']).next().unwrap()
    }

    fn lies_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// The lines before a test module, with their numbers.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(test)]\npub(super) mod tests {"];
        let code = tests.iter().filter_map(|start| self.text.find(start)).min().unwrap_or(self.text.len());
        self.text[..code].lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// The same, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn breach(&self, line: usize, rule: impl AsRef<str>) -> String {
        format!("{}:{line}: {}", self.path, rule.as_ref())
    }

    /// One breach for each line of code that `is_wrong`.
    fn wrong_lines(&self, is_wrong: impl Fn(&str) -> bool, rule: &str) -> Vec<String> {
        self.code().filter(|(_, line)| is_wrong(line)).map(|(at, _)| self.breach(at, rule)).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All files of `src/` that are not tests.
fn sources() -> Vec<Source> {
    let mut folders = vec![root().join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if is_code(&path) {
                let below_root = path.strip_prefix(root()).unwrap().to_str().unwrap();
                sources.push(Source { text: fs::read_to_string(&path).unwrap(), path: below_root.to_owned() });
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

fn is_code(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.ends_with(".rs") && name != "tests.rs" && name != "properties.rs"
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The rooms that a line names; `main.rs` says `weir` where the others say `crate`.
fn named_rooms<'l>(line: &'l str, of: &str) -> impl Iterator<Item = &'l str> {
    let start = if of == "main" { "weir::" } else { "crate::" };
    line.split(start).skip(1).filter_map(|path| words(path).next()).filter(|room| !room.is_empty())
}

fn foreign_imports(source: &Source) -> Vec<String> {
    let room = source.room();
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![source.breach(1, format!("the room {room} has no row in ROOMS"))];
    };
    let named = source.code().flat_map(|(at, line)| named_rooms(line, room).map(move |named| (at, named)));
    let foreign = named.filter(|(_, named)| *named != room && !allowed.split_whitespace().any(|room| room == *named));
    foreign.map(|(at, named)| source.breach(at, format!("{room} may not import {named}"))).collect()
}

fn crooked_imports(source: &Source) -> Vec<String> {
    let is_crooked = |line: &str| {
        let bundle = line.contains("use crate::") && line.contains(['{', '*', ',']);
        bundle || line.contains("super::super")
    };
    source.wrong_lines(is_crooked, "write `use crate::room::Item;`, one path a line, and no super::super")
}

fn misplaced_crates(source: &Source) -> Vec<String> {
    let is_pure = source.lies_in(PURE);
    let elsewhere = CRATES.iter().filter(|(_, places)| !source.lies_in(places)).map(|(name, _)| name);
    let banned: Vec<&str> = elsewhere.chain(IMPURE_CRATES.iter().filter(|_| is_pure)).copied().collect();
    let misplaced = source.code().flat_map(|(at, line)| words(line).map(move |word| (at, word)));
    let misplaced = misplaced.filter(|(_, word)| banned.contains(word));
    misplaced.map(|(at, word)| source.breach(at, format!("the crate {word} does not belong here"))).collect()
}

fn clock_readings(source: &Source) -> Vec<String> {
    if source.path == "src/clock.rs" {
        return Vec::new();
    }
    let waits = WAITING.contains(&source.room()) && source.text.contains("use tokio::time::Instant;");
    let reads = |line: &str| line.contains("SystemTime::now") || (line.contains("Instant::now") && !waits);
    source.wrong_lines(reads, "src/clock.rs alone reads the clock; rooms that wait may use tokio::time::Instant")
}

fn floats(source: &Source) -> Vec<String> {
    let is_exact = source.lies_in(EXACT);
    let has_float = |line: &str| is_exact && words(line).any(|word| word == "f32" || word == "f64");
    source.wrong_lines(has_float, "no float touches money")
}

fn excess(source: &Source) -> Vec<String> {
    let most = if source.path == "src/main.rs" { LONGEST_MAIN } else { LONGEST_FILE };
    let surplus = source.lines().nth(most);
    surplus.map(|(at, _)| source.breach(at, format!("a file has {most} lines at most"))).into_iter().collect()
}

fn unsaid_purpose(source: &Source) -> Vec<String> {
    let is_room = source.path == format!("src/{}/mod.rs", source.room());
    if source.path.ends_with("/mod.rs") && !source.text.starts_with("//! ") {
        return vec![source.breach(1, "a mod.rs opens with what it knows (`//!`)")];
    }
    if is_room && !source.text.contains("Invariant:") {
        return vec![source.breach(1, "a room says what it must not know (`Invariant:`)")];
    }
    Vec::new()
}

const RULES: &[Rule] =
    &[foreign_imports, crooked_imports, misplaced_crates, clock_readings, floats, excess, unsaid_purpose];

#[test]
fn the_sources_keep_every_rule() {
    let sources = sources();
    let breaches: Vec<String> = RULES.iter().flat_map(|rule| sources.iter().flat_map(rule)).collect();
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn every_rule_finds_its_breach() {
    let long = "//! x\n".repeat(LONGEST_FILE + 1);
    for (path, text, told) in [
        ("src/domain/lead.rs", "use crate::ledger::Entry;", ":1: domain may not import ledger"),
        ("src/http/gate.rs", "\nlet a = crate::store::open();", ":2: http may not import store"),
        ("src/main.rs", "use weir::store::Store;", ":1: main may not import store"),
        ("src/annex/mod.rs", "//! Invariant: none", ":1: the room annex has no row in ROOMS"),
        ("src/jobs/mod.rs", "//! Invariant:\npub use crate::ledger::{A, B};", ":2: write `use crate::room::Item;`"),
        ("src/jobs/records.rs", "use super::super::ledger;", ":1: write `use crate::room::Item;`"),
        ("src/waterfall/next.rs", "use tokio::time::sleep;", ":1: the crate tokio does not belong here"),
        ("src/ledger/rules.rs", "tracing::info!();", ":1: the crate tracing does not belong here"),
        ("src/cli/wallet.rs", "use rusqlite::Connection;", ":1: the crate rusqlite does not belong here"),
        ("src/store/rows.rs", "let now = SystemTime::now();", ":1: src/clock.rs alone reads the clock"),
        ("src/http/gate.rs", "use std::time::Instant;\nInstant::now();", ":2: src/clock.rs alone reads the clock"),
        ("src/ledger/mod.rs", "//! Invariant:\nlet a: f64;", ":2: no float touches money"),
        ("src/store/rows.rs", long.as_str(), ":401: a file has 400 lines at most"),
        ("src/main.rs", long.as_str(), ":81: a file has 80 lines at most"),
        ("src/store/sqlite/mod.rs", "mod rows;", ":1: a mod.rs opens with what it knows"),
        ("src/store/mod.rs", "//! Rows.", ":1: a room says what it must not know"),
    ] {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        let breaches: Vec<String> = RULES.iter().flat_map(|rule| rule(&source)).collect();
        assert_eq!(breaches.len(), 1, "{path}: {breaches:?}");
        assert!(breaches[0].starts_with(&format!("{path}{told}")), "{breaches:?}");
    }
}

#[test]
fn what_is_no_breach_is_let_through() {
    for (path, text) in [
        ("src/domain/lead.rs", "// Unlike crate::ledger, which counts in f64 over reqwest."),
        ("src/http/gate.rs", "use tokio::time::Instant;\nInstant::now();"),
        ("src/jobs/mod.rs", "//! Invariant: none.\npub use crate::ledger::Entry as Line;"),
        ("src/domain/lead.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::ledger::*;\n}"),
    ] {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        let breaches: Vec<String> = RULES.iter().flat_map(|rule| rule(&source)).collect();
        assert!(breaches.is_empty(), "{breaches:?}");
    }
}

#[test]
fn the_rooms_stand_in_one_order() {
    for (at, (room, imported)) in ROOMS.iter().enumerate() {
        let above: Vec<&str> = ROOMS[..at].iter().map(|(above, _)| *above).collect();
        let stands_above = |imported: &str| above.contains(&imported);
        assert!(imported.split_whitespace().all(stands_above), "{room} imports a room from below it");
    }
}

#[test]
fn every_dependency_says_why_or_stands_under_one_that_does() {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
    for block in rest.split("\n[").next().unwrap().split("\n\n") {
        let first = block.trim_start().lines().next().unwrap();
        assert!(first.starts_with('#'), "Cargo.toml: say in a comment above why this is needed: {first}");
    }
}

#[test]
fn architecture_md_is_short_and_names_what_exists() {
    let page = read("ARCHITECTURE.md");
    let lines = page.lines().count();
    assert!(lines <= LONGEST_ARCHITECTURE, "ARCHITECTURE.md has {lines} lines; {LONGEST_ARCHITECTURE} are allowed");

    let code: String = sources().into_iter().map(|source| source.text).collect();
    for name in page.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.strip_suffix("()")) {
        let function = name.rsplit("::").next().unwrap();
        let exists = [format!("fn {function}("), format!("fn {function}<")].iter().any(|start| code.contains(start));
        assert!(exists, "ARCHITECTURE.md names {name}(), which is not in src/");
    }
    for (room, _) in ROOMS.iter().filter(|(room, _)| root().join("src").join(room).is_dir()) {
        assert!(page.contains(&format!("| `{room}` |")), "ARCHITECTURE.md: the room {room} is not in the map");
    }
}
