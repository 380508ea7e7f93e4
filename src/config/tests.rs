//! The room as a whole: text and environment in, configuration or mistakes out.

use crate::config::Config;
use crate::config::Mistakes;
use crate::config::Origin;
use crate::config::load;
use crate::config::load::SHIPPED;
use crate::config::load::read;
use crate::config::show;
use crate::config::show_json;
use crate::domain::Dialect;
use crate::domain::KeyPlace;
use crate::domain::OutputCap;
use crate::domain::ProviderName;
use rust_decimal::Decimal;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A value that must never be seen again.
const CANARY: &str = "sk-canary-3141592653";

const SMALL: &str = r#"
[providers.leadmagic]
house_key = "env:KEY"
credit_price = "0.0125"

[waterfalls.work_email]
find = ["leadmagic"]
"#;

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let env: Vec<(String, String)> = env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let by_name: BTreeMap<String, String> = env.iter().cloned().collect();
    read(Origin::File("weir.toml".into()), text, Path::new("config"), &|name: &str| by_name.get(name).cloned(), &env)
}

fn parse(text: &str) -> Result<Config, Mistakes> {
    parse_with(text, &[])
}

/// All mistakes, one line each; empty when there is none.
fn mistakes(text: &str) -> String {
    parse(text).map_or_else(|mistakes| mistakes.to_string(), |_| String::new())
}

fn version(text: &str) -> String {
    parse(text).unwrap().live.version.to_string()
}

#[test]
fn the_shipped_file_writes_out_every_key_in_force() {
    let written: toml_edit::Document<&str> = toml_edit::Document::parse(SHIPPED).unwrap();
    for setting in parse(SHIPPED).unwrap().settings {
        let mut item = written.as_item();
        for name in &setting.path {
            item = item.get(name.as_str()).unwrap_or_else(|| panic!("{:?} is not in the file", setting.path));
        }
    }
}

#[test]
fn the_shipped_values_are_the_defaults() {
    let tables: Vec<&str> = SHIPPED.lines().filter(|line| line.starts_with("[providers.")).collect();
    let bare = format!("{}\n[waterfalls.work_email]\nfind = [\"leadmagic\"]", tables.join("\n"));
    let shipped = parse(SHIPPED).unwrap().settings;
    for default in parse(&bare).unwrap().settings {
        if !["find", "verify"].contains(&default.path.last().unwrap().as_str()) {
            assert!(shipped.contains(&default), "{default:?}");
        }
    }
}

#[test]
fn an_empty_environment_warns_once_for_each_provider_and_refuses_nothing() {
    let config = parse(SHIPPED).unwrap();
    assert_eq!(config.warnings.len(), config.live.providers.len());
    assert_eq!(
        config.warnings[0],
        "providers.leadmagic: env:LEADMAGIC_API_KEY is not set, so this provider is left out"
    );
    assert_eq!(config.live.default_waterfall(None).unwrap().find.len(), 4);
}

#[test]
fn five_mistakes_are_reported_at_five_places() {
    let text = r#"[store]
url = "mysql://db"
[worker]
slice_size = 0
drian = "25s"
[providers.leadmagic]
credit_price = 0.0125
[waterfalls.work_email]
find = ["leadmagik"]
"#;
    let expected = [
        "weir.toml:2: store.url: must begin with sqlite:// or postgres:// or postgresql://",
        "weir.toml:4: worker.slice_size: must be from 1 to 10000",
        "weir.toml:5: worker.drian: unknown key; did you mean `drain`?",
        "weir.toml:7: providers.leadmagic.credit_price: must be a price in quotes, like \"0.0125\": \
         not negative, at most nine digits after the point",
        "weir.toml:9: waterfalls.work_email.find: there is no table [providers.leadmagik]; did you mean `leadmagic`?",
    ];
    assert_eq!(mistakes(text), expected.join("\n"));
}

