//! The live half made ready for a swap, from a message or from the files. Nothing is in force yet.

use crate::config::boot::Boot;
use crate::config::live::Live;
use crate::config::load::Config;
use crate::config::load::Origin;
use crate::config::load::load;
use crate::config::load::parse;
use crate::config::mistakes::Mistakes;
use crate::config::mistakes::dotted;
use crate::config::reader::Known;
use crate::config::reader::Reader;
use crate::config::reader::Report;
use crate::config::reader::Setting;
use crate::config::reader::Source;
use crate::config::reader::is_live;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use toml_edit::Table;

/// A live half without a mistake: to swap it in cannot fail.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What comes into force, whole.
    pub live: Arc<Live>,
    /// Where it was read.
    pub origin: Origin,
    /// What is allowed and probably not meant, a line each.
    pub warnings: Vec<String>,
    /// Its keys, in the order of reading.
    pub(super) settings: Vec<Setting>,
}

/// Reads a live half that a message carries. A key left out takes its default, whatever the files say;
/// the environment overrides the text. `file:` secrets lie in `dir` ([`Config::folder`]) and are read
/// anew. `env` and `overrides` as in [`load`].
///
/// # Errors
/// All mistakes at once. A key of the boot half is one; a variable that overrides no key is a warning.
pub fn prepare_inline(
    text: &str,
    dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &[(String, String)],
) -> Result<Prepared, Mistakes> {
    let origin = Origin::Stored;
    let source = Source { place: origin.place(), text, dir, env };
    let document = parse(&source)?;
    let mut reader = Reader::new(source, document.as_table(), overrides);
    let live = Arc::new(Live::read(&mut reader));
    let Report { settings, warnings } = reader.finish_live(boot_keys())?;
    Ok(Prepared { live, origin, warnings, settings })
}

/// Reads the files again, as [`load`] does, for the sake of their live half. A boot key that reads
/// otherwise than in `running` gives a warning: it needs a restart.
///
/// # Errors
/// All mistakes at once, those of the boot half too: the next start would find them.
pub fn prepare_files(
    running: &Config,
    dir: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &[(String, String)],
) -> Result<Prepared, Mistakes> {
    let read = load(dir, env, overrides)?;
    let mut warnings = restarts(running, &read);
    warnings.extend(read.warnings);
    let settings = read.settings.into_iter().filter(|setting| is_live(&setting.path)).collect();
    Ok(Prepared { live: read.live, origin: read.origin, warnings, settings })
}

impl Config {
    /// The same with another live half, and its warnings.
    #[must_use]
    pub fn with_live(self, prepared: Prepared) -> Self {
        let Prepared { live, origin, warnings, settings } = prepared;
        let boot = self.settings.into_iter().filter(|setting| !is_live(&setting.path));
        let settings = boot.chain(settings).collect();
        Self { boot: self.boot, live, origin, folder: self.folder, warnings, settings }
    }
}

/// A line for each boot key that has changed. Addresses and secrets are compared themselves: what is
/// shown of them leaves the passwords out.
fn restarts(running: &Config, read: &Config) -> Vec<String> {
    let settings = read.settings.iter().filter(|setting| !is_live(&setting.path));
    let changed = settings.filter(|setting| !running.settings.contains(setting)).map(|setting| dotted(&setting.path));
    let secrets = running.boot.changed_secrets(&read.boot).map(str::to_owned);
    let paths: BTreeSet<String> = changed.chain(secrets).collect();
    paths.into_iter().map(|path| format!("{path}: has changed, and needs a restart")).collect()
}

