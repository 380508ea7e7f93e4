//! `weir key`: customers' own keys, stored sealed and never shown again.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::arguments;
use crate::cli::output;
use crate::clock::timestamp;
use crate::clock::wall_ms;
use crate::config::Config;
use crate::domain::ProviderName;
use crate::domain::WorkspaceId;
use crate::keys::MasterKey;
use crate::keys::StoredKey;
use anyhow::Context;
use anyhow::Result;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde_json::Value;
use serde_json::json;
use std::convert::Infallible;
use std::io;
use std::io::IsTerminal;
use std::io::Read;
use uuid::Uuid;

/// Bytes of standard input, the line end included: no provider's key comes near it.
const INPUT_MAX: usize = 4_096;

/// What `weir key` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Store a workspace's own key, read from standard input, in place of an earlier one
    Set(Named),
    /// List a workspace's own keys, each by its last four characters
    List {
        /// Whose keys
        #[arg(value_name = "WORKSPACE", value_parser = arguments::workspace_id)]
        workspace: WorkspaceId,
    },
    /// Forget a workspace's own key
    Remove(Named),
}

#[derive(clap::Args, Debug)]
struct Named {
    /// Whose key
    #[arg(value_name = "WORKSPACE", value_parser = arguments::workspace_id)]
    workspace: WorkspaceId,
    /// At which provider: its table in the configuration
    #[arg(value_name = "PROVIDER", value_parser = provider_name)]
    provider: ProviderName,
}

/// Any text: whether there is such a provider, or such a key, is told by the command.
fn provider_name(text: &str) -> Result<ProviderName, Infallible> {
    Ok(ProviderName::new(text))
}

/// Runs the action that was asked for.
///
/// # Errors
/// When there is no master key, no such provider or no usable key, or the store cannot be used.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    match args.action {
        Action::Set(named) => set(&config, globals, named).await?,
        Action::List { workspace } => list(&config, globals, &workspace).await?,
        Action::Remove(named) => remove(&config, globals, &named).await?,
    }
    Ok(Exit::Done)
}

/// Everything that can be wrong is found before the store is touched.
async fn set(config: &Config, globals: &Globals, named: Named) -> Result<()> {
    let Named { workspace, provider } = named;
    let master = master_key(config)?;
    check_provider(config, &provider)?;
    if io::stdin().is_terminal() {
        output::aside("paste the key, then press Enter and Ctrl-D");
    }
    let secret = read_key(io::stdin().lock())?;
    let key_id = Uuid::now_v7().to_string();
    let sealed = master.seal(&workspace, &provider, &key_id, &secret)?;
    let last4 = StoredKey::last4_of(&secret);
    let key = StoredKey { workspace, provider, key_id, sealed, last4, stored_ms: wall_ms() };
    globals.make_store(config).await?.put_key(key.clone()).await?;
    if globals.json {
        return Ok(output::line(key_json(&key))?);
    }
    let StoredKey { workspace, provider, .. } = &key;
    Ok(output::line(format!("the key of {workspace} at {provider} is stored: {}", shown(&key)))?)
}

async fn list(config: &Config, globals: &Globals, workspace: &WorkspaceId) -> Result<()> {
    let keys = globals.open_store(config).await?.keys(workspace).await?;
    if globals.json {
        return Ok(output::lines(keys.iter().map(key_json))?);
    }
    let rows = keys.iter().map(|key| [key.provider.to_string(), shown(key), timestamp(key.stored_ms)]);
    Ok(output::table(["provider", "key", "stored at"], rows)?)
}

async fn remove(config: &Config, globals: &Globals, named: &Named) -> Result<()> {
    let Named { workspace, provider } = named;
    if !globals.open_store(config).await?.remove_key(workspace, provider).await? {
        return Err(BadInput(format!("no such key; `weir key list {workspace}` shows those there are")).into());
    }
    if globals.json {
        let gone = json!({ "workspace": workspace.as_str(), "provider": provider.as_str(), "removed": true });
        return Ok(output::line(gone)?);
    }
    Ok(output::line(format!("the key of {workspace} at {provider} is removed"))?)
}

fn master_key(config: &Config) -> Result<MasterKey, BadInput> {
    let text = config.boot.master_key.as_ref().ok_or_else(|| {
        let why = "secrets.master_key is not set, and own keys are stored sealed by it";
        let how = "put what `openssl rand -base64 32` prints into WEIR_MASTER_KEY, and keep it: no other opens them";
        BadInput(format!("{why}; {how}"))
    })?;
    MasterKey::parse(text).map_err(|error| BadInput(error.to_string()))
}