#[test]
fn each_rule_refuses_what_it_is_for() {
    for (text, told) in [
        ("[store", "weir.toml:1: not TOML"),
        ("[brokr]", "weir.toml:1: brokr: unknown key; did you mean `broker`?"),
        ("worker = 3", "weir.toml:1: worker: must be a table"),
        ("[[providers]]", "providers: must be a table"),
        ("[cache]\nmax_age = \"30 days\"", "weir.toml:2: cache.max_age: must be a duration"),
        ("[cache]\nmax_age = 30", "cache.max_age: must be a duration"),
        ("[wallet]\nlow_balance = \"-1\"", "wallet.low_balance: must be dollars"),
        ("[worker]\nleads_in_flight = 100001", "worker.leads_in_flight: must be from 1 to 100000"),
        ("[worker]\nmetrics_listen = \"9464\"", "worker.metrics_listen: must be an address and port"),
        ("[worker]\nsources = [\"/etc\"]", "worker.sources: each must begin with"),
        ("[broker]\nurl = \"http://b\"", "broker.url: must begin with amqp://"),
        ("[broker]\nurl = \"env:UNSET\"", "broker.url: names a variable that is not set"),
        ("[providers.x]", "weir.toml:1: providers.x.kind: must be one of leadmagic, "),
        ("[providers.\"a.b\"]\nkind = \"openai\"", "providers.\"a.b\": a name is"),
        ("[providers.prospeo]\nhouse_key = \"env:K\"", "weir.toml:1: providers.prospeo.credit_price: is missing"),
        ("[providers.prospeo]\ncredit_price = \"-0.1\"", "credit_price: must be a price"),
        ("[providers.prospeo]\ncredit_price = \"0.0000000001\"", "credit_price: must be a price"),
        ("[providers.openai]\ncredit_price = \"1\"", "providers.openai.credit_price: unknown key"),
        ("[providers.openai]\nhouse_key = \"file:no-such\"", "house_key: cannot read no-such"),
        (
            "[providers.openai]\nkey_header = \"x-key\"",
            "weir.toml:2: providers.openai.key_header: must be \"authorization\"",
        ),
        (
            "[providers.openai]\noutput_cap = 400",
            "openai.output_cap: must be \"max_completion_tokens\" or \"max_tokens\"",
        ),
        ("[providers.openai]\ntrust_reported_cost = \"yes\"", "trust_reported_cost: must be true or false"),
        (
            "[providers.anthropic]\napi_version = \"2023-6-1\"",
            "weir.toml:2: providers.anthropic.api_version: must be a day",
        ),
        ("[providers.anthropic]\napi_version = \"2023-06-0x\"", "anthropic.api_version: must be a day in quotes"),
        ("[models.m]\nprovider = \"openai\"", "models.m.provider: must name a provider"),
        ("[providers.firecrawl]\n[models.m]\nprovider = \"firecrawl\"", "weir.toml:3: models.m.provider: must name"),
        ("[models.m]", "models.m.input_per_million: is missing"),
        ("[models.m]", "models.m.output_per_million: is missing"),
        ("[models.m]\ninput_per_million = \"-0.75\"", "weir.toml:2: models.m.input_per_million: must be a price"),
        (
            "[models.m]\ncached_input_per_million = 0.1",
            "weir.toml:2: models.m.cached_input_per_million: must be a price",
        ),
        ("[models.m]\ncache_write_per_million = \"-1\"", "models.m.cache_write_per_million: must be a price"),
        ("[waterfalls.w]", "weir.toml:1: waterfalls.w.find: names no provider"),
        ("[providers.zerobounce]\n[waterfalls.w]\nfind = [\"zerobounce\"]", "`zerobounce` cannot do find_email"),
        ("[providers.openai]\n[waterfalls.w]\nverify = [\"openai\"]", "`openai` cannot do verify_email"),
        ("[providers.prospeo]\n[waterfalls.w]\nfind = [\"prospeo\", \"prospeo\"]", "find: names `prospeo` twice"),
        ("[waterfalls.w]\nrisky = \"maybe\"", "risky: must be \"keep_looking\" or \"accept\""),
        ("[waterfalls.w]\ntrust_finders = \"true\"", "trust_finders: must be true or false, without quotes"),
    ] {
        let mistakes = mistakes(text);
        assert!(mistakes.contains(told), "{text:?} was answered with {mistakes:?}");
    }
}