/// What the boot half asks for, learned by letting it read nothing.
fn boot_keys() -> Known {
    let nothing = Table::new();
    let source = Source { place: Origin::Shipped.place(), text: "", dir: Path::new(""), env: &|_| None };
    let mut reader = Reader::new(source, &nothing, &[]);
    Boot::read(&mut reader);
    reader.known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::config::load::SHIPPED;
    use crate::config::load::read;
    use crate::config::show;
    use crate::domain::ProviderName;
    use crate::domain::Usd;
    use expect_test::Expect;
    use expect_test::expect;
    use secrecy::ExposeSecret;
    use std::fs;
    use std::time::Duration;

    /// A value that must never be seen again.
    const CANARY: &str = "sk-canary-3141592653";

    const LIVE: &str = r#"
[providers.leadmagic]
house_key = "env:KEY"
credit_price = "0.0125"
base_url = "https://one.example"

[waterfalls.work_email]
find = ["leadmagic"]
"#;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Environment::from(variables.collect::<Vec<_>>())
    }

    fn prepare_with(text: &str, variables: &[(&str, &str)]) -> Result<Prepared, Mistakes> {
        let env = environment(variables);
        prepare_inline(text, Path::new("config"), &|name| env.get(name), env.variables())
    }

    fn prepare(text: &str) -> Result<Prepared, Mistakes> {
        prepare_with(text, &[])
    }

    fn shipped() -> Config {
        read(Origin::Shipped, SHIPPED, Path::new("config"), &|_| None, &[]).unwrap()
    }

    /// The live half of the shipped file; `leads_in_flight` is left out.
    fn shipped_live_half() -> String {
        let (_, live) = SHIPPED.split_once("\n[cache]\n").unwrap();
        format!("[cache]\n{live}")
    }

    /// A line for each mistake, as an event tells it.
    fn check(text: &str, variables: &[(&str, &str)], told: Expect) {
        let mistakes = prepare_with(text, variables).unwrap_err();
        let lines: String = mistakes.entries().map(|(path, message)| format!("{path} | {message}\n")).collect();
        told.assert_eq(&lines);
    }

    #[test]
    fn five_mistakes_are_told_at_five_places() {
        let text = r#"[wallet]
low_balance = "-1"
[cache]
max_age = "30 days"
[providers.leadmagic]
credit_price = 0.0125
max_trys = 3
[waterfalls.work_email]
find = ["leadmagik"]
"#;
        check(
            text,
            &[],
            expect![[r#"
                wallet.low_balance | the message's config, line 2: must be dollars in quotes, like "12.50": not negative, at most nine digits after the point
                cache.max_age | the message's config, line 4: must be a duration in quotes: "250ms", "30s", "10m", "24h" or "30d"
                providers.leadmagic.credit_price | the message's config, line 6: must be a price in quotes, like "0.0125": not negative, at most nine digits after the point
                providers.leadmagic.max_trys | the message's config, line 7: unknown key; did you mean `max_tries`?
                waterfalls.work_email.find | the message's config, line 9: there is no table [providers.leadmagik]; did you mean `leadmagic`?
            "#]],
        );
    }

    #[test]
    fn what_is_not_part_of_the_live_half_is_refused() {
        check(
            "store = 3\n[worker]\nleads_in_flight = 9\ndrain = \"1s\"\ndrian = \"1s\"\n[brokr]\n[broker]\nulr = \"x\"",
            &[],
            expect![[r#"
                store | the message's config, line 1: needs a restart: it is not part of the live half
                worker.drain | the message's config, line 4: needs a restart: it is not part of the live half
                worker.drian | the message's config, line 5: unknown key
                brokr | the message's config, line 6: unknown key
                broker.ulr | the message's config, line 8: unknown key
            "#]],
        );
        let not_toml = prepare("[store").unwrap_err().to_string();
        assert!(not_toml.starts_with("the message's config, line 1: not TOML"), "{not_toml}");
    }

    #[test]
    fn every_boot_key_is_refused_and_every_live_one_taken() {
        for setting in shipped().settings.iter().filter(|setting| !is_live(&setting.path)) {
            let (key, table) = setting.path.split_last().unwrap();
            let refused = prepare(&format!("[{}]\n{key} = {}", dotted(table), setting.value)).unwrap_err();
            let told = "the message's config, line 2: needs a restart: it is not part of the live half";
            assert_eq!(refused.entries().collect::<Vec<_>>(), [(dotted(&setting.path), told.to_owned())]);
        }
        let live: Vec<Setting> = shipped().settings.into_iter().filter(|setting| is_live(&setting.path)).collect();
        assert_eq!(prepare(&shipped_live_half()).unwrap().settings, live);
    }

    #[test]
    fn a_key_left_out_takes_its_default_and_a_table_left_out_is_none() {
        let Prepared { live, origin, warnings, .. } = prepare("").unwrap();
        assert_eq!((live.providers.len(), live.models.len(), live.waterfalls.len()), (0, 0, 0));
        assert_eq!(live.cache_max_age, Duration::from_secs(30 * 24 * 60 * 60));
        assert_eq!((live.low_balance, live.leads_in_flight), (Usd::from_nanos(10_000_000_000), 512));
        assert_eq!((origin, warnings.len()), (Origin::Stored, 0));
    }

    #[test]
    fn the_environment_wins_over_the_message() {
        let variables = [
            ("WEIR__PROVIDERS__LEADMAGIC__BASE_URL", "http://127.0.0.1:8900/leadmagic"),
            ("WEIR__WORKER__LEADS_IN_FLIGHT", "7"),
            ("WEIR__STORE__URL", "none of this reader's business"),
            ("KEY", CANARY),
        ];
        let prepared = prepare_with(&format!("{LIVE}\n[worker]\nleads_in_flight = 9"), &variables).unwrap();
        let leadmagic = &prepared.live.providers[&ProviderName::new("leadmagic")];
        assert_eq!(leadmagic.base_url, "http://127.0.0.1:8900/leadmagic");
        assert_eq!(leadmagic.house_key.as_ref().unwrap().expose_secret(), CANARY);
        assert_eq!(prepared.live.leads_in_flight, 7);
        assert!(prepared.warnings.is_empty(), "{:?}", prepared.warnings);
        assert!(!format!("{prepared:?}").contains(CANARY));
    }

    #[test]
    fn a_variable_without_its_table_is_a_warning_and_a_wrong_one_a_mistake() {
        let variables = [("WEIR__PROVIDERS__PROSPEO__BASE_URL", "http://127.0.0.1:8900/prospeo"), ("KEY", "k")];
        let warnings = prepare_with(LIVE, &variables).unwrap().warnings;
        assert_eq!(
            warnings,
            ["environment WEIR__PROVIDERS__PROSPEO__BASE_URL: overrides no key of this configuration"]
        );
        check(
            LIVE,
            &[("WEIR__CACHE__MAX_AGE", "old")],
            expect![[r#"
                cache.max_age | environment WEIR__CACHE__MAX_AGE: must be a duration in quotes: "250ms", "30s", "10m", "24h" or "30d"
            "#]],
        );
    }

    #[test]
    fn the_version_tells_the_meaning_wherever_it_was_read() {
        let version = |text: &str| prepare(text).unwrap().live.version.clone();
        assert_eq!(version(LIVE), version(LIVE));
        assert_eq!(version(LIVE), version(&format!("{LIVE}\n[cache]\nmax_age = \"720h\"")));
        assert_ne!(version(LIVE), version(&LIVE.replace("0.0125", "0.0126")));

        assert_eq!(version(&shipped_live_half()), shipped().live.version);
        assert_ne!(version(&shipped_live_half().replace("0.0125", "0.0126")), shipped().live.version);
    }

    #[test]
    fn what_is_stored_is_shown_over_the_boot_half_of_the_files() {
        let config = shipped().with_live(prepare(LIVE).unwrap());
        let shown = show(&config);
        let version = &config.live.version;
        assert!(shown.starts_with(&format!("# version {version}, from the stored inline configuration\n")), "{shown}");
        assert!(shown.contains("url = \"sqlite://.weir/weir.db\"\n"), "{shown}");
        assert!(shown.contains("[providers.leadmagic]\n") && !shown.contains("[providers.prospeo]"), "{shown}");
        assert!(toml_edit::Document::parse(shown.as_str()).is_ok(), "{shown}");
        assert_eq!(config.warnings, ["providers.leadmagic: env:KEY is not set, so this provider is left out"]);
    }

    #[test]
    fn the_files_are_read_again_with_their_secrets_and_a_changed_boot_half_waits_for_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let write = |broker: &str, price: &str, key: &str| {
            let boot = format!("[broker]\nurl = \"amqp://weir:{broker}@mq/\"");
            let live = LIVE.replace("0.0125", price).replace("env:KEY", "file:key");
            fs::write(folder.path().join("weir.toml"), format!("{boot}\n{live}")).unwrap();
            fs::write(folder.path().join("key"), key).unwrap();
        };
        write("one", "0.0125", "first");
        let running = load(Some(folder.path()), &|_| None, &[]).unwrap();
        let again = || prepare_files(&running, Some(folder.path()), &|_| None, &[]).unwrap();
        assert_eq!((again().warnings.len(), &again().live.version), (0, &running.live.version));

        write(CANARY, "0.0126", "second");
        let prepared = again();
        assert_eq!(prepared.warnings, ["broker.url: has changed, and needs a restart"]);
        assert_ne!(prepared.live.version, running.live.version);
        let leadmagic = &prepared.live.providers[&ProviderName::new("leadmagic")];
        assert_eq!(leadmagic.house_key.as_ref().unwrap().expose_secret(), "second");

        let swapped = running.clone().with_live(prepared);
        assert_eq!(swapped.boot.broker_url.expose_secret(), "amqp://weir:one@mq/");
        assert_eq!(swapped.origin, Origin::File(folder.path().join("weir.toml")));

        let zero = [("WEIR__WORKER__SLICE_SIZE".to_owned(), "0".to_owned())];
        let refused = prepare_files(&running, Some(folder.path()), &|_| None, &zero).unwrap_err();
        assert_eq!(refused.entries().map(|(path, _)| path).collect::<Vec<_>>(), ["worker.slice_size"]);
    }
}
