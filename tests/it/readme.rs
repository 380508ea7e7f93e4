//! The README, held to what the program does.

use clap::Parser;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use weir::cli::Cli;
use weir::config::load;
use weir::domain::Ending;
use weir::domain::Reason;
use weir::domain::Status;
use weir::lists::Counts;
use weir::lists::Input;
use weir::lists::Mapping;
use weir::lists::Need;
use weir::lists::scan;
use weir::messages::CopyJob;
use weir::messages::EnrichmentJob;
use weir::messages::Incoming;
use weir::messages::Leads;
use weir::messages::Message;
use weir::messages::read as read_message;
use weir::messages::schemas;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The part under a heading of the second level.
fn section(heading: &str) -> String {
    let readme = read("README.md");
    let (_, rest) = readme.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The fenced blocks of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let open = format!("```{language}\n");
    text.split(open.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// What stands between backticks in a line or a cell.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every line that runs `weir`, in a container or here, from its name on; without comment and shell signs.
fn commands(text: &str) -> Vec<String> {
    let lines = blocks(text, "sh").into_iter().flat_map(str::lines);
    let of_weir = lines.filter_map(|line| {
        let line = line.split(['#', '<', '>', '&', '|']).next().unwrap().trim();
        let here = line.strip_prefix("docker compose exec ").map(|rest| rest.trim_start_matches("-T "));
        let line = here.map_or(Some(line), |rest| rest.strip_prefix("worker-1 "))?;
        line.starts_with("weir ").then(|| line.to_owned())
    });
    of_weir.collect()
}

fn example_job() -> EnrichmentJob {
    let text = read("examples/job.json");
    match read_message(Some(EnrichmentJob::KIND), "", text.as_bytes()) {
        Ok(Incoming::Enrich(job)) => job,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_two_commands_are_what_ci_runs() {
    let try_it = section("Try it");
    let commands: Vec<&str> = blocks(&try_it, "sh").into_iter().map(str::trim).collect();
    assert_eq!(commands, ["cargo run --release -- enrich examples/leads.csv --sandbox", "./scripts/test"]);

    let ci = read(".ci/run");
    assert!(ci.lines().any(|line| line == commands[1]), "{ci}");
    // CI takes the first one from here; `grep` must find no other before it.
    assert!(ci.contains("grep -m 1 '^cargo run ' README.md"), "{ci}");
    assert_eq!(read("README.md").lines().find(|line| line.starts_with("cargo run ")), Some(commands[0]));
}

#[test]
fn the_example_list_holds_every_kind_of_row() {
    let input = Input::file(&root().join("examples/leads.csv")).unwrap();
    let counts = scan(&input, None, &Mapping::default(), Need::Lookup).unwrap().counts;
    assert_eq!(counts, Counts { rows: 13, usable: 12, address_and_name: 1, name: 10, profile: 1, ..Counts::default() });
}

#[test]
fn every_command_shown_is_one_that_weir_takes() {
    let shown = commands(&read("README.md"));
    assert!(shown.len() >= 13, "{shown:?}");
    for command in shown {
        if let Err(error) = Cli::try_parse_from(command.split_whitespace()) {
            panic!("{command}: {error}");
        }
    }
}

#[test]
fn both_ways_to_a_worker_name_what_exists_and_follow_the_example_job() {
    let text = section("Run it as a worker");
    assert_eq!(blocks(&text, "sh").len(), 2);
    let job = example_job();
    for way in blocks(&text, "sh") {
        for line in way.lines() {
            for path in line.split([' ', '<']).filter(|word| word.starts_with("examples/")) {
                assert!(root().join(path).exists(), "{line}");
            }
        }
        assert_eq!(way.matches("examples/job.json").count(), 1);
        assert!(way.contains(&format!("weir wallet topup {} ", job.workspace_id)), "{way}");
        assert!(way.contains(&format!("weir jobs show {}\n", job.job_id)), "{way}");
        assert!(way.contains(&format!("weir jobs results {}\n", job.job_id)), "{way}");
    }
    assert!(read("docker-compose.yml").contains("\n  worker-1:\n"));
}

#[test]
fn the_example_copy_job_is_what_its_schema_says() {
    let message: Value = serde_json::from_str(&read("examples/copy_job.json")).unwrap();
    let validator = jsonschema::validator_for(&schemas()[CopyJob::KIND]).unwrap();
    let problems: Vec<String> = validator.iter_errors(&message).map(|error| error.to_string()).collect();
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn the_example_job_is_what_its_schema_says() {
    let message: Value = serde_json::from_str(&read("examples/job.json")).unwrap();
    let validator = jsonschema::validator_for(&schemas()[EnrichmentJob::KIND]).unwrap();
    let problems: Vec<String> = validator.iter_errors(&message).map(|error| error.to_string()).collect();
    assert_eq!(problems, Vec::<String>::new());
    let Leads::Inline(leads) = example_job().leads else { panic!("the leads are not inside") };
    assert_eq!(leads.len(), 10);
}

#[test]
fn the_example_worker_calls_the_sandbox_alone_as_docker_compose_does() {
    let config = load(Some(&root().join("examples/worker")), &|_: &str| None, &[]).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let compose = read("docker-compose.yml");
    assert_eq!(config.live.providers.len(), 8);
    for (name, provider) in &config.live.providers {
        let variable = format!("WEIR__PROVIDERS__{}__BASE_URL", name.as_str().to_uppercase());
        assert!(compose.contains(&format!("{variable}: \"{}\"\n", provider.base_url)), "{name}");
        assert!(provider.house_key.is_some(), "{name}");
    }
}

#[test]
fn every_configuration_shown_loads_without_a_mistake() {
    let readme = read("README.md");
    let snippets = blocks(&readme, "toml");
    assert!(!snippets.is_empty());
    for snippet in snippets {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("weir.toml"), snippet).unwrap();
        let config = load(Some(folder.path()), &|_: &str| None, &[]).unwrap();
        assert_eq!(config.live.default_waterfall(None).unwrap().name.as_str(), "work_email");
    }
}

#[test]
fn every_key_named_is_one_of_the_shipped_configuration() {
    let (readme, shipped) = (read("README.md"), read("config/weir.toml"));
    let keys: Vec<&str> = quoted(&readme).filter(|word| word.ends_with("_API_KEY")).collect();
    assert_eq!(keys.len(), 9);
    for key in keys {
        assert!(shipped.contains(&format!("\"env:{key}\"")), "{key}");
    }
}

#[test]
fn the_status_table_says_exactly_what_is_allowed() {
    let text = section("How a lead ends");
    let mut told = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').collect();
        let status: Status = quoted(cells[1]).next().unwrap().parse().unwrap();
        told.extend(quoted(cells[3]).map(|reason| (status, reason.parse::<Reason>().unwrap())));
    }
    let pairs = Status::ALL.iter().flat_map(|status| Reason::ALL.iter().map(move |reason| (*status, *reason)));
    let is_allowed = |&(status, reason): &(Status, Reason)| Ending::without_address(status, reason).is_allowed();
    let allowed: BTreeSet<_> = pairs.filter(is_allowed).collect();
    assert_eq!(told, allowed);
}

#[test]
fn the_recipe_for_a_provider_names_what_exists() {
    let recipe = section("Adding a provider");
    let paths: Vec<&str> = quoted(&recipe).filter(|word| word.contains('/') && !word.contains([' ', '*'])).collect();
    assert!(paths.len() >= 6, "{paths:?}");
    for path in paths {
        // NAME stands for the new provider; the oldest one has taken the same steps.
        let path = path.replace("NAME", "leadmagic");
        assert!(root().join(&path).exists(), "{path}");
    }
    assert!(read("src/providers/mod.rs").contains("pub static TABLE"));
}