#[test]
fn keys_travel_encrypted_or_stay_on_this_machine() {
    let base_url = |url: &str| {
        let config = parse(&format!("[providers.leadmagic]\nbase_url = \"{url}\"")).ok()?;
        config.live.providers.get(&ProviderName::new("leadmagic")).map(|settings| settings.base_url.clone())
    };
    for (url, kept) in [
        ("https://API.example.com/v1/", Some("https://api.example.com/v1")),
        ("http://localhost:8900/leadmagic", Some("http://localhost:8900/leadmagic")),
        ("http://127.0.0.9:1", Some("http://127.0.0.9:1")),
        ("http://[::1]:1/", Some("http://[::1]:1")),
        ("http://api.example.com", None),
        ("http://127.0.0.1.example.com", None),
        ("http://10.0.0.1", None),
        ("https://user@example.com", None),
        ("https://example.com/?a=b", None),
        ("https://example.com/#a", None),
        ("ftp://localhost", None),
        ("api.example.com", None),
    ] {
        assert_eq!(base_url(url).as_deref(), kept, "{url}");
    }
}

#[test]
fn a_key_of_another_kind_of_provider_is_refused_once_and_names_its_kinds() {
    let models = "is for a provider of kind openai or anthropic only";
    let (openai, anthropic) = ("is for a provider of kind openai only", "is for a provider of kind anthropic only");
    for (kind, key, value, told) in [
        ("leadmagic", "key_header", "\"api-key\"", models),
        ("firecrawl", "key_header", "\"api-key\"", models),
        ("leadmagic", "api_version", "\"2023-06-01\"", anthropic),
        ("openai", "api_version", "\"2023-06-01\"", anthropic),
        ("firecrawl", "output_cap", "\"max_tokens\"", openai),
        ("anthropic", "output_cap", "\"max_tokens\"", openai),
        ("anthropic", "trust_reported_cost", "true", openai),
        ("prospeo", "trust_reported_cost", "true", openai),
    ] {
        let text = format!("[providers.{kind}]\n{key} = {value}");
        assert_eq!(mistakes(&text), format!("weir.toml:2: providers.{kind}.{key}: {told}"));
    }
    let variable = "WEIR__PROVIDERS__ANTHROPIC__OUTPUT_CAP";
    let refused = parse_with("[providers.anthropic]", &[(variable, "max_tokens")]).unwrap_err();
    let told = format!("environment {variable}: providers.anthropic.output_cap: {openai}");
    assert_eq!(refused.to_string(), told);
}

#[test]
fn a_models_provider_is_spoken_to_as_its_table_says() {
    let text = r#"
[providers.openai]
[providers.anthropic]
[providers.leadmagic]
[providers.azure]
kind = "openai"
key_header = "api-key"
output_cap = "max_tokens"
trust_reported_cost = true
[providers.gateway]
kind = "anthropic"
key_header = "authorization"
api_version = "2027-01-31"
"#;
    let live = parse(text).unwrap().live;
    let version = |day: &str| Some(day.to_owned());
    for (name, dialect) in [
        ("leadmagic", Dialect::default()),
        ("openai", Dialect { key: KeyPlace::Bearer, ..Dialect::default() }),
        ("anthropic", Dialect { key: KeyPlace::XApiKey, api_version: version("2023-06-01"), ..Dialect::default() }),
        (
            "azure",
            Dialect {
                key: KeyPlace::ApiKey,
                api_version: None,
                output_cap: OutputCap::MaxTokens,
                trusts_reported_cost: true,
            },
        ),
        ("gateway", Dialect { key: KeyPlace::Bearer, api_version: version("2027-01-31"), ..Dialect::default() }),
    ] {
        assert_eq!(live.providers[&ProviderName::new(name)].dialect, dialect, "{name}");
    }
}