/// What was written is not repeated: it may be the key, in the wrong place.
fn check_provider(config: &Config, provider: &ProviderName) -> Result<(), BadInput> {
    let providers = &config.live.providers;
    if providers.contains_key(provider) {
        return Ok(());
    }
    let names = providers.keys().map(ProviderName::as_str).collect::<Vec<_>>().join(", ");
    Err(BadInput(format!("the configuration has no such provider; it has: {names}")))
}

/// The key that a person or a file gives.
fn read_key(input: impl Read) -> Result<SecretString> {
    let mut bytes = Zeroizing::new(Vec::<u8>::with_capacity(INPUT_MAX + 1));
    let limit = u64::try_from(INPUT_MAX + 1)?;
    input.take(limit).read_to_end(&mut bytes).context("standard input cannot be read")?;
    Ok(parse_key(&bytes)?)
}

/// Spaces and line ends around a key do not belong to it; inside there are none, nor anything else
/// that a header cannot carry.
fn parse_key(bytes: &[u8]) -> Result<SecretString, BadInput> {
    let refuse = |why: &str| BadInput(format!("{why}; nothing was stored"));
    if bytes.len() > INPUT_MAX {
        return Err(refuse("standard input holds far more than a key"));
    }
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Err(refuse("there is no key on standard input: `weir key set WORKSPACE PROVIDER < FILE`"));
    }
    let is_plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let key = str::from_utf8(text).ok().filter(is_plain).map(SecretString::from);
    key.ok_or_else(|| refuse("a key is letters, digits and signs, without spaces: give the key alone"))
}

fn key_json(key: &StoredKey) -> Value {
    json!({
        "workspace": key.workspace.as_str(),
        "provider": key.provider.as_str(),
        "key": shown(key),
        "stored_at": timestamp(key.stored_ms),
    })
}

fn shown(key: &StoredKey) -> String {
    format!("…{}", key.last4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use expect_test::expect;
    use secrecy::ExposeSecret;
    use std::path::Path;

    fn config(master_key: Option<&str>) -> Config {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let lookup = |name: &str| master_key.filter(|_| name == "WEIR_MASTER_KEY").map(str::to_owned);
        load(Some(&folder), &lookup, &[]).unwrap()
    }

    #[test]
    fn a_key_is_read_without_what_stands_around_it() {
        for input in ["sk-1234_5678", "sk-1234_5678\n", " \tsk-1234_5678\r\n\n"] {
            assert_eq!(read_key(input.as_bytes()).unwrap().expose_secret(), "sk-1234_5678");
        }
        let longest = "k".repeat(INPUT_MAX);
        assert_eq!(read_key(longest.as_bytes()).unwrap().expose_secret(), longest);
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let too_long = "sk-".repeat(INPUT_MAX);
        let inputs: [&[u8]; 9] = [
            b"",
            b" \r\n",
            b"sk- 1",
            b"sk-1\nsk-2",
            b"sk-\0",
            b"sk-\x1b[1m",
            b"\xff\xfesk-",
            "\u{feff}sk-1".as_bytes(),
            too_long.as_bytes(),
        ];
        for input in inputs {
            let refused = read_key(input).unwrap_err();
            assert!(refused.is::<BadInput>());
            assert!(!refused.to_string().contains("sk-"), "{refused}");
        }
    }

    #[test]
    fn a_missing_or_broken_master_key_says_how_to_make_one() {
        for (text, expected) in [
            (
                None,
                expect![
                    "secrets.master_key is not set, and own keys are stored sealed by it; put what `openssl rand -base64 32` prints into WEIR_MASTER_KEY, and keep it: no other opens them"
                ],
            ),
            (
                Some("hunter2"),
                expect!["secrets.master_key must be 32 bytes in base64; `openssl rand -base64 32` makes one"],
            ),
        ] {
            expected.assert_eq(&master_key(&config(text)).unwrap_err().to_string());
        }
        assert!(master_key(&config(Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))).is_ok());
    }

    #[test]
    fn an_unknown_provider_is_told_those_there_are() {
        let config = config(None);
        assert!(check_provider(&config, &ProviderName::new("leadmagic")).is_ok());
        let refused = check_provider(&config, &ProviderName::new("sk-1234")).unwrap_err().to_string();
        assert!(refused.contains("leadmagic, "), "{refused}");
        assert!(!refused.contains("sk-1234"), "{refused}");
    }

    #[test]
    fn a_stored_key_shows_its_last_four_characters() {
        let key = StoredKey {
            workspace: WorkspaceId::new("acme"),
            provider: ProviderName::new("leadmagic"),
            key_id: "key_1".to_owned(),
            sealed: vec![1, 2, 3],
            last4: "5678".to_owned(),
            stored_ms: 1_800_000_000_000,
        };
        expect![[
            r#"{"workspace":"acme","provider":"leadmagic","key":"…5678","stored_at":"2027-01-15T08:00:00.000Z"}"#
        ]]
        .assert_eq(&key_json(&key).to_string());
    }
}
