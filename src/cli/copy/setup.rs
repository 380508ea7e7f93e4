//! Who writes and who reads pages, as this machine's keys have it.

use crate::cli::BadInput;
use crate::cli::Globals;
use crate::cli::globals::Place;
use crate::cli::list_run::TRY_WITHOUT_KEYS;
use crate::cli::list_run::workspace;
use crate::config::Config;
use crate::config::Live;
use crate::domain::Brief;
use crate::http::Gates;
use crate::worker::Routes;
use crate::worker::Sources;
use crate::worker::WorkspaceKeys;
use anyhow::Result;
use std::sync::Arc;

/// The routes of a brief by the keys that are due: a model is called with the workspace's own key where it has
/// stored one here, on every plan.
pub(super) async fn routes(brief: &Brief, live: &Live, config: &Config, globals: &Globals) -> Result<Routes> {
    let keys = keys(config, globals).await?;
    let gates = Gates::default();
    Ok(Routes::for_copy(&Sources { live, newest: live, keys: &keys, gates: &gates }, brief))
}

/// What is stored is looked at only where there is a store: none is made before the brief is known to be good.
async fn keys(config: &Config, globals: &Globals) -> Result<Arc<WorkspaceKeys>> {
    match globals.place(config)? {
        Place::File(path) if path.exists() => {
            let store = globals.open_store(config).await?;
            Ok(globals.keyring(config)?.of(&*store, &workspace(globals)).await?)
        }
        // A shared store is no place for a list: that is told where the job's store is opened.
        Place::File(_) | Place::Database(_) => Ok(Arc::new(WorkspaceKeys::house())),
    }
}

/// Refuses a model that nobody can be asked with, and says what copy has to do without.
pub(super) fn check_routes(routes: &Routes, brief: &Brief, globals: &Globals) -> Result<(), BadInput> {
    let model = &brief.model;
    if routes.write.is_none() {
        let reasons: Vec<String> =
            routes.left_out.iter().take(1).map(|(provider, why)| format!("\n  {provider}: {why}")).collect();
        let hint = if globals.sandbox { "" } else { TRY_WITHOUT_KEYS };
        return Err(BadInput(format!("model {model} cannot be used{}{hint}", reasons.concat())));
    }
    for (provider, why) in &routes.left_out {
        tracing::warn!("{provider} is left out: {why}");
    }
    if routes.scrape.is_none() && !brief.pages.is_empty() {
        tracing::warn!("nobody can read pages: copy is written from what the list says alone");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::domain::Purpose;
    use std::path::Path;

    /// What is said of the shipped configuration with these variables set.
    fn check(variables: &[&str], pages: &[&str], globals: &Globals) -> Result<(), String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let lookup = |name: &str| variables.contains(&name).then(|| "key".to_owned());
        let live = load(Some(&folder), &lookup, &[]).unwrap().live;
        let brief = Brief {
            purpose: Purpose::Live,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens: 400,
            instructions: "Write.".to_owned(),
            pages: pages.iter().map(|page| (*page).to_owned()).collect(),
        };
        let routes = Routes::for_copy_with_house_keys(&live, &brief, &Gates::default());
        check_routes(&routes, &brief, globals).map_err(|error| error.to_string())
    }

    #[test]
    fn a_model_without_a_key_names_the_variable_that_would_help() {
        let told = check(&["FIRECRAWL_API_KEY"], &["https://{domain}"], &Globals::default()).unwrap_err();
        let expected = "model gpt-5.4-mini cannot be used\n  openai: no key: set OPENAI_API_KEY\n\
                        Or try it without keys: add --sandbox.";
        assert_eq!(told, expected);
        let told = check(&[], &[], &Globals { sandbox: true, ..Globals::default() }).unwrap_err();
        assert!(!told.contains("--sandbox"), "{told}");
    }

    #[test]
    fn pages_that_nobody_can_read_do_not_stop_the_copy() {
        assert_eq!(check(&["OPENAI_API_KEY"], &["https://{domain}"], &Globals::default()), Ok(()));
    }
}