#[test]
fn a_cache_price_left_out_is_the_price_of_any_input() {
    let text = "[providers.openai]\n[models.m]\nprovider = \"openai\"\n\
                input_per_million = \"0.75\"\noutput_per_million = \"4.5\"\n";
    let config = parse(text).unwrap();
    let (model, provider) = config.live.model("m").unwrap();
    let input = Decimal::new(75, 2);
    assert_eq!((model.cached_input_per_million, model.cache_write_per_million), (input, input));
    assert_eq!((model.output_per_million, provider.name.as_str()), (Decimal::new(45, 1), "openai"));
    let written = format!("{text}cached_input_per_million = \"0.750\"\ncache_write_per_million = \"0.75\"");
    assert_eq!(version(text), version(&written));

    let apart = parse(&format!("{text}cached_input_per_million = \"0\"\ncache_write_per_million = \"1\"")).unwrap();
    let (model, _) = apart.live.model("m").unwrap();
    let (read, write) = (model.cached_input_per_million, model.cache_write_per_million);
    assert_eq!((model.input_per_million, read, write), (input, Decimal::ZERO, Decimal::ONE));
}

#[test]
fn a_reported_cost_is_not_trusted_where_nothing_would_be_held_for_it() {
    let with = |trusts: bool, prices: &str| {
        mistakes(&format!(
            "[providers.openai]\ntrust_reported_cost = {trusts}\n[models.m]\nprovider = \"openai\"\n{prices}"
        ))
    };
    let nothing = "input_per_million = \"0\"\noutput_per_million = \"0.00\"\n";
    let told = "weir.toml:5: models.m.input_per_million: must not be zero where output_per_million is and the \
                provider's reported cost is trusted: these prices are what is held";
    assert_eq!(with(true, nothing), told);
    for (trusts, prices) in [
        (false, nothing),
        (true, "input_per_million = \"0\"\noutput_per_million = \"1\""),
        (true, "input_per_million = \"1\"\noutput_per_million = \"0\""),
        (true, "input_per_million = \"0\"\noutput_per_million = \"0\"\ncache_write_per_million = \"1\""),
    ] {
        assert_eq!(with(trusts, prices), "", "{prices}");
    }
    // What is missing is told of alone.
    let missing = with(true, "output_per_million = \"0\"");
    assert!(missing.contains("input_per_million: is missing") && !missing.contains("held"), "{missing}");
}

#[test]
fn a_model_is_known_whoever_serves_it_and_no_other_is() {
    let text = "[providers.openai]\nenabled = false\n[models.m]\nprovider = \"openai\"\n\
                input_per_million = \"1\"\noutput_per_million = \"2\"";
    let live = parse(text).unwrap().live;
    let served = |model: &str| live.model(model).map(|(_, provider)| (provider.name.to_string(), provider.enabled));
    assert_eq!(served("m"), Some(("openai".to_owned(), false)));
    assert_eq!(served("gpt-5.4-mini"), None);
    let shipped = parse(SHIPPED).unwrap().live;
    assert!(shipped.models.keys().all(|name| shipped.model(name).is_some_and(|(_, provider)| provider.enabled)));
}

#[test]
fn pages_are_read_by_whoever_can_and_is_enabled_by_name() {
    let text = "[providers.leadmagic]\n[providers.openai]\n[providers.zeta]\nkind = \"firecrawl\"\n\
                [providers.firecrawl]\n[providers.alpha]\nkind = \"firecrawl\"\nenabled = false";
    let live = parse(text).unwrap().live;
    assert_eq!(live.scrapers().map(|scraper| scraper.name.as_str()).collect::<Vec<_>>(), ["firecrawl", "zeta"]);
}

#[test]
fn the_environment_overrides_the_file_whatever_the_case() {
    let text = format!("{SMALL}\n[models.\"gpt-5.4-mini\"]\nprovider = \"openai\"\n[providers.openai]\n");
    let prices = ["INPUT", "CACHED_INPUT", "CACHE_WRITE", "OUTPUT"]
        .map(|price| format!("WEIR__MODELS__GPT_5_4_MINI__{price}_PER_MILLION"));
    let mut env = vec![
        ("WEIR__PROVIDERS__LEADMAGIC__BASE_URL", "http://127.0.0.1:8900/leadmagic"),
        ("WEIR__providers__LeadMagic__max_tries", "1"),
        ("WEIR__WATERFALLS__WORK_EMAIL__FIND", ""),
        ("WEIR__WATERFALLS__WORK_EMAIL__VERIFY", " leadmagic, "),
        ("WEIR__WATERFALLS__WORK_EMAIL__TRUST_FINDERS", "true"),
        ("WEIR__STORE__URL", "postgres://weir@db/weir"),
        ("WEIR_LOG", "debug"),
        ("KEY", CANARY),
    ];
    env.extend(prices.iter().map(|name| (name.as_str(), "1")));
    let config = parse_with(&text, &env).unwrap();
    let leadmagic = &config.live.providers[&ProviderName::new("leadmagic")];
    assert_eq!(leadmagic.base_url, "http://127.0.0.1:8900/leadmagic");
    assert_eq!(leadmagic.max_tries, 1);
    assert_eq!(leadmagic.house_key.as_ref().unwrap().expose_secret(), CANARY);
    let waterfall = config.live.default_waterfall(None).unwrap();
    assert_eq!((waterfall.find.len(), waterfall.verify.len(), waterfall.trust_finders), (0, 1, true));
    assert_eq!(config.boot.store_url.expose_secret(), "postgres://weir@db/weir");
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, text, told) in [
        ("WEIR__STORE__ULR", "x", "environment WEIR__STORE__ULR: overrides no key"),
        ("WEIR__STORE__ULR", "x", "did you mean `WEIR__STORE__URL`?"),
        ("WEIR__STORE", "x", "environment WEIR__STORE: overrides no key"),
        (
            "WEIR__PROVIDERS__PROSPEO__ENABLED",
            "true",
            "environment WEIR__PROVIDERS__PROSPEO__ENABLED: overrides no key",
        ),
        ("WEIR__WORKER__DRAIN", "soon", "environment WEIR__WORKER__DRAIN: worker.drain: must be a duration"),
    ] {
        let mistakes = parse_with(SMALL, &[(name, text)]).unwrap_err().to_string();
        assert!(mistakes.contains(told), "{name} was answered with {mistakes:?}");
    }
}

#[test]
fn equal_meaning_is_an_equal_version() {
    let same = "waterfalls.work_email = { find = ['leadmagic'], risky = 'keep_looking' }
        providers.leadmagic = { credit_price = '0.01250', house_key = 'env:KEY', breaker_open = '30000ms' }
        cache.max_age = '720h'
        store.url = 'sqlite://elsewhere.db'";
    assert_eq!(version(SMALL), version(same));
    assert_eq!(version(SMALL), parse_with(SMALL, &[("KEY", CANARY)]).unwrap().live.version.to_string());
    assert_eq!(version(SMALL).len(), 12);
}

#[test]
fn another_meaning_is_another_version() {
    let changed = [
        SMALL.replace("0.0125", "0.0126"),
        SMALL.replace("env:KEY", "env:OTHER"),
        format!("{SMALL}risky = \"accept\""),
        format!("{SMALL}[worker]\nleads_in_flight = 1"),
    ];
    let versions: BTreeSet<String> = changed.iter().map(|text| version(text)).chain([version(SMALL)]).collect();
    assert_eq!(versions.len(), 5);
}

#[test]
fn the_default_waterfall_is_work_email_else_the_only_one() {
    let of = |names: &str, named: Option<&str>| {
        let tables: String =
            names.split_whitespace().map(|name| format!("[waterfalls.{name}]\nfind = [\"prospeo\"]\n")).collect();
        let config = parse(&format!("[providers.prospeo]\n{tables}")).unwrap();
        config.live.default_waterfall(named).map(|waterfall| waterfall.name.to_string())
    };
    for (names, named, chosen) in [
        ("a work_email", None, Ok("work_email")),
        ("a", None, Ok("a")),
        ("a work_email", Some("a"), Ok("a")),
        ("a b", None, Err("name the waterfall; there are: a, b")),
        ("a", Some("c"), Err("there is no waterfall `c`; there are: a")),
        ("", None, Err("the configuration has no waterfall")),
    ] {
        let expected = chosen.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(of(names, named), expected, "{names:?}, {named:?}");
    }
}

#[test]
fn no_secret_is_shown() {
    let store = format!("postgres://weir:{CANARY}@db/weir?password={CANARY}");
    let broker = format!("amqp://weir:{CANARY}@mq/");
    let env = [("KEY", CANARY), ("WEIR__STORE__URL", store.as_str()), ("WEIR__BROKER__URL", broker.as_str())];
    let config = parse_with(SMALL, &env).unwrap();
    let shown = show(&config);
    assert!(shown.starts_with(&format!("# version {}, from weir.toml\n", config.live.version)));
    assert!(shown.contains("house_key = \"***\" # env:KEY\n"), "{shown}");
    assert!(shown.contains("url = \"postgres://weir:***@db/weir?***\"\n"), "{shown}");
    for text in [shown, show_json(&config).to_string(), format!("{config:?}")] {
        assert!(!text.contains(CANARY), "{text}");
    }
}

#[test]
fn no_mistake_repeats_a_value() {
    // Steps are names and are repeated.
    let apart = ["#", "find", "verify"];
    for line in SHIPPED.lines().filter(|line| !apart.iter().any(|start| line.starts_with(start))) {
        let Some((key, _)) = line.split_once(" = ") else { continue };
        let mistakes = mistakes(&SHIPPED.replace(line, &format!("{key} = \"{CANARY}\"")));
        assert!(!mistakes.is_empty() && !mistakes.contains(CANARY), "{line}: {mistakes:?}");
    }
}

#[test]
fn what_is_shown_can_be_read_back() {
    let config = parse(SHIPPED).unwrap();
    let shown = show(&config);
    assert!(toml_edit::Document::parse(shown.as_str()).is_ok(), "{shown}");
    assert_eq!(show_json(&config)["providers"]["leadmagic"]["credit_price"], "0.0125");
    assert_eq!(show_json(&config)["models"]["gpt-5.4-mini"]["output_per_million"], "4.5");
}

#[test]
fn a_named_folder_must_hold_the_file_and_may_hold_keys() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = |_: &str| None;
    let missing = load(Some(folder.path()), &nothing, &[]).unwrap_err().to_string();
    assert!(missing.contains("weir.toml: cannot be read"), "{missing}");

    fs::write(folder.path().join("weir.toml"), SMALL.replace("env:KEY", "file:key")).unwrap();
    fs::write(folder.path().join("key"), format!("{CANARY}\n")).unwrap();
    let config = load(Some(folder.path()), &nothing, &[]).unwrap();
    let leadmagic = &config.live.providers[&ProviderName::new("leadmagic")];
    assert_eq!(leadmagic.house_key.as_ref().unwrap().expose_secret(), CANARY);
    assert_eq!(leadmagic.house_key_source.as_deref(), Some("file:key"));
}
